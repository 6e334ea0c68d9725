"""Harnesses and their sandboxes (contract/api.md, Harnesses)."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, status

from api.dependencies import (
    Db,
    HarnessAccess,
    HarnessOwner,
    LifecyclesDep,
    ProjectAccess,
    Registry,
    Runtime,
    Settings,
)
from api.follow_up import tell_lifecycles
from api.schemas.errors import answers
from api.schemas.harnesses import Harness, HarnessCreate, HarnessLog, HarnessUpdate
from cattery.catalog import clean_model_id
from cattery.db import deletions, harnesses
from cattery.db.deletions import Asker
from cattery.db.harnesses import HarnessRecord, NewHarness
from cattery.deletion_states import DeletionKind
from cattery.harnesses.registry import DEFAULT_TYPE, HarnessRegistry

router = APIRouter(tags=["harnesses"])

MAX_LOG_LINES = 2_000


@router.get("/projects/{project_id}/harnesses", responses=answers(401, 404))
async def list_harnesses(access: ProjectAccess, database: Db, registry: Registry) -> list[Harness]:
    """List a project's harnesses, newest first."""
    found = await harnesses.list_harnesses(database, access.project_id, access.user.user_id)
    return [_present(harness, registry) for harness in found]


@router.post(
    "/projects/{project_id}/harnesses",
    status_code=status.HTTP_201_CREATED,
    responses=answers(400, 401, 404),
)
async def create_harness(
    access: ProjectAccess,
    wanted: HarnessCreate,
    database: Db,
    lifecycles: LifecyclesDep,
    registry: Registry,
) -> Harness:
    """Make a harness; its sandbox starts at once."""
    harness_type = DEFAULT_TYPE if wanted.type is None else wanted.type
    registry.require_known(harness_type)
    new = NewHarness(
        wanted.harness_name,
        clean_model_id(wanted.model),
        harness_type,
        wanted.env_vars or {},
        wanted.idle_timeout_seconds,
    )
    async with database.write() as session:
        harness = await harnesses.create_harness(
            session, access.project_id, access.user.user_id, new
        )
    await tell_lifecycles(lifecycles.start_sandbox(harness.harness_id))
    return _present(harness, registry)


@router.get("/harnesses/{harness_id}", responses=answers(401, 404))
async def read_harness(access: HarnessAccess, database: Db, registry: Registry) -> Harness:
    """Read a harness and how its sandbox is."""
    async with database.read() as session:
        return _present(
            await harnesses.get_harness(session, access.harness_id, access.user.user_id),
            registry,
        )


@router.patch("/harnesses/{harness_id}", responses=answers(400, 401, 403, 404))
async def update_harness(
    access: HarnessOwner, change: HarnessUpdate, database: Db, registry: Registry
) -> Harness:
    """Give a harness another name, or say when its sandbox is suspended."""
    change.require_change()
    user_id, project_id, harness_id = access.user.user_id, access.project_id, access.harness_id
    async with database.write() as session:
        if change.harness_name is not None:
            await harnesses.rename_harness(
                session, project_id, harness_id, change.harness_name, by=user_id
            )
        if "idle_timeout_seconds" in change.model_fields_set:
            await harnesses.set_idle_timeout(
                session, project_id, harness_id, change.idle_timeout_seconds, by=user_id
            )
        return _present(await harnesses.get_harness(session, harness_id, user_id), registry)


@router.delete(
    "/harnesses/{harness_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 403, 404),
)
async def delete_harness(
    access: HarnessOwner, database: Db, lifecycles: LifecyclesDep, settings: Settings
) -> None:
    """Delete a harness with its sandbox and sessions; `/deletions` has the way back."""
    async with database.write() as session:
        await deletions.delete_harness(
            session,
            Asker(access.user.user_id, access.user.username),
            access.project_id,
            access.harness_id,
            grace=settings.grace_of(DeletionKind.HARNESS),
        )
    await tell_lifecycles(lifecycles.delete_harness(access.harness_id))


@router.post(
    "/harnesses/{harness_id}/sandbox",
    status_code=status.HTTP_202_ACCEPTED,
    responses=answers(401, 404),
)
async def start_sandbox(
    access: HarnessAccess, database: Db, lifecycles: LifecyclesDep, registry: Registry
) -> Harness:
    """Start the sandbox (again), also after a failure; nothing happens where it runs."""
    async with database.write() as session:
        await harnesses.note_start_requested(
            session, access.project_id, access.harness_id, by=access.user.user_id
        )
        harness = await harnesses.get_harness(session, access.harness_id, access.user.user_id)
    await tell_lifecycles(lifecycles.start_sandbox(access.harness_id))
    return _present(harness, registry)


@router.delete(
    "/harnesses/{harness_id}/sandbox",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 403, 404, 503),
)
async def stop_sandbox(access: HarnessOwner, database: Db, lifecycles: LifecyclesDep) -> None:
    """Stop the sandbox and keep the harness; its address is forgotten."""
    async with database.write() as session:
        await harnesses.note_stop_requested(session, access.harness_id, access.user.user_id)
    await lifecycles.stop_sandbox(access.harness_id)


@router.get("/harnesses/{harness_id}/log", responses=answers(400, 401, 404, 503))
async def read_harness_log(
    access: HarnessAccess,
    runtime: Runtime,
    lines: Annotated[int, Query(ge=1, le=MAX_LOG_LINES)] = 200,
) -> HarnessLog:
    """Read the last lines that the harness wrote; empty where it has not run."""
    return HarnessLog(log=await runtime.read_log(access.harness_id, lines=lines))


def _present(harness: HarnessRecord, registry: HarnessRegistry) -> Harness:
    kind = registry.transport_of(harness.type)
    return Harness.model_validate(asdict(harness) | {"transport_kind": kind})
