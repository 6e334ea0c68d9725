"""Deletions: what is being deleted, the way back, and what to do about one that is stuck.

Owners see and steer those of their own projects and harnesses, admins all; only admins force one.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, status

from api.dependencies import AdminUser, CurrentUser, Db, LifecyclesDep
from api.schemas.deletions import Deletion, DeletionForced, ForcedStep, Hitch
from api.schemas.errors import answers
from cattery.auth.access import Caller
from cattery.db import deletions
from cattery.db.deletions import DeletionRecord
from cattery.deletion_states import DeletionPhase
from cattery.errors import ConflictError, NotFoundError
from cattery.ids import DeletionId, parse_id

router = APIRouter(prefix="/deletions", tags=["deletions"])


async def _deletion(
    user: CurrentUser,
    database: Db,
    deletion_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> DeletionRecord:
    known = parse_id(deletion_id)
    if known is None:
        raise NotFoundError("deletion")
    async with database.read() as session:
        return await deletions.get_deletion(
            session, DeletionId(known), user.user_id, is_admin=user.is_admin
        )


Found = Annotated[DeletionRecord, Depends(_deletion)]


@router.get("", responses=answers(401))
async def list_deletions(user: CurrentUser, database: Db) -> list[Deletion]:
    """List what is being deleted, and what was in the last seven days; newest first."""
    async with database.read() as session:
        found = await deletions.list_deletions(session, user.user_id, is_admin=user.is_admin)
    return [_present(record, user) for record in found]


@router.get("/{deletion_id}", responses=answers(401, 404))
async def read_deletion(user: CurrentUser, found: Found) -> Deletion:
    """Read how far a deletion is."""
    return _present(found, user)


@router.post(
    "/{deletion_id}/undo",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 404, 409, 503),
)
async def undo_deletion(user: CurrentUser, found: Found, lifecycles: LifecyclesDep) -> None:
    """Bring everything back; 409 past the point of no return."""
    if found.phase is DeletionPhase.UNDONE:
        return
    _require_grace(found)
    await lifecycles.undo_deletion(found, user.username)


@router.post(
    "/{deletion_id}/delete-now",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 404, 409, 503),
)
async def end_deletion_grace(
    _: CurrentUser, database: Db, found: Found, lifecycles: LifecyclesDep
) -> None:
    """Skip the rest of the grace."""
    _require_grace(found)
    async with database.write() as session:
        await deletions.end_grace(session, found.deletion_id)
    await lifecycles.hurry_deletion(found)


@router.post(
    "/{deletion_id}/retry",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 404, 409, 503),
)
async def retry_deletion(_: CurrentUser, found: Found, lifecycles: LifecyclesDep) -> None:
    """Try the steps that are stuck again now."""
    _require_stuck(found)
    await lifecycles.retry_deletion(found)


@router.post(
    "/{deletion_id}/force",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 403, 404, 409, 503),
)
async def force_deletion(
    admin: AdminUser, found: Found, wish: DeletionForced, lifecycles: LifecyclesDep
) -> None:
    """Skip the steps that are stuck. Who did it and why is kept."""
    _require_stuck(found)
    await lifecycles.force_deletion(found, admin.username, wish.reason)


def _require_grace(found: DeletionRecord) -> None:
    if found.phase is not DeletionPhase.GRACE:
        raise ConflictError(
            f"The deletion of {found.label} is past the point of no return: nothing of it waits "
            "any more, and nothing can be brought back."
        )


def _require_stuck(found: DeletionRecord) -> None:
    if not found.hitches:
        raise ConflictError(f"The deletion of {found.label} is not stuck. Wait for it to end.")


def _present(record: DeletionRecord, user: Caller) -> Deletion:
    is_in_grace = record.phase is DeletionPhase.GRACE
    is_stuck = bool(record.hitches) and record.ended_at is None
    return Deletion(
        deletion_id=record.deletion_id,
        kind=record.kind,
        object_id=record.object_id,
        name=record.label,
        project_id=record.project_id,
        requested_by=record.requested_by_label,
        requested_at=record.requested_at,
        due_at=record.due_at,
        phase=record.phase,
        step=record.step,
        stuck=[Hitch.model_validate(hitch) for hitch in record.hitches.values()],
        forced=[ForcedStep.model_validate(step) for step in record.forced],
        heir=record.heir_label,
        committed_at=record.committed_at,
        ended_at=record.ended_at,
        ended_by=record.ended_by_label,
        may_undo=is_in_grace,
        may_hurry=is_in_grace,
        may_retry=is_stuck,
        may_force=is_stuck and user.is_admin,
    )
