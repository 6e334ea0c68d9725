"""Projects and their members (contract/api.md, Projects)."""

from fastapi import APIRouter, status

from api.dependencies import (
    CurrentUser,
    Db,
    LifecyclesDep,
    ProjectAccess,
    ProjectOwner,
    Settings,
)
from api.follow_up import tell_lifecycles
from api.schemas.errors import answers
from api.schemas.projects import Member, MemberCreate, Project, ProjectCreate, ProjectUpdate
from cattery.auth.usernames import normalise_username
from cattery.db import deletions, projects, users
from cattery.db.deletions import Asker
from cattery.deletion_states import DeletionKind
from cattery.errors import NotFoundError
from cattery.ids import UserId, parse_id

router = APIRouter(prefix="/projects", tags=["projects"])


@router.post("", status_code=status.HTTP_201_CREATED, responses=answers(400, 401))
async def create_project(user: CurrentUser, wanted: ProjectCreate, database: Db) -> Project:
    """Make a project."""
    async with database.write() as session:
        project = await projects.create_project(session, user.user_id, wanted.project_name)
    return Project.model_validate(project)


@router.get("", responses=answers(401))
async def list_projects(user: CurrentUser, database: Db) -> list[Project]:
    """List the caller's own projects, then those shared with them."""
    found = await projects.list_projects(database, user.user_id)
    return [Project.model_validate(project) for project in found]


@router.get("/{project_id}", responses=answers(401, 404))
async def read_project(access: ProjectAccess, database: Db) -> Project:
    """Read a project."""
    async with database.read() as session:
        project = await projects.get_project(session, access.project_id, access.user.user_id)
    return Project.model_validate(project)


@router.patch("/{project_id}", responses=answers(400, 401, 403, 404))
async def rename_project(access: ProjectOwner, change: ProjectUpdate, database: Db) -> Project:
    """Give a project another name."""
    async with database.write() as session:
        await projects.rename_project(session, access.project_id, change.project_name)
        project = await projects.get_project(session, access.project_id, access.user.user_id)
    return Project.model_validate(project)


@router.delete(
    "/{project_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 403, 404),
)
async def delete_project(
    access: ProjectOwner, database: Db, lifecycles: LifecyclesDep, settings: Settings
) -> None:
    """Delete a project with its harnesses, sessions and files; `/deletions` has the way back."""
    async with database.write() as session:
        await deletions.delete_project(
            session,
            Asker(access.user.user_id, access.user.username),
            access.project_id,
            grace=settings.grace_of(DeletionKind.PROJECT),
        )
    await tell_lifecycles(lifecycles.delete_project(access.project_id))


@router.get("/{project_id}/members", responses=answers(401, 404), tags=["members"])
async def list_members(access: ProjectAccess, database: Db) -> list[Member]:
    """List the members of a project, without its owner."""
    async with database.read() as session:
        found = await projects.list_members(session, access.project_id)
    return [Member.model_validate(member) for member in found]


@router.post(
    "/{project_id}/members",
    status_code=status.HTTP_201_CREATED,
    responses=answers(400, 401, 403, 404),
    tags=["members"],
)
async def add_member(access: ProjectOwner, wanted: MemberCreate, database: Db) -> Member:
    """Share a project with a user; one who is a member stays one."""
    async with database.write() as session:
        user = await users.find_user_by_name(session, normalise_username(wanted.username))
        if user is None:
            raise NotFoundError("user")
        member = await projects.add_member(session, access.project_id, user.user_id)
    return Member.model_validate(member)


@router.delete(
    "/{project_id}/members/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(401, 403, 404),
    tags=["members"],
)
async def remove_member(access: ProjectAccess, user_id: str, database: Db) -> None:
    """Take a member out of a project; members may take themselves out."""
    member_id = parse_id(user_id)
    if member_id != access.user.user_id:
        access.require_owner()
    if member_id is None:
        raise NotFoundError("member")
    async with database.write() as session:
        await projects.remove_member(session, access.project_id, UserId(member_id))
