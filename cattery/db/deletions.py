"""Deletions as people ask for them and look at them; `deletion_course` has how they go on.

To ask for one and to mark what it is about is one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, literal, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import ReadSession
from cattery.db.harnesses import tombstone_harness
from cattery.db.projects import tombstone_project
from cattery.db.tables import DeletionRow, HarnessRow, ProjectRow, UserRow
from cattery.db.timeline import Happening
from cattery.db.users import tombstone_user
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.errors import BadRequestError, NotFoundError
from cattery.ids import DeletionId, HarnessId, ProjectId, UserId, new_id
from cattery.jsontypes import Json, JsonObject

SHOWN_FOR = timedelta(days=7)
"""How long a deletion that has ended is shown to people; it is kept for ever."""
SHOWN = 200
UNNAMED = "Untitled project"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for something; the name is kept when the user is not."""

    user_id: UserId
    username: str


@dataclass(frozen=True, slots=True)
class DeletionRecord:
    """A deletion as people see it. `hitches` are its steps that keep failing, by workflow id."""

    deletion_id: DeletionId
    kind: DeletionKind
    object_id: UUID
    label: str
    project_id: ProjectId | None
    owner_user_id: UserId | None
    requested_by: UserId | None
    requested_by_label: str
    requested_at: datetime
    due_at: datetime
    phase: DeletionPhase
    step: str | None
    hitches: JsonObject
    forced: list[Json]
    heir_label: str | None
    committed_at: datetime | None
    ended_at: datetime | None
    ended_by_label: str | None


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is deleted, and where it stands."""

    kind: DeletionKind
    object_id: UUID
    label: str
    project_id: UUID | None = None
    owner_user_id: UUID | None = None


async def delete_harness(
    session: AsyncSession,
    asker: Asker,
    project_id: ProjectId,
    harness_id: HarnessId,
    *,
    grace: timedelta,
) -> DeletionId:
    """Begin the deletion of a harness: it and its sessions are invisible from now on.

    Raises:
        NotFoundError: somebody else's deletion came first.
    """
    row = (
        await session.execute(
            select(HarnessRow.name, HarnessRow.type, ProjectRow.owner_user_id)
            .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
            .where(HarnessRow.id == harness_id)
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("harness")
    name, harness_type, owner = row
    subject = _Subject(
        DeletionKind.HARNESS,
        harness_id,
        name or f"Untitled {harness_type}",
        project_id,
        owner_user_id=owner,
    )
    deletion_id = await _open(session, asker, subject, grace)
    await tombstone_harness(session, project_id, harness_id, deletion_id=deletion_id)
    kind = Happening.DELETION_ASKED
    await timeline.record(session, harness_id, kind, by=asker.user_id, name=asker.username)
    return deletion_id


async def delete_project(
    session: AsyncSession, asker: Asker, project_id: ProjectId, *, grace: timedelta
) -> DeletionId:
    """Begin the deletion of a project with all that is in it.

    Raises:
        NotFoundError: somebody else's deletion came first.
    """
    row = (
        await session.execute(
            select(ProjectRow.name, ProjectRow.owner_user_id).where(ProjectRow.id == project_id)
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("project")
    subject = _Subject(DeletionKind.PROJECT, project_id, row[0] or UNNAMED, project_id, row[1])
    deletion_id = await _open(session, asker, subject, grace)
    await tombstone_project(session, project_id, deletion_id=deletion_id)
    await timeline.record_for_marked(
        session,
        deletion_id,
        Happening.DELETION_ASKED,
        by=asker.username,
        detail="With the project.",
    )
    return deletion_id


async def delete_user(
    session: AsyncSession,
    asker: Asker,
    user_id: UserId,
    *,
    grace: timedelta,
    heir: UserId | None = None,
) -> DeletionId:
    """Begin the deletion of a user, who is signed out at once.

    The projects that they own are invisible from now on; with an heir they stay as they are, and
    become the heir's at the point of no return.

    Raises:
        NotFoundError: there is no such user.
        BadRequestError: admins do not delete themselves, or the heir is no user.
        ConflictError: it is the last admin.
        ForbiddenError: the caller is no admin any more.
    """
    username = await _find_username(session, user_id)
    if username is None:
        raise NotFoundError("user")
    heir_label = await _require_heir(session, user_id, heir)
    subject = _Subject(DeletionKind.USER, user_id, username)
    deletion_id = await _open(session, asker, subject, grace, heir=heir, heir_label=heir_label)
    await tombstone_user(
        session,
        user_id,
        deleted_by=asker.user_id,
        deletion_id=deletion_id,
        keeps_projects=heir is not None,
    )
    await timeline.record_for_marked(
        session,
        deletion_id,
        Happening.DELETION_ASKED,
        by=asker.username,
        detail=f"With {username}, who owns the project.",
    )
    return deletion_id


async def list_deletions(
    session: ReadSession, user_id: UserId, *, is_admin: bool
) -> Sequence[DeletionRecord]:
    """List what is being deleted, and what lately was, as far as a user may know; newest first."""
    is_shown = or_(
        DeletionRow.ended_at.is_(None), DeletionRow.ended_at > func.now() - literal(SHOWN_FOR)
    )
    rows = await session.scalars(
        select(DeletionRow)
        .where(is_shown, _visible_to(user_id, is_admin=is_admin))
        .order_by(DeletionRow.requested_at.desc(), DeletionRow.id)
        .limit(SHOWN)
    )
    return [_record(row) for row in rows]


async def get_deletion(
    session: ReadSession, deletion_id: DeletionId, user_id: UserId, *, is_admin: bool
) -> DeletionRecord:
    """Read a deletion that a user may know of.

    Raises:
        NotFoundError: there is none.
    """
    row = await session.scalar(
        select(DeletionRow).where(
            DeletionRow.id == deletion_id, _visible_to(user_id, is_admin=is_admin)
        )
    )
    if row is None:
        raise NotFoundError("deletion")
    return _record(row)


async def end_grace(session: AsyncSession, deletion_id: DeletionId) -> None:
    """Say that a deletion in its grace is due now. Its workflow is told besides, or finds it."""
    await session.execute(
        update(DeletionRow)
        .where(DeletionRow.id == deletion_id, DeletionRow.phase == DeletionPhase.GRACE)
        .values(due_at=func.least(DeletionRow.due_at, func.now()))
    )


async def _open(
    session: AsyncSession,
    asker: Asker,
    subject: _Subject,
    grace: timedelta,
    *,
    heir: UserId | None = None,
    heir_label: str | None = None,
) -> DeletionId:
    deletion_id = DeletionId(new_id())
    await session.execute(
        insert(DeletionRow).values(
            id=deletion_id,
            kind=subject.kind,
            object_id=subject.object_id,
            label=subject.label,
            project_id=subject.project_id,
            owner_user_id=subject.owner_user_id,
            requested_by=asker.user_id,
            requested_by_label=asker.username,
            due_at=func.now() + literal(grace),
            heir_user_id=heir,
            heir_label=heir_label,
        )
    )
    return deletion_id


async def _find_username(session: AsyncSession, user_id: UserId) -> str | None:
    found: str | None = await session.scalar(
        select(UserRow.username).where(UserRow.id == user_id, UserRow.deleting_at.is_(None))
    )
    return found


async def _require_heir(session: AsyncSession, user_id: UserId, heir: UserId | None) -> str | None:
    if heir is None:
        return None
    label = None if heir == user_id else await _find_username(session, heir)
    if label is None:
        raise BadRequestError("The heir must be another user of this site. Choose one of the list.")
    return label


def _visible_to(user_id: UserId, *, is_admin: bool) -> ColumnElement[bool]:
    """Return the condition under which a user may know of a deletion; admins know of all."""
    if is_admin:
        return true()
    return or_(DeletionRow.requested_by == user_id, DeletionRow.owner_user_id == user_id)


def _record(row: DeletionRow) -> DeletionRecord:
    return DeletionRecord(
        deletion_id=DeletionId(row.id),
        kind=row.kind,
        object_id=row.object_id,
        label=row.label,
        project_id=None if row.project_id is None else ProjectId(row.project_id),
        owner_user_id=None if row.owner_user_id is None else UserId(row.owner_user_id),
        requested_by=None if row.requested_by is None else UserId(row.requested_by),
        requested_by_label=row.requested_by_label,
        requested_at=row.requested_at,
        due_at=row.due_at,
        phase=row.phase,
        step=row.step,
        hitches=row.hitches,
        forced=row.forced,
        heir_label=row.heir_label,
        committed_at=row.committed_at,
        ended_at=row.ended_at,
        ended_by_label=row.ended_by_label,
    )
