"""The one place that decides who may do what; a grant is the proof, and routes take grants.

An id that is no UUID, that does not exist, or whose project the caller is not in is not found
(404). A caller who may see an object but not manage it is refused (403).
"""

from dataclasses import dataclass
from uuid import UUID

from cattery.db import access
from cattery.db.engine import Database
from cattery.db.projects import Role
from cattery.errors import BadRequestError, ForbiddenError, NotFoundError
from cattery.harnesses.port import TransportKind
from cattery.harnesses.registry import HarnessRegistry
from cattery.ids import AuthSessionId, HarnessId, ProjectId, SessionId, UserId, parse_id


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the request, as of now, and the sign-in that says so."""

    user_id: UserId
    username: str
    is_admin: bool
    auth_session_id: AuthSessionId

    def require_admin(self) -> None:
        """Refuse callers who are not admins."""
        if not self.is_admin:
            raise ForbiddenError("Only admins may do this. Ask an admin of this site.")


@dataclass(frozen=True, slots=True)
class ProjectGrant:
    """Leave to use a project."""

    user: Caller
    project_id: ProjectId
    role: Role

    def require_owner(self) -> None:
        """Refuse callers who do not own the project."""
        if self.role != "owner":
            raise ForbiddenError("Only the project's owner may do this. Ask the owner.")


@dataclass(frozen=True, slots=True)
class HarnessGrant(ProjectGrant):
    """Leave to use a harness. `deleting` is only ever true where the route asked for it."""

    harness_id: HarnessId
    harness_type: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class SessionGrant(ProjectGrant):
    """Leave to use a session; `transport` is how the platform talks to its harness."""

    session_id: SessionId
    harness_id: HarnessId
    harness_type: str
    transport: TransportKind

    def require_chat(self) -> None:
        """Refuse sessions of terminal harnesses, which have no messages."""
        if self.transport is TransportKind.TERMINAL:
            raise BadRequestError(
                "This is a terminal session: it has no messages. Open its terminal instead."
            )


async def grant_project(database: Database, user: Caller, project_id: str) -> ProjectGrant:
    """Look up a project on behalf of a caller.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = await access.find_project(
        database, ProjectId(_require_uuid(project_id, "project")), user.user_id
    )
    if found is None:
        raise NotFoundError("project")
    return ProjectGrant(user, found.project_id, found.role)


async def grant_harness(
    database: Database, user: Caller, harness_id: str, *, even_deleting: bool = False
) -> HarnessGrant:
    """Look up a harness on behalf of a caller.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = await access.find_harness(
        database,
        HarnessId(_require_uuid(harness_id, "harness")),
        user.user_id,
        even_deleting=even_deleting,
    )
    if found is None:
        raise NotFoundError("harness")
    return HarnessGrant(
        user, found.project_id, found.role, found.harness_id, found.harness_type, found.deleting
    )


async def grant_session(
    database: Database, registry: HarnessRegistry, user: Caller, session_id: str
) -> SessionGrant:
    """Look up a session on behalf of a caller.

    Raises:
        NotFoundError: there is none that the caller may see.
    """
    found = await access.find_session(
        database, SessionId(_require_uuid(session_id, "session")), user.user_id
    )
    if found is None:
        raise NotFoundError("session")
    return SessionGrant(
        user,
        found.project_id,
        found.role,
        found.session_id,
        found.harness_id,
        found.harness_type,
        registry.transport_of(found.harness_type),
    )


def _require_uuid(text: str, noun: str) -> UUID:
    parsed = parse_id(text)
    if parsed is None:
        raise NotFoundError(noun)
    return parsed
