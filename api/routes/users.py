"""Users: the directory for everybody, their management for admins (contract/api.md, Users)."""

from typing import Annotated

from fastapi import APIRouter, Query, status

from api.dependencies import AdminUser, CurrentUser, Db, LifecyclesDep, Settings, SignInDep
from api.follow_up import tell_lifecycles
from api.schemas.errors import answers
from api.schemas.text import PlainText
from api.schemas.users import User, UserCreate, UserName, UserUpdate
from cattery.auth.passwords import check_new_password
from cattery.auth.usernames import clean_new_username
from cattery.db import deletions, users
from cattery.db.deletions import Asker
from cattery.deletion_states import DeletionKind
from cattery.errors import BadRequestError, NotFoundError
from cattery.ids import UserId, parse_id

router = APIRouter(tags=["users"])

MAX_FOUND = 50


@router.get("/users/search", responses=answers(400, 401))
async def search_users(
    _: CurrentUser,
    database: Db,
    q: Annotated[PlainText, Query(description="A part of the name; empty gives all.")] = "",
    limit: Annotated[int, Query(ge=1, description="At most 50.")] = 20,
) -> list[UserName]:
    """Find users by a part of their name."""
    async with database.read() as session:
        found = await users.search_users(session, q, min(limit, MAX_FOUND))
    return [UserName.model_validate(user) for user in found]


@router.get("/admin/users", responses=answers(401, 403))
async def list_users(_: AdminUser, database: Db) -> list[User]:
    """List all users, newest first."""
    async with database.read() as session:
        return [User.model_validate(user) for user in await users.list_users(session)]


@router.post(
    "/admin/users",
    status_code=status.HTTP_201_CREATED,
    responses=answers(400, 401, 403, 409),
)
async def create_user(_: AdminUser, wanted: UserCreate, database: Db, sign_in: SignInDep) -> User:
    """Make a user."""
    username = clean_new_username(wanted.username)
    check_new_password(wanted.password)
    password_hash = await sign_in.passwords.hash(wanted.password)
    async with database.write() as session:
        user = await users.create_user(session, username, password_hash, is_admin=wanted.is_admin)
    return User.model_validate(user)


@router.patch("/admin/users/{user_id}", responses=answers(400, 401, 403, 404, 409))
async def update_user(
    admin: AdminUser, user_id: str, change: UserUpdate, database: Db, sign_in: SignInDep
) -> User:
    """Set a user's password, which ends their sign-ins, or admin rights."""
    known_id = _parse_user_id(user_id)
    password_hash = None
    if change.password is not None:
        check_new_password(change.password)
        password_hash = await sign_in.passwords.hash(change.password)
    async with database.write() as session:
        user = await users.update_user(
            session,
            known_id,
            changed_by=admin.user_id,
            password_hash=password_hash,
            is_admin=change.is_admin,
        )
        if password_hash is not None:
            own = admin.auth_session_id if known_id == admin.user_id else None
            await users.revoke_sign_ins(session, known_id, but=own)
    return User.model_validate(user)


@router.delete(
    "/admin/users/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 403, 404, 409),
)
async def delete_user(
    admin: AdminUser,
    user_id: str,
    database: Db,
    lifecycles: LifecyclesDep,
    settings: Settings,
    heir: Annotated[
        str | None,
        Query(description="A user who gets the projects; without one they are deleted too."),
    ] = None,
) -> None:
    """Delete a user, who is signed out at once; `/deletions` has the way back."""
    known_id = _parse_user_id(user_id)
    async with database.write() as session:
        await deletions.delete_user(
            session,
            Asker(admin.user_id, admin.username),
            known_id,
            grace=settings.grace_of(DeletionKind.USER),
            heir=None if heir is None else _parse_heir(heir),
        )
    await tell_lifecycles(lifecycles.delete_user(known_id))


def _parse_heir(text: str) -> UserId:
    parsed = parse_id(text)
    if parsed is None:
        raise BadRequestError("The heir must be the id of a user.")
    return UserId(parsed)


def _parse_user_id(text: str) -> UserId:
    parsed = parse_id(text)
    if parsed is None:
        raise NotFoundError("user")
    return UserId(parsed)
