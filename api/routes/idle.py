"""What keeps sandboxes awake, what letting them sleep saves, and what happened to each harness."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, status

from api.dependencies import AdminUser, Db, HarnessAccess, Site
from api.schemas.errors import answers
from api.schemas.harnesses import Lease, Timeline, TimelineEntry
from api.schemas.site import Savings
from cattery.db import idle, leases, timeline

router = APIRouter(tags=["harnesses"])

MAX_ENTRIES = 100


@router.post(
    "/harnesses/{harness_id}/lease",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 404),
)
async def keep_awake(access: HarnessAccess, lease: Lease, database: Db) -> None:
    """Keep the sandbox awake for so long from now on, though nobody uses it."""
    async with database.write() as session:
        await leases.keep_awake(
            session,
            access.project_id,
            access.harness_id,
            timedelta(minutes=lease.minutes),
            access.user.user_id,
        )


@router.delete(
    "/harnesses/{harness_id}/lease",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 404),
)
async def let_sleep(access: HarnessAccess, database: Db) -> None:
    """Let the sandbox be suspended as usual again."""
    async with database.write() as session:
        await leases.let_sleep(session, access.project_id, access.harness_id, access.user.user_id)


@router.get("/harnesses/{harness_id}/timeline", responses=answers(400, 401, 404))
async def read_timeline(
    access: HarnessAccess,
    database: Db,
    before: Annotated[
        int | None, Query(ge=1, le=2**62, description="Of the page before; the newest without it.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ENTRIES)] = 50,
) -> Timeline:
    """Tell what happened to the harness and who did it, the newest first."""
    async with database.read() as session:
        found = await timeline.list_timeline(
            session, access.harness_id, before=before, limit=limit + 1
        )
    page = found[:limit]
    return Timeline(
        entries=[TimelineEntry.model_validate(entry) for entry in page],
        before=page[-1].entry_id if len(found) > limit else None,
    )


@router.get("/admin/savings", responses=answers(401, 403))
async def read_savings(_: AdminUser, database: Db, site: Site) -> Savings:
    """Tell what suspending idle sandboxes has saved."""
    async with database.read() as session:
        saved = await idle.read_savings(session)
    return Savings(
        sleeping=saved.sleeping,
        slept_seconds=saved.seconds,
        idle_timeout_seconds=site.idle_timeout_seconds,
    )
