"""What routes take as parameters. Permission is part of the type: who is in the signature may.

A route that takes `ProjectOwner` cannot be reached by anybody else; there is no check to forget.
The token comes from `Authorization: Bearer`, from our own UI's cookie, and, on the few routes that
take a `…ByQuery` type, from `?token=`.
"""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Query, Security
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from api.lifecycles import Lifecycles
from api.rights import StandingRights
from api.site import SiteFacts
from cattery.auth.access import (
    Caller,
    HarnessGrant,
    ProjectGrant,
    SessionGrant,
    grant_harness,
    grant_project,
    grant_session,
)
from cattery.auth.sign_in import SignIn
from cattery.db.engine import Database
from cattery.errors import ForbiddenError, NotSignedInError
from cattery.events.hub import StreamHub
from cattery.harnesses.registry import HarnessRegistry
from cattery.sandboxes.port import SandboxAccess
from cattery.settings import ApiSettings

SESSION_COOKIE = "cattery_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Parts:
    """What the app was made of, for the dependencies below; `create_app` puts it in its state."""

    settings: ApiSettings
    site: SiteFacts
    registry: HarnessRegistry
    database: Database
    runtime: SandboxAccess
    lifecycles: Lifecycles
    hub: StreamHub
    rights: StandingRights
    sign_in: SignIn


def parts_of(connection: HTTPConnection) -> Parts:
    """Return the parts of the app that answers a request."""
    parts: Parts = connection.app.state.parts
    return parts


_Parts = Annotated[Parts, Depends(parts_of)]


def _settings(parts: _Parts) -> ApiSettings:
    return parts.settings


def _site(parts: _Parts) -> SiteFacts:
    return parts.site


def _registry(parts: _Parts) -> HarnessRegistry:
    return parts.registry


def _database(parts: _Parts) -> Database:
    return parts.database


def _runtime(parts: _Parts) -> SandboxAccess:
    return parts.runtime


def _lifecycles(parts: _Parts) -> Lifecycles:
    return parts.lifecycles


def _hub(parts: _Parts) -> StreamHub:
    return parts.hub


def _rights(parts: _Parts) -> StandingRights:
    return parts.rights


def _sign_in(parts: _Parts) -> SignIn:
    return parts.sign_in


Settings = Annotated[ApiSettings, Depends(_settings)]
Site = Annotated[SiteFacts, Depends(_site)]
Registry = Annotated[HarnessRegistry, Depends(_registry)]
Db = Annotated[Database, Depends(_database)]
Runtime = Annotated[SandboxAccess, Depends(_runtime)]
LifecyclesDep = Annotated[Lifecycles, Depends(_lifecycles)]
HubDep = Annotated[StreamHub, Depends(_hub)]
RightsDep = Annotated[StandingRights, Depends(_rights)]
SignInDep = Annotated[SignIn, Depends(_sign_in)]


class _BearerScheme(SecurityBase):
    """`Authorization: Bearer <jwt>`, on HTTP requests and WebSocket handshakes alike."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="The token of `login`.")
        self.scheme_name = "bearer"

    def __call__(self, connection: HTTPConnection) -> str | None:
        scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None


class _CookieScheme(SecurityBase):
    """The cookie that `login` sets for our own UI, which is served from our own origin."""

    def __init__(self) -> None:
        self.model = APIKey(
            **{"in": APIKeyIn.cookie},
            name=SESSION_COOKIE,
            description="Set by `login`; counts only for requests from our own pages.",
        )
        self.scheme_name = "cookie"

    def __call__(self, connection: HTTPConnection) -> str | None:
        return connection.cookies.get(SESSION_COOKIE)


_Bearer = Annotated[str | None, Security(_BearerScheme())]
_Cookie = Annotated[str | None, Security(_CookieScheme())]
_QueryToken = Annotated[
    str | None, Query(description="The token, where a header cannot be set. Never logged.")
]


async def _current_user(
    connection: HTTPConnection, sign_in: SignInDep, bearer: _Bearer, cookie: _Cookie
) -> Caller:
    return await _identify(connection, sign_in, bearer, cookie)


async def _current_user_by_query(
    connection: HTTPConnection,
    sign_in: SignInDep,
    bearer: _Bearer,
    cookie: _Cookie,
    token: _QueryToken = None,
) -> Caller:
    return await _identify(connection, sign_in, bearer or token, cookie)


async def _identify(
    connection: HTTPConnection, sign_in: SignIn, token: str | None, cookie: str | None
) -> Caller:
    if not token and cookie:
        _require_same_origin(connection)
        token = cookie
    if not token:
        raise NotSignedInError
    return await sign_in.identify(token)


CurrentUser = Annotated[Caller, Depends(_current_user)]
CurrentUserByQuery = Annotated[Caller, Depends(_current_user_by_query)]


def _admin(user: CurrentUser) -> Caller:
    user.require_admin()
    return user


AdminUser = Annotated[Caller, Depends(_admin)]

_UUID = {"format": "uuid"}
_ProjectId = Annotated[str, Path(json_schema_extra=_UUID)]
_HarnessId = Annotated[str, Path(json_schema_extra=_UUID)]
_SessionId = Annotated[str, Path(json_schema_extra=_UUID)]


async def _project(user: CurrentUser, database: Db, project_id: _ProjectId) -> ProjectGrant:
    return await grant_project(database, user, project_id)


async def _project_by_query(
    user: CurrentUserByQuery, database: Db, project_id: _ProjectId
) -> ProjectGrant:
    return await grant_project(database, user, project_id)


ProjectAccess = Annotated[ProjectGrant, Depends(_project)]
ProjectAccessByQuery = Annotated[ProjectGrant, Depends(_project_by_query)]


def _project_owner(access: ProjectAccess) -> ProjectGrant:
    access.require_owner()
    return access


ProjectOwner = Annotated[ProjectGrant, Depends(_project_owner)]


async def _harness(user: CurrentUser, database: Db, harness_id: _HarnessId) -> HarnessGrant:
    return await grant_harness(database, user, harness_id)


async def _harness_even_deleting(
    user: CurrentUser, database: Db, harness_id: _HarnessId
) -> HarnessGrant:
    return await grant_harness(database, user, harness_id, even_deleting=True)


HarnessAccess = Annotated[HarnessGrant, Depends(_harness)]
HarnessAccessEvenDeleting = Annotated[HarnessGrant, Depends(_harness_even_deleting)]


def _harness_owner(access: HarnessAccess) -> HarnessGrant:
    access.require_owner()
    return access


HarnessOwner = Annotated[HarnessGrant, Depends(_harness_owner)]


async def _session(
    user: CurrentUser, database: Db, registry: Registry, session_id: _SessionId
) -> SessionGrant:
    return await grant_session(database, registry, user, session_id)


async def _session_by_query(
    user: CurrentUserByQuery, database: Db, registry: Registry, session_id: _SessionId
) -> SessionGrant:
    return await grant_session(database, registry, user, session_id)


SessionAccess = Annotated[SessionGrant, Depends(_session)]
SessionAccessByQuery = Annotated[SessionGrant, Depends(_session_by_query)]


def _require_same_origin(connection: HTTPConnection) -> None:
    """Refuse a cookie on a request that a foreign page may have made.

    Reads are safe by themselves; a WebSocket is no read, though its handshake is a GET.
    """
    is_websocket = connection.scope["type"] == "websocket"
    if not is_websocket and connection.scope["method"] in SAFE_METHODS:
        return
    site = connection.headers.get("Sec-Fetch-Site")
    if site is None:
        origin = urlsplit(connection.headers.get("Origin", ""))
        is_same = bool(origin.netloc) and origin.netloc == connection.headers.get("Host")
    else:
        is_same = site == "same-origin"
    if not is_same:
        raise ForbiddenError("A request from another site needs a token of its own, not a cookie.")
