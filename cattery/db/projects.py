"""Every query about projects and their members."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database
from cattery.db.feed import announce
from cattery.db.statements import Statement, run_for_one
from cattery.db.tables import HarnessRow, ProjectMemberRow, ProjectRow, SessionRow, UserRow
from cattery.errors import BadRequestError, NotFoundError, NotSignedInError
from cattery.ids import DeletionId, ProjectId, UserId, new_id

type Role = Literal["owner", "member"]


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project as one of its users sees it."""

    project_id: ProjectId
    owner_user_id: UserId
    project_name: str | None
    access_role: Role
    owner_username: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """A user who shares a project."""

    project_id: ProjectId
    user_id: UserId
    username: str
    created_at: datetime


async def create_project(
    session: AsyncSession, owner_user_id: UserId, name: str | None
) -> ProjectRecord:
    """Add a project.

    Raises:
        NotSignedInError: the owner is being deleted at this very moment.
    """
    owner = await session.scalar(
        select(UserRow.id)
        .where(UserRow.id == owner_user_id, UserRow.deleting_at.is_(None))
        .with_for_update(read=True)
    )
    if owner is None:
        raise NotSignedInError
    project_id = ProjectId(new_id())
    await session.execute(
        insert(ProjectRow).values(id=project_id, owner_user_id=owner_user_id, name=name)
    )
    await announce(session, "project", project_id, project_id)
    return await get_project(session, project_id, owner_user_id)


async def list_projects(database: Database, user_id: UserId) -> Sequence[ProjectRecord]:
    """List a user's own projects, then those shared with them, each newest first."""
    return [_project(row) for row in await database.fetch_all(_LIST_PROJECTS, user_id=user_id)]


async def get_project(
    session: AsyncSession, project_id: ProjectId, user_id: UserId
) -> ProjectRecord:
    """Read a project as one of its users sees it.

    Raises:
        NotFoundError: there is none, or it is not the user's.
    """
    row = await run_for_one(session, _GET_PROJECT, project_id=project_id, user_id=user_id)
    if row is None:
        raise NotFoundError("project")
    return _project(row)


async def rename_project(session: AsyncSession, project_id: ProjectId, name: str) -> None:
    """Give a project another name."""
    await session.execute(
        update(ProjectRow)
        .where(ProjectRow.id == project_id, ProjectRow.deleting_at.is_(None))
        .values(name=name)
    )
    await announce(session, "project", project_id, project_id)


async def tombstone_project(
    session: AsyncSession, project_id: ProjectId, *, deletion_id: DeletionId | None = None
) -> None:
    """Begin the deletion of a project: it, its harnesses and sessions are invisible from now on.

    Raises:
        NotFoundError: somebody else's deletion came first.
    """
    if not await _tombstone(session, ProjectRow.id == project_id, deletion_id):
        raise NotFoundError("project")


async def tombstone_projects_of(
    session: AsyncSession, user_id: UserId, *, deletion_id: DeletionId | None = None
) -> None:
    """Begin the deletion of all projects that a user owns."""
    await _tombstone(session, ProjectRow.owner_user_id == user_id, deletion_id)


async def lock_project(session: AsyncSession, project_id: ProjectId) -> None:
    """Keep a project from being deleted until the transaction ends.

    Raises:
        NotFoundError: it is being deleted.
    """
    found = await session.scalar(
        select(ProjectRow.id)
        .where(ProjectRow.id == project_id, ProjectRow.deleting_at.is_(None))
        .with_for_update(read=True)
    )
    if found is None:
        raise NotFoundError("project")


async def list_members(session: AsyncSession, project_id: ProjectId) -> Sequence[MemberRecord]:
    """List a project's members, without its owner, by name."""
    rows = await session.execute(
        _select_members(project_id, ProjectMemberRow.user_id.is_not(None)).order_by(
            UserRow.username
        )
    )
    return [_member(row) for row in rows]


async def add_member(session: AsyncSession, project_id: ProjectId, user_id: UserId) -> MemberRecord:
    """Share a project with a user; one who is a member stays one.

    Raises:
        BadRequestError: the owner needs no sharing.
        NotFoundError: the user or the project is being deleted.
    """
    await lock_project(session, project_id)
    owner = await session.scalar(
        select(ProjectRow.owner_user_id).where(ProjectRow.id == project_id)
    )
    if owner == user_id:
        raise BadRequestError("The project's owner is in it already and cannot be a member too.")
    await session.execute(
        insert(ProjectMemberRow)
        .values(project_id=project_id, user_id=user_id)
        .on_conflict_do_nothing()
    )
    await announce(session, "project", project_id, project_id)
    row = (
        await session.execute(_select_members(project_id, ProjectMemberRow.user_id == user_id))
    ).one_or_none()
    if row is None:
        raise NotFoundError("user")
    return _member(row)


async def remove_member(session: AsyncSession, project_id: ProjectId, user_id: UserId) -> None:
    """Take a user out of a project.

    Raises:
        NotFoundError: they are no member.
    """
    removed = await session.scalar(
        delete(ProjectMemberRow)
        .where(ProjectMemberRow.project_id == project_id, ProjectMemberRow.user_id == user_id)
        .returning(ProjectMemberRow.user_id)
    )
    if removed is None:
        raise NotFoundError("member")
    await announce(session, "project", project_id, project_id)


def visible_to(user_id: UserId | ColumnElement[UUID]) -> ColumnElement[bool]:
    """Return the condition under which a user sees a project: it lives, and is theirs or shared.

    This is the one place that says so; every look-up of an id below a project joins it.
    """
    is_member = (
        select(ProjectMemberRow.user_id)
        .where(ProjectMemberRow.project_id == ProjectRow.id, ProjectMemberRow.user_id == user_id)
        .correlate_except(ProjectMemberRow)
        .exists()
    )
    return and_(
        ProjectRow.deleting_at.is_(None), or_(ProjectRow.owner_user_id == user_id, is_member)
    )


def role_of(is_owner: bool) -> Role:
    """Name the role of a user who sees a project."""
    return "owner" if is_owner else "member"


def _select_members(
    project_id: ProjectId, which: ColumnElement[bool]
) -> Select[UUID, UUID, str, datetime]:
    return (
        select(
            ProjectMemberRow.project_id,
            ProjectMemberRow.user_id,
            UserRow.username,
            ProjectMemberRow.created_at,
        )
        .join(UserRow, UserRow.id == ProjectMemberRow.user_id)
        .where(ProjectMemberRow.project_id == project_id, UserRow.deleting_at.is_(None), which)
    )


async def _tombstone(
    session: AsyncSession, which: ColumnElement[bool], deletion_id: DeletionId | None
) -> Sequence[UUID]:
    """Mark projects, then their harnesses, then their sessions: the order in which rows lock.

    What an earlier deletion has marked stays that one's.
    """
    mark = {"deleting_at": func.now(), "deletion_id": deletion_id}
    project_ids = (
        await session.scalars(
            update(ProjectRow)
            .where(which, ProjectRow.deleting_at.is_(None))
            .values(**mark)
            .returning(ProjectRow.id)
        )
    ).all()
    await session.execute(
        update(HarnessRow)
        .where(HarnessRow.project_id.in_(project_ids), HarnessRow.deleting_at.is_(None))
        .values(**mark)
    )
    harnesses = select(HarnessRow.id).where(HarnessRow.project_id.in_(project_ids))
    await session.execute(
        update(SessionRow)
        .where(SessionRow.harness_id.in_(harnesses), SessionRow.deleting_at.is_(None))
        .values(**mark)
        .execution_options(synchronize_session=False)
    )
    for project_id in project_ids:
        await announce(session, "project", project_id, project_id)
    return project_ids


def _project(row: Sequence[Any]) -> ProjectRecord:
    return ProjectRecord(ProjectId(row[0]), UserId(row[1]), row[2], role_of(row[3]), row[4], row[5])


def _member(row: Row[UUID, UUID, str, datetime]) -> MemberRecord:
    return MemberRecord(ProjectId(row[0]), UserId(row[1]), row[2], row[3])


_USER: ColumnElement[UUID] = bindparam("user_id", type_=Uuid)
_IS_OWNER = ProjectRow.owner_user_id == _USER
_PROJECTS = (
    select(
        ProjectRow.id,
        ProjectRow.owner_user_id,
        ProjectRow.name,
        _IS_OWNER,
        UserRow.username,
        ProjectRow.created_at,
    )
    .join(UserRow, UserRow.id == ProjectRow.owner_user_id)
    .where(visible_to(_USER))
)
_LIST_PROJECTS = Statement(
    _PROJECTS.order_by(_IS_OWNER.desc(), ProjectRow.created_at.desc(), ProjectRow.id)
)
_GET_PROJECT = Statement(_PROJECTS.where(ProjectRow.id == bindparam("project_id", type_=Uuid)))
