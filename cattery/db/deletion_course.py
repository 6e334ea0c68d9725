"""How a deletion goes on: its grace, the point of no return, the steps that fail, its end.

Its row decides. Who would undo it and who would go past the point of no return both change the
phase where it is still `grace`, and the database lets one of them.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never
from uuid import UUID

from sqlalchemy import Update, case, cast, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import ReadSession
from cattery.db.feed import announce
from cattery.db.tables import (
    DeletionRow,
    HarnessRow,
    ProjectMemberRow,
    ProjectRow,
    SessionRow,
    UserRow,
)
from cattery.db.timeline import Happening
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.errors import ConflictError, NotFoundError
from cattery.ids import DeletionId, HarnessId
from cattery.jsontypes import JsonObject


@dataclass(frozen=True, slots=True)
class Course:
    """How it stands with the deletion of an object.

    Attributes:
        is_due: whether there is anything to do at all.
        deletion_id: of the deletion that marked the object, which may be that of its project or of
            its owner; `None` for objects that were marked before there were such rows.
        is_own: whether that one is about this very object.
        wait: what is left of the grace; `None` past the point of no return.
        is_kept: whether the object is there and not marked: it was brought back, or never deleted.
    """

    is_due: bool
    deletion_id: DeletionId | None = None
    is_own: bool = False
    wait: timedelta | None = None
    is_kept: bool = False


async def find_course(session: ReadSession, kind: DeletionKind, object_id: UUID) -> Course:
    """Tell how it stands with the deletion of an object."""
    table = _table(kind)
    marks = (
        await session.execute(
            select(table.deleting_at, table.deletion_id).where(table.id == object_id)
        )
    ).one_or_none()
    if marks is None:
        return await _find_open_course(session, kind, object_id)
    deleting_at, deletion_id = marks
    if deleting_at is None:
        return Course(is_due=False, is_kept=True)
    if deletion_id is None:
        return Course(is_due=True)
    found = await session.execute(
        select(DeletionRow, func.extract("epoch", DeletionRow.due_at - func.now())).where(
            DeletionRow.id == deletion_id
        )
    )
    row = found.one_or_none()
    if row is None:
        return Course(is_due=True)
    deletion: DeletionRow = row[0]
    left = timedelta(seconds=max(0.0, float(row[1])))
    in_grace = deletion.phase is DeletionPhase.GRACE
    is_own = deletion.object_id == object_id
    return Course(
        is_due=is_own or not in_grace,  # the grace of what it belongs to is not its own to end
        deletion_id=DeletionId(deletion.id),
        is_own=is_own,
        wait=left if in_grace else None,
    )


async def commit(session: AsyncSession, deletion_id: DeletionId) -> DeletionPhase:
    """Go past the point of no return, unless somebody has undone it; returns the phase then."""
    await session.execute(
        update(DeletionRow)
        .where(DeletionRow.id == deletion_id, DeletionRow.phase == DeletionPhase.GRACE)
        .values(phase=DeletionPhase.DELETING, committed_at=func.now())
    )
    phase = await session.scalar(select(DeletionRow.phase).where(DeletionRow.id == deletion_id))
    return DeletionPhase.DELETING if phase is None else phase


async def undo(session: AsyncSession, deletion_id: DeletionId, by: str) -> None:
    """Bring back all that a deletion marked. Safe to repeat.

    Raises:
        NotFoundError: there is no such deletion.
        ConflictError: it is past the point of no return, or what it is about has lost its place.
    """
    deletion = await session.scalar(
        select(DeletionRow).where(DeletionRow.id == deletion_id).with_for_update()
    )
    if deletion is None:
        raise NotFoundError("deletion")
    if deletion.phase is DeletionPhase.UNDONE:
        return
    if deletion.phase is not DeletionPhase.GRACE:
        raise ConflictError(TOO_LATE)
    await _require_place(session, deletion)
    if deletion.kind is not DeletionKind.HARNESS:
        await timeline.record_for_marked(
            session,
            deletion_id,
            Happening.DELETION_UNDONE,
            by=by,
            detail=f"With the {deletion.kind}.",
        )
    for table in (UserRow, ProjectRow, HarnessRow, SessionRow):
        unmarked = await session.scalars(
            update(table)
            .where(table.deletion_id == deletion_id)
            .values(deleting_at=None, deletion_id=None)
            .returning(table.id)
            .execution_options(synchronize_session=False)
        )
        if table is HarnessRow and deletion.kind is DeletionKind.HARNESS:
            harness_id = HarnessId(deletion.object_id)
            await timeline.record(session, harness_id, Happening.DELETION_UNDONE, name=by)
        if table is ProjectRow:
            for project_id in unmarked.all():
                await announce(session, "project", project_id, project_id)
    await session.execute(
        _open_row(deletion_id).values(
            phase=DeletionPhase.UNDONE,
            step=None,
            hitches={},
            ended_at=func.now(),
            ended_by_label=by,
        )
    )
    await announce(session, deletion.kind.value, deletion.object_id, deletion.project_id)


async def hand_over(session: AsyncSession, deletion_id: DeletionId) -> None:
    """Give the projects of a user who is being deleted to the heir. Safe to repeat.

    Raises:
        ConflictError: the heir is no user any more.
    """
    deletion = await session.get(DeletionRow, deletion_id, populate_existing=True)
    if deletion is None or deletion.heir_user_id is None:
        return
    heir = await session.scalar(
        select(UserRow.id)
        .where(UserRow.id == deletion.heir_user_id, UserRow.deleting_at.is_(None))
        .with_for_update(read=True)
    )
    if heir is None:
        raise ConflictError(
            f"The heir {deletion.heir_label} has been deleted. Bring that user back and try again, "
            "or skip this step: the projects are torn down then."
        )
    projects = (
        await session.scalars(
            update(ProjectRow)
            .where(ProjectRow.owner_user_id == deletion.object_id)
            .values(owner_user_id=heir)
            .returning(ProjectRow.id)
        )
    ).all()
    await session.execute(
        update(DeletionRow)
        .where(DeletionRow.project_id.in_(projects), DeletionRow.ended_at.is_(None))
        .values(owner_user_id=heir)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        delete(ProjectMemberRow)
        .where(ProjectMemberRow.project_id.in_(projects), ProjectMemberRow.user_id == heir)
        .execution_options(synchronize_session=False)
    )
    for project_id in projects:
        await announce(session, "project", project_id, project_id)


async def note_step(session: AsyncSession, deletion_id: DeletionId, step: str) -> None:
    """Say what is being done."""
    await session.execute(_open_row(deletion_id).values(step=step))


async def note_hitch(
    session: AsyncSession, deletion_id: DeletionId, workflow_id: str, hitch: JsonObject
) -> None:
    """Say that a step of a workflow keeps failing, so that the deletion is stuck."""
    await session.execute(
        _open_row(deletion_id).values(
            hitches=DeletionRow.hitches.concat(cast({workflow_id: hitch}, JSONB)),
            phase=case(
                (DeletionRow.phase == DeletionPhase.DELETING, DeletionPhase.STUCK),
                else_=DeletionRow.phase,
            ),
        )
    )


async def clear_hitch(session: AsyncSession, deletion_id: DeletionId, workflow_id: str) -> None:
    """Say that the step went well in the end, or was skipped."""
    left = DeletionRow.hitches.op("-", return_type=JSONB())(workflow_id)
    is_free = left == cast({}, JSONB)
    await session.execute(
        _open_row(deletion_id).values(
            hitches=left,
            phase=case(
                ((DeletionRow.phase == DeletionPhase.STUCK) & is_free, DeletionPhase.DELETING),
                else_=DeletionRow.phase,
            ),
        )
    )


async def note_force(session: AsyncSession, deletion_id: DeletionId, force: JsonObject) -> None:
    """Keep that an operator had a step skipped, and why."""
    await session.execute(
        update(DeletionRow)
        .where(DeletionRow.id == deletion_id)
        .values(forced=DeletionRow.forced.concat(cast([force], JSONB)))
    )


async def finish(session: AsyncSession, deletion_id: DeletionId) -> None:
    """Say that nothing is left of the object."""
    await session.execute(
        _open_row(deletion_id).values(
            phase=DeletionPhase.DONE,
            committed_at=func.coalesce(DeletionRow.committed_at, func.now()),
            ended_at=func.now(),
            step=None,
            hitches={},
        )
    )


async def _find_open_course(session: ReadSession, kind: DeletionKind, object_id: UUID) -> Course:
    """Find a deletion whose object has no row any more: all that is left is to end it."""
    found = await session.scalar(
        select(DeletionRow.id).where(
            DeletionRow.object_id == object_id,
            DeletionRow.kind == kind,
            DeletionRow.ended_at.is_(None),
        )
    )
    if found is None:
        return Course(is_due=False)
    return Course(is_due=True, deletion_id=DeletionId(found), is_own=True)


TOO_LATE = "This deletion is past the point of no return: it cannot be undone any more."


async def _require_place(session: AsyncSession, deletion: DeletionRow) -> None:
    """Refuse to bring something back to where it cannot be."""
    match deletion.kind:
        case DeletionKind.HARNESS:
            is_gone = exists().where(
                HarnessRow.id == deletion.object_id,
                ProjectRow.id == HarnessRow.project_id,
                ProjectRow.deleting_at.is_not(None),
            )
            reason = "Its project is being deleted too. Undo that first."
        case DeletionKind.PROJECT:
            is_gone = exists().where(
                ProjectRow.id == deletion.object_id,
                UserRow.id == ProjectRow.owner_user_id,
                UserRow.deleting_at.is_not(None),
            )
            reason = "Its owner is being deleted too. Undo that first."
        case DeletionKind.USER:
            is_gone = exists().where(
                UserRow.username == deletion.label, UserRow.deleting_at.is_(None)
            )
            reason = (
                f"Another user is named {deletion.label} by now, and names are unique. "
                "Delete that one first."
            )
        case _:
            assert_never(deletion.kind)
    if await session.scalar(select(is_gone)):
        raise ConflictError(reason)


def _open_row(deletion_id: DeletionId) -> Update:
    return update(DeletionRow).where(DeletionRow.id == deletion_id, DeletionRow.ended_at.is_(None))


def _table(kind: DeletionKind) -> type[UserRow | ProjectRow | HarnessRow]:
    match kind:
        case DeletionKind.HARNESS:
            return HarnessRow
        case DeletionKind.PROJECT:
            return ProjectRow
        case DeletionKind.USER:
            return UserRow
    assert_never(kind)
