"""The one query that decides who sees what: membership is part of the look-up of every id.

What is being deleted is invisible. An admin has no rights in other people's projects.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, bindparam, select

from cattery.db.engine import Database
from cattery.db.projects import Role, role_of, visible_to
from cattery.db.statements import Statement
from cattery.db.tables import HarnessRow, ProjectRow, SessionRow
from cattery.ids import HarnessId, ProjectId, SessionId, UserId


@dataclass(frozen=True, slots=True)
class FoundProject:
    """A project that a user may see."""

    project_id: ProjectId
    role: Role


@dataclass(frozen=True, slots=True)
class FoundHarness:
    """A harness that a user may see; `deleting` is only ever true where it was asked for."""

    harness_id: HarnessId
    project_id: ProjectId
    role: Role
    harness_type: str
    deleting: bool


@dataclass(frozen=True, slots=True)
class FoundSession:
    """A session that a user may see."""

    session_id: SessionId
    harness_id: HarnessId
    project_id: ProjectId
    role: Role
    harness_type: str


async def find_project(
    database: Database, project_id: ProjectId, user_id: UserId
) -> FoundProject | None:
    """Look up a project that a user owns or shares."""
    row = await database.fetch_one(_FIND_PROJECT, project_id=project_id, user_id=user_id)
    return FoundProject(ProjectId(row[0]), role_of(row[1])) if row else None


async def find_harness(
    database: Database, harness_id: HarnessId, user_id: UserId, *, even_deleting: bool = False
) -> FoundHarness | None:
    """Look up a harness in a project that a user owns or shares."""
    row = await database.fetch_one(_FIND_HARNESS, harness_id=harness_id, user_id=user_id)
    if row is None or (row[4] and not even_deleting):
        return None
    return FoundHarness(HarnessId(row[0]), ProjectId(row[1]), role_of(row[2]), row[3], row[4])


async def find_session(
    database: Database, session_id: SessionId, user_id: UserId
) -> FoundSession | None:
    """Look up a session in a project that a user owns or shares."""
    row = await database.fetch_one(_FIND_SESSION, session_id=session_id, user_id=user_id)
    if row is None:
        return None
    return FoundSession(
        SessionId(row[0]), HarnessId(row[1]), ProjectId(row[2]), role_of(row[3]), row[4]
    )


_USER: ColumnElement[UUID] = bindparam("user_id", type_=Uuid)
_FIND_PROJECT = Statement(
    select(ProjectRow.id, ProjectRow.owner_user_id == _USER).where(
        ProjectRow.id == bindparam("project_id", type_=Uuid), visible_to(_USER)
    )
)
_FIND_HARNESS = Statement(
    select(
        HarnessRow.id,
        HarnessRow.project_id,
        ProjectRow.owner_user_id == _USER,
        HarnessRow.type,
        HarnessRow.deleting_at.is_not(None),
    )
    .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
    .where(HarnessRow.id == bindparam("harness_id", type_=Uuid), visible_to(_USER))
)
_FIND_SESSION = Statement(
    select(
        SessionRow.id,
        SessionRow.harness_id,
        HarnessRow.project_id,
        ProjectRow.owner_user_id == _USER,
        HarnessRow.type,
    )
    .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
    .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
    .where(
        SessionRow.id == bindparam("session_id", type_=Uuid),
        SessionRow.deleting_at.is_(None),
        HarnessRow.deleting_at.is_(None),
        visible_to(_USER),
    )
)
