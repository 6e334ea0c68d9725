"""Every query of the routes about harnesses; what a sandbox does is written by its activities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Text, Uuid, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import Database
from cattery.db.feed import announce
from cattery.db.idle import describe_idle_timeout, note_use
from cattery.db.leases import BY_HAND
from cattery.db.projects import Role, lock_project, role_of, visible_to
from cattery.db.statements import Statement, run_for_one
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow, ProjectRow, SandboxLeaseRow, SessionRow, UserRow
from cattery.db.timeline import Happening
from cattery.errors import NotFoundError
from cattery.ids import DeletionId, HarnessId, ProjectId, UserId, new_id
from cattery.jsontypes import Json, JsonObject


@dataclass(frozen=True, slots=True)
class HarnessProjectRecord:
    """The project of a harness."""

    project_id: ProjectId
    owner_user_id: UserId
    project_name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class HarnessRecord:
    """A harness as one of its users sees it."""

    harness_id: HarnessId
    project_id: ProjectId
    harness_name: str | None
    model: str
    type: str
    env_vars: JsonObject
    sandbox_status: HarnessStatus
    task_name: str | None
    sandbox_url: str | None
    access_role: Role
    owner_username: str
    created_at: datetime
    project: HarnessProjectRecord
    failure: str | None
    steps: list[Json]
    generation: int
    waiting: str | None
    runtime_events: list[Json]
    recoveries: list[Json]
    idle_timeout_seconds: int | None
    used_at: datetime
    suspended_at: datetime | None
    stopped_reason: str | None
    awake_until: datetime | None


@dataclass(frozen=True, slots=True)
class NewHarness:
    """A harness to be made, checked."""

    name: str | None
    model: str
    type: str
    env_vars: Mapping[str, str]
    idle_timeout_seconds: int | None = None


async def create_harness(
    session: AsyncSession, project_id: ProjectId, user_id: UserId, harness: NewHarness
) -> HarnessRecord:
    """Add a harness whose sandbox is about to start.

    Raises:
        NotFoundError: the project is being deleted.
    """
    await lock_project(session, project_id)
    harness_id = HarnessId(new_id())
    await session.execute(
        insert(HarnessRow).values(
            id=harness_id,
            project_id=project_id,
            name=harness.name,
            type=harness.type,
            model=harness.model,
            env_vars=dict(harness.env_vars),
            idle_timeout_seconds=harness.idle_timeout_seconds,
            status=HarnessStatus.STARTING,
        )
    )
    await timeline.record(session, harness_id, Happening.CREATED, by=user_id)
    await announce(session, "harness", harness_id, project_id)
    return await get_harness(session, harness_id, user_id)


async def list_harnesses(
    database: Database, project_id: ProjectId, user_id: UserId
) -> Sequence[HarnessRecord]:
    """List a project's harnesses, newest first."""
    rows = await database.fetch_all(_LIST, project_id=project_id, user_id=user_id, holder=BY_HAND)
    return [_record(row) for row in rows]


async def get_harness(
    session: AsyncSession, harness_id: HarnessId, user_id: UserId
) -> HarnessRecord:
    """Read a harness as one of its users sees it.

    Raises:
        NotFoundError: there is none, or it is not the user's.
    """
    row = await run_for_one(session, _GET, harness_id=harness_id, user_id=user_id, holder=BY_HAND)
    if row is None:
        raise NotFoundError("harness")
    return _record(row)


async def rename_harness(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    name: str,
    *,
    by: UserId | None = None,
) -> None:
    """Give a harness another name."""
    changed = await session.scalar(
        update(HarnessRow)
        .where(
            HarnessRow.id == harness_id,
            HarnessRow.deleting_at.is_(None),
            HarnessRow.name.is_distinct_from(name),
        )
        .values(name=name)
        .returning(HarnessRow.id)
    )
    if changed is not None:
        await timeline.record(session, harness_id, Happening.RENAMED, by=by, detail=f"To {name}.")
        await announce(session, "harness", harness_id, project_id)


async def set_idle_timeout(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    seconds: int | None,
    *,
    by: UserId,
) -> None:
    """Say how long the sandbox may rest before it is suspended; `None`: as the site says."""
    changed = await session.scalar(
        update(HarnessRow)
        .where(
            HarnessRow.id == harness_id,
            HarnessRow.deleting_at.is_(None),
            HarnessRow.idle_timeout_seconds.is_distinct_from(seconds),
        )
        .values(idle_timeout_seconds=seconds)
        .returning(HarnessRow.id)
    )
    if changed is not None:
        detail = describe_idle_timeout(seconds)
        kind = Happening.IDLE_TIMEOUT_CHANGED
        await timeline.record(session, harness_id, kind, by=by, detail=detail)
        await announce(session, "harness", harness_id, project_id)


async def note_start_requested(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    *,
    by: UserId | None = None,
) -> None:
    """Say at once that a stopped or failed sandbox starts again, so that clients wait for it."""
    changed = await session.scalar(
        update(HarnessRow)
        .where(
            HarnessRow.id == harness_id,
            HarnessRow.deleting_at.is_(None),
            HarnessRow.status.in_([HarnessStatus.IDLE, HarnessStatus.FAILED]),
        )
        .values(
            status=HarnessStatus.STARTING,
            failure=None,
            waiting=None,
            steps=[],
            runtime_events=[],
            recoveries=[],
        )
        .returning(HarnessRow.id)
    )
    await note_use(session, harness_id)
    if changed is not None:
        await timeline.record(session, harness_id, Happening.START_ASKED, by=by)
        await announce(session, "harness", harness_id, project_id)


async def note_stop_requested(session: AsyncSession, harness_id: HarnessId, by: UserId) -> None:
    """Keep who wants the sandbox stopped; the stop itself follows."""
    found = await session.scalar(
        select(HarnessRow.status)
        .where(HarnessRow.id == harness_id, HarnessRow.deleting_at.is_(None))
        .with_for_update(key_share=True)
    )
    if found in (HarnessStatus.STARTING, HarnessStatus.READY):
        await timeline.record(session, harness_id, Happening.STOP_ASKED, by=by)


async def tombstone_harness(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    *,
    deletion_id: DeletionId | None = None,
) -> None:
    """Begin the deletion of a harness: it and its sessions are invisible from now on.

    Raises:
        NotFoundError: somebody else's deletion came first.
    """
    marked = await session.scalar(
        update(HarnessRow)
        .where(HarnessRow.id == harness_id, HarnessRow.deleting_at.is_(None))
        .values(deleting_at=func.now(), deletion_id=deletion_id)
        .returning(HarnessRow.id)
    )
    if marked is None:
        raise NotFoundError("harness")
    await session.execute(
        update(SessionRow)
        .where(SessionRow.harness_id == harness_id, SessionRow.deleting_at.is_(None))
        .values(deleting_at=func.now(), deletion_id=deletion_id)
    )
    await announce(session, "harness", harness_id, project_id)


def _record(row: Sequence[Any]) -> HarnessRecord:
    values = dict(zip(_COLUMNS, row, strict=False))
    values["sandbox_status"] = HarnessStatus(values["sandbox_status"])
    is_owner, owner_user_id, project_name, project_created_at = row[len(_COLUMNS) :]
    project = HarnessProjectRecord(
        values["project_id"], UserId(owner_user_id), project_name, project_created_at
    )
    return HarnessRecord(**values, access_role=role_of(is_owner), project=project)


_USER: ColumnElement[UUID] = bindparam("user_id", type_=Uuid)
_AWAKE_UNTIL = (
    select(SandboxLeaseRow.expires_at)
    .where(
        SandboxLeaseRow.harness_id == HarnessRow.id,
        SandboxLeaseRow.holder == bindparam("holder", type_=Text),
        SandboxLeaseRow.expires_at > func.now(),
    )
    .scalar_subquery()
)
_COLUMNS: Final = {
    "harness_id": HarnessRow.id,
    "project_id": ProjectRow.id,
    "harness_name": HarnessRow.name,
    "model": HarnessRow.model,
    "type": HarnessRow.type,
    "env_vars": HarnessRow.env_vars,
    "sandbox_status": HarnessRow.status,
    "task_name": HarnessRow.task_name,
    "sandbox_url": HarnessRow.endpoint_url,
    "owner_username": UserRow.username,
    "created_at": HarnessRow.created_at,
    "failure": HarnessRow.failure,
    "steps": HarnessRow.steps,
    "generation": HarnessRow.generation,
    "waiting": HarnessRow.waiting,
    "runtime_events": HarnessRow.runtime_events,
    "recoveries": HarnessRow.recoveries,
    "idle_timeout_seconds": HarnessRow.idle_timeout_seconds,
    "used_at": HarnessRow.used_at,
    "suspended_at": HarnessRow.suspended_at,
    "stopped_reason": HarnessRow.stopped_reason,
    "awake_until": _AWAKE_UNTIL,
}
"""Where the fields of a record come from that are a column's value."""
_HARNESSES = (
    select(
        *_COLUMNS.values(),
        ProjectRow.owner_user_id == _USER,
        ProjectRow.owner_user_id,
        ProjectRow.name,
        ProjectRow.created_at,
    )
    .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
    .join(UserRow, UserRow.id == ProjectRow.owner_user_id)
    .where(HarnessRow.deleting_at.is_(None), visible_to(_USER))
)
_LIST = Statement(
    _HARNESSES.where(HarnessRow.project_id == bindparam("project_id", type_=Uuid)).order_by(
        HarnessRow.created_at.desc(), HarnessRow.id
    )
)
_GET = Statement(_HARNESSES.where(HarnessRow.id == bindparam("harness_id", type_=Uuid)))
