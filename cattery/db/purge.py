"""The last steps of deletions: what is still there of an object, and the removal of its rows.

Rows go last, after everything outside that belongs to them. Each function is safe to repeat.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import assert_never
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import ReadSession
from cattery.db.feed import announce
from cattery.db.projects import tombstone_projects_of
from cattery.db.tables import (
    AnswerRow,
    AuthSessionRow,
    Base,
    DeletionRow,
    EventBlobRow,
    FileManagerRow,
    HarnessEventRow,
    HarnessLogRow,
    HarnessRow,
    ProjectMemberRow,
    ProjectRow,
    PromptRow,
    SandboxLeaseRow,
    SandboxTokenRow,
    SessionEventRow,
    SessionRow,
    SessionStreamRow,
    UserRow,
)
from cattery.deletion_states import DeletionKind
from cattery.ids import DeletionId, HarnessId, ProjectId, SessionId, UserId

PAGE = 200
"""Objects that one step of a deletion looks at."""
PURGED_AT_ONCE = 20
"""Sessions whose rows one transaction removes."""
_LOG = (SessionStreamRow, SessionEventRow, EventBlobRow)
"""In this order: whoever writes to a log locks its row first, and writes nothing without it."""


async def list_sessions_of_harness(
    session: ReadSession, harness_id: HarnessId
) -> Sequence[SessionId]:
    """List every session of a harness, deleted or not."""
    rows = await session.scalars(select(SessionRow.id).where(SessionRow.harness_id == harness_id))
    return [SessionId(row) for row in rows]


async def list_harnesses_of_project(
    session: ReadSession, project_id: ProjectId
) -> Sequence[HarnessId]:
    """List every harness of a project, deleted or not."""
    rows = await session.scalars(select(HarnessRow.id).where(HarnessRow.project_id == project_id))
    return [HarnessId(row) for row in rows]


async def list_projects_of_user(session: ReadSession, user_id: UserId) -> Sequence[ProjectId]:
    """List every project that a user owns, deleted or not."""
    rows = await session.scalars(select(ProjectRow.id).where(ProjectRow.owner_user_id == user_id))
    return [ProjectId(row) for row in rows]


async def purge_session(session: AsyncSession, session_id: SessionId) -> None:
    """Remove a session with its prompts, answers and log."""
    for table in _LOG:
        await session.execute(delete(table).where(table.session_id == session_id))
    await session.execute(delete(SessionRow).where(SessionRow.id == session_id))


async def purge_harness(session: AsyncSession, harness_id: HarnessId) -> None:
    """Remove a harness whose sessions and sandbox are gone."""
    await session.execute(delete(HarnessRow).where(HarnessRow.id == harness_id))


async def purge_project(session: AsyncSession, project_id: ProjectId) -> None:
    """Remove a project whose harnesses and workspace are gone."""
    await session.execute(delete(ProjectMemberRow).where(ProjectMemberRow.project_id == project_id))
    await session.execute(delete(ProjectRow).where(ProjectRow.id == project_id))
    await announce(session, "project", project_id, project_id)


async def purge_user(session: AsyncSession, user_id: UserId) -> None:
    """Remove a user whose projects are gone, with the memberships and sign-ins."""
    await session.execute(delete(ProjectMemberRow).where(ProjectMemberRow.user_id == user_id))
    await session.execute(delete(UserRow).where(UserRow.id == user_id))
    await announce(session, "user", user_id, None)


async def page_of_harnesses(
    session: AsyncSession, project_id: ProjectId, deletion_id: DeletionId | None, limit: int = PAGE
) -> Sequence[HarnessId]:
    """Say of the next harnesses of a project that they are being deleted, and list them."""
    page = (
        select(HarnessRow.id)
        .where(HarnessRow.project_id == project_id)
        .order_by(HarnessRow.id)
        .limit(limit)
    )
    found = (await session.scalars(page)).all()
    await session.execute(
        update(HarnessRow)
        .where(HarnessRow.id.in_(found), HarnessRow.deleting_at.is_(None))
        .values(deleting_at=func.now(), deletion_id=deletion_id)
    )
    return [HarnessId(row) for row in found]


async def page_of_projects(
    session: AsyncSession, user_id: UserId, deletion_id: DeletionId | None, limit: int = PAGE
) -> Sequence[ProjectId]:
    """Say of a user's projects that they are being deleted, and list the next of them."""
    await tombstone_projects_of(session, user_id, deletion_id=deletion_id)
    page = (
        select(ProjectRow.id)
        .where(ProjectRow.owner_user_id == user_id)
        .order_by(ProjectRow.id)
        .limit(limit)
    )
    return [ProjectId(row) for row in await session.scalars(page)]


async def page_of_sessions(
    session: ReadSession, harness_id: HarnessId, after: SessionId | None
) -> Sequence[SessionId]:
    """List the next sessions of a harness, in the order of their ids."""
    page = select(SessionRow.id).where(SessionRow.harness_id == harness_id)
    if after is not None:
        page = page.where(SessionRow.id > after)
    found = await session.scalars(page.order_by(SessionRow.id).limit(PAGE))
    return [SessionId(row) for row in found]


async def page_of_marked(
    session: ReadSession, kind: DeletionKind, object_id: UUID, after: HarnessId | None
) -> Sequence[tuple[HarnessId, ProjectId]]:
    """List the next harnesses of an object that are being deleted with it, by id, with projects."""
    match kind:
        case DeletionKind.HARNESS:
            belongs = HarnessRow.id == object_id
        case DeletionKind.PROJECT:
            belongs = HarnessRow.project_id == object_id
        case DeletionKind.USER:
            owned = select(ProjectRow.id).where(ProjectRow.owner_user_id == object_id)
            belongs = HarnessRow.project_id.in_(owned)
        case _:
            assert_never(kind)
    page = select(HarnessRow.id, HarnessRow.project_id).where(
        belongs, HarnessRow.deleting_at.is_not(None)
    )
    if after is not None:
        page = page.where(HarnessRow.id > after)
    found = await session.execute(page.order_by(HarnessRow.id).limit(PAGE))
    return [(HarnessId(harness), ProjectId(project)) for harness, project in found]


async def purge_some_sessions(session: AsyncSession, harness_id: HarnessId) -> int:
    """Remove some sessions of a harness with all that is theirs; 0 once there are none."""
    found = (
        await session.scalars(
            select(SessionRow.id).where(SessionRow.harness_id == harness_id).limit(PURGED_AT_ONCE)
        )
    ).all()
    for table in _LOG:
        await session.execute(
            delete(table)
            .where(table.session_id.in_(found))
            .execution_options(synchronize_session=False)
        )
    await session.execute(
        delete(SessionRow)
        .where(SessionRow.id.in_(found))
        .execution_options(synchronize_session=False)
    )
    return len(found)


async def count_rows(session: ReadSession, kind: DeletionKind, object_id: UUID) -> dict[str, int]:
    """Count the rows that belong to an object, by table; tables without any are left out.

    What a deletion leaves on purpose is not among them: its own row, as the record of it.
    """
    counts: dict[str, int] = {}
    for table, belongs in _belonging(kind, object_id):
        count = await session.scalar(select(func.count()).select_from(table).where(belongs))
        if count:
            counts[table.__tablename__] = counts.get(table.__tablename__, 0) + count
    return counts


def _belonging(
    kind: DeletionKind, object_id: UUID
) -> Sequence[tuple[type[Base], ColumnElement[bool]]]:
    """Name every table that has rows of an object, with the condition that finds them."""
    match kind:
        case DeletionKind.USER:
            return (
                (UserRow, UserRow.id == object_id),
                (AuthSessionRow, AuthSessionRow.user_id == object_id),
                (ProjectMemberRow, ProjectMemberRow.user_id == object_id),
                (ProjectRow, ProjectRow.owner_user_id == object_id),
                (SessionRow, SessionRow.created_by == object_id),
                (PromptRow, PromptRow.user_id == object_id),
                (HarnessEventRow, HarnessEventRow.by_user_id == object_id),
            )
        case DeletionKind.PROJECT:
            harnesses = select(HarnessRow.id).where(HarnessRow.project_id == object_id)
            more: Sequence[tuple[type[Base], ColumnElement[bool]]] = (
                (ProjectRow, ProjectRow.id == object_id),
                (ProjectMemberRow, ProjectMemberRow.project_id == object_id),
                (FileManagerRow, FileManagerRow.id == object_id),
            )
        case DeletionKind.HARNESS:
            harnesses = select(HarnessRow.id).where(HarnessRow.id == object_id)
            more = ()
        case _:
            assert_never(kind)
    sessions = select(SessionRow.id).where(SessionRow.harness_id.in_(harnesses))
    return (
        *more,
        (HarnessRow, HarnessRow.id.in_(harnesses)),
        *((table, table.harness_id.in_(harnesses)) for table in _OF_HARNESS),
        *((table, table.session_id.in_(sessions)) for table in _OF_SESSION),
    )


_OF_HARNESS = (SandboxTokenRow, HarnessLogRow, SandboxLeaseRow, HarnessEventRow, SessionRow)
_OF_SESSION = (PromptRow, AnswerRow, *_LOG)


async def mark_projects_of_user(session: AsyncSession, user_id: UserId) -> None:
    """Say of every project of a user, and of all in it, that it is being deleted.

    For workflows older than `page_of_projects`.
    """
    projects = select(ProjectRow.id).where(ProjectRow.owner_user_id == user_id)
    await _mark(session, ProjectRow, ProjectRow.id.in_(projects))
    await _mark(session, HarnessRow, HarnessRow.project_id.in_(projects))


async def list_unfinished_deletions(
    session: ReadSession, *, older_than: timedelta
) -> tuple[Sequence[UserId], Sequence[ProjectId], Sequence[HarnessId], Sequence[SessionId]]:
    """List the deletions that have not ended, in their grace or beyond, by what they are about.

    Beside those that people asked for there are those of sessions, and those of rows that were
    marked before deletions had rows of their own.
    """
    cutoff = func.now() - literal(older_than)

    async def due(
        kind: DeletionKind, row: type[UserRow | ProjectRow | HarnessRow]
    ) -> Sequence[UUID]:
        asked = select(DeletionRow.object_id).where(
            DeletionRow.kind == kind,
            DeletionRow.ended_at.is_(None),
            DeletionRow.requested_at < cutoff,
        )
        marked = select(row.id).where(row.deleting_at < cutoff, row.deletion_id.is_(None))
        return (await session.scalars(asked.union(marked))).all()

    sessions = await session.scalars(
        select(SessionRow.id).where(
            SessionRow.deleting_at < cutoff, SessionRow.deletion_id.is_(None)
        )
    )
    return (
        [UserId(x) for x in await due(DeletionKind.USER, UserRow)],
        [ProjectId(x) for x in await due(DeletionKind.PROJECT, ProjectRow)],
        [HarnessId(x) for x in await due(DeletionKind.HARNESS, HarnessRow)],
        [SessionId(x) for x in sessions],
    )


async def _mark(
    session: AsyncSession, row: type[ProjectRow | HarnessRow], where: ColumnElement[bool]
) -> None:
    await session.execute(
        update(row).where(where, row.deleting_at.is_(None)).values(deleting_at=func.now())
    )
