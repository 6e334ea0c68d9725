"""Every query of the routes about harnesses; what a sandbox does is written by its activities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.feed import announce
from cattery.db.idle import describe_idle_timeout, note_use
from cattery.db.leases import BY_HAND
from cattery.db.projects import Role, lock_project, role_of, visible_to
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
    session: AsyncSession, project_id: ProjectId, user_id: UserId
) -> Sequence[HarnessRecord]:
    """List a project's harnesses, newest first."""
    return await _select_harnesses(session, user_id, HarnessRow.project_id == project_id)


async def get_harness(
    session: AsyncSession, harness_id: HarnessId, user_id: UserId
) -> HarnessRecord:
    """Read a harness as one of its users sees it.

    Raises:
        NotFoundError: there is none, or it is not the user's.
    """
    found = await _select_harnesses(session, user_id, HarnessRow.id == harness_id)
    if not found:
        raise NotFoundError("harness")
    return found[0]


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


async def _select_harnesses(
    session: AsyncSession, user_id: UserId, which: ColumnElement[bool]
) -> Sequence[HarnessRecord]:
    awake_until = (
        select(SandboxLeaseRow.expires_at)
        .where(
            SandboxLeaseRow.harness_id == HarnessRow.id,
            SandboxLeaseRow.holder == BY_HAND,
            SandboxLeaseRow.expires_at > func.now(),
        )
        .scalar_subquery()
    )
    rows = await session.execute(
        select(HarnessRow, ProjectRow, UserRow.username, awake_until)
        .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
        .join(UserRow, UserRow.id == ProjectRow.owner_user_id)
        .where(which, HarnessRow.deleting_at.is_(None), visible_to(user_id))
        .order_by(HarnessRow.created_at.desc(), HarnessRow.id)
        .execution_options(populate_existing=True)
    )
    return [
        _record(harness, project, owner_username, user_id, until)
        for harness, project, owner_username, until in rows
    ]


def _record(
    harness: HarnessRow,
    project: ProjectRow,
    owner_username: str,
    user_id: UserId,
    awake_until: datetime | None,
) -> HarnessRecord:
    project_id, owner_user_id = ProjectId(project.id), UserId(project.owner_user_id)
    return HarnessRecord(
        harness_id=HarnessId(harness.id),
        project_id=project_id,
        harness_name=harness.name,
        model=harness.model,
        type=harness.type,
        env_vars=harness.env_vars,
        sandbox_status=harness.status,
        task_name=harness.task_name,
        sandbox_url=harness.endpoint_url,
        access_role=role_of(owner_user_id == user_id),
        owner_username=owner_username,
        created_at=harness.created_at,
        project=HarnessProjectRecord(project_id, owner_user_id, project.name, project.created_at),
        failure=harness.failure,
        steps=harness.steps,
        generation=harness.generation,
        waiting=harness.waiting,
        runtime_events=harness.runtime_events,
        recoveries=harness.recoveries,
        idle_timeout_seconds=harness.idle_timeout_seconds,
        used_at=harness.used_at,
        suspended_at=harness.suspended_at,
        stopped_reason=harness.stopped_reason,
        awake_until=awake_until,
    )
