"""What the site offers, and its probes."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response, status

from api.dependencies import CurrentUser, Runtime, Settings, Site
from api.schemas.errors import answers
from api.schemas.site import (
    Alive,
    DeletionGraces,
    HarnessTypeOffer,
    Isolation,
    Readiness,
    Site as SiteAnswer,
)
from api.site import HealthCheck
from cattery.deletion_states import DeletionKind

router = APIRouter(tags=["site"])
probes = APIRouter(tags=["probes"])

CHECK_TIMEOUT = 2.0


@router.get("/site", responses=answers(401))
async def read_site(
    user: CurrentUser, site: Site, settings: Settings, runtime: Runtime
) -> SiteAnswer:
    """Tell the facts of this installation."""
    return SiteAnswer(
        version=site.version,
        demo_model=site.demo_model,
        demo_hint=site.demo_hint,
        isolation=Isolation.model_validate(await runtime.isolation()),
        temporal_ui_url=settings.temporal_ui_url if user.is_admin else None,
        harness_types=[HarnessTypeOffer.model_validate(known) for known in site.harness_types],
        idle_timeout_seconds=site.idle_timeout_seconds,
        deletion_grace_seconds=DeletionGraces(
            **{kind: int(settings.grace_of(kind).total_seconds()) for kind in DeletionKind}
        ),
    )


@probes.get("/healthz")
async def check_health() -> Alive:
    """Answer while the process lives."""
    return Alive()


def _checks(request: Request) -> dict[str, HealthCheck]:
    checks: dict[str, HealthCheck] = request.app.state.checks
    return checks


@probes.get("/readyz", responses={503: {"model": Readiness}})
async def check_readiness(
    response: Response, checks: Annotated[dict[str, HealthCheck], Depends(_checks)]
) -> Readiness:
    """Tell whether requests can be served, and what is missing for it."""
    results = await asyncio.gather(*(_passes(check) for check in checks.values()))
    missing = [name for name, passed in zip(checks, results, strict=True) if not passed]
    if missing:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(status="unavailable" if missing else "ok", missing=missing)


async def _passes(check: HealthCheck) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except Exception:  # noqa: BLE001 - whatever went wrong, the part is not there
        return False
    return True
