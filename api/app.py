"""Builds the HTTP app from its parts; nothing happens at import."""

from collections.abc import Mapping
from functools import partial
from typing import Any, override

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.dependencies import Parts
from api.errors import UnexpectedErrors, add_error_handlers
from api.lifecycles import Lifecycles
from api.middleware.body_limit import BodyLimit
from api.middleware.cross_origin import CrossOrigin
from api.middleware.request_log import RequestLog
from api.middleware.security_headers import SecurityHeaders
from api.rights import StandingRights
from api.routes import (
    auth,
    deletions,
    events,
    files,
    harnesses,
    history,
    idle,
    models,
    projects,
    prompts,
    sessions,
    site,
    skills,
    socket,
    terminal,
    users,
)
from api.site import HealthCheck, SiteFacts
from api.web_ui import WebUi
from cattery.auth.passwords import Passwords
from cattery.auth.sign_in import SignIn
from cattery.auth.tokens import TokenSigner
from cattery.db.engine import Database
from cattery.db.outages import check_database
from cattery.db.rate_limits import RateLimit
from cattery.events.hub import StreamHub
from cattery.harnesses.registry import HarnessRegistry
from cattery.sandboxes.port import SandboxAccess
from cattery.settings import ApiSettings

API_PREFIX = "/api/v1"
DESCRIPTION = """\
Sign in with `POST /auth/login` and send the token as `Authorization: Bearer`. Every error is
`{message, code}`; 401 always means that the sign-in has ended. Ids are UUIDs, times RFC 3339.
"""


def create_app(
    settings: ApiSettings,
    site_facts: SiteFacts,
    registry: HarnessRegistry,
    database: Database,
    runtime: SandboxAccess,
    lifecycles: Lifecycles,
    hub: StreamHub,
    *,
    passwords: Passwords | None = None,
    checks: Mapping[str, HealthCheck] | None = None,
) -> FastAPI:
    """Build the app. Whoever made the parts starts and closes them.

    Args:
        settings: the HTTP process's settings.
        site_facts: what `GET /site` tells.
        registry: the harness types that can be chosen.
        database: rows and the event log.
        runtime: files, skills and sandbox logs.
        lifecycles: the workflows.
        hub: the live side of the event log, started.
        passwords: cheaper hashes, for tests.
        checks: what `/readyz` asks beside the database, by name.
    """
    app = create_bare_app()
    signer = TokenSigner(settings.jwt_secret.get_secret_value(), settings.token_lifetime)
    limit = RateLimit(settings.login_burst, settings.login_per_minute)
    app.state.parts = Parts(
        settings=settings,
        site=site_facts,
        registry=registry,
        database=database,
        runtime=runtime,
        lifecycles=lifecycles,
        hub=hub,
        rights=StandingRights(database, hub),
        sign_in=SignIn(database, signer, passwords or Passwords(), limit),
    )
    app.state.checks = {"database": partial(check_database, database), **(checks or {})}
    # The last one added is the outermost.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(WebUi, dist=settings.web_dist)
    app.add_middleware(UnexpectedErrors)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CrossOrigin, allowed_origins=settings.allowed_origins)
    app.add_middleware(RequestLog)
    if settings.trusted_proxies:
        trusted = list(settings.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)
    return app


def create_bare_app() -> FastAPI:
    """Build the routes and their description without the parts that answer them."""
    app = _App(
        title="Cattery",
        version="1",
        description=DESCRIPTION,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        generate_unique_id_function=_operation_id,
    )
    add_error_handlers(app)
    api = APIRouter(prefix=API_PREFIX)
    for noun in (
        auth,
        users,
        projects,
        harnesses,
        idle,
        sessions,
        prompts,
        history,
        events,
        socket,
        terminal,
        files,
        skills,
        models,
        deletions,
        site,
    ):
        api.include_router(noun.router)
    app.include_router(api)
    app.include_router(site.probes)
    return app


class _App(FastAPI):
    """FastAPI, but with the contract's 400 where FastAPI would document its own 422."""

    @override
    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for operations in document["paths"].values():
                for operation in operations.values():
                    if operation["responses"].pop("422", None):
                        operation["responses"].setdefault("400", _BAD_REQUEST)
            for name in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(name, None)
        return super().openapi()


_BAD_REQUEST = {
    "description": "The request is wrong; `message` names the field.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
}


def _operation_id(route: APIRoute) -> str:
    return route.name
