"""Every query about users and their sign-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database
from cattery.db.feed import announce
from cattery.db.projects import tombstone_projects_of
from cattery.db.statements import Statement
from cattery.db.tables import AuthSessionRow, UserRow
from cattery.errors import BadRequestError, ConflictError, ForbiddenError, NotFoundError
from cattery.ids import AuthSessionId, DeletionId, UserId, new_id

FIRST_USER_LOCK = 0x636174746573
"""Key of the advisory lock under which the first user is made."""


@dataclass(frozen=True, slots=True)
class SignedInUser:
    """The user of a live sign-in, as of now."""

    user_id: UserId
    username: str
    is_admin: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a sign-in compares with."""

    user_id: UserId
    username: str
    is_admin: bool
    password_hash: str


@dataclass(frozen=True, slots=True)
class UserRecord:
    """A user as admins see them."""

    user_id: UserId
    username: str
    is_admin: bool
    created_at: datetime
    last_login_at: datetime | None


@dataclass(frozen=True, slots=True)
class UserName:
    """A user as everybody sees them."""

    user_id: UserId
    username: str


_ALIVE: ColumnElement[bool] = UserRow.deleting_at.is_(None)
_RECORD = (
    UserRow.id,
    UserRow.username,
    UserRow.is_admin,
    UserRow.created_at,
    UserRow.last_login_at,
)


async def find_signed_in_user(
    database: Database, user_id: UserId, auth_session_id: AuthSessionId
) -> SignedInUser | None:
    """Look up a sign-in that is not over, with its user."""
    row = await database.fetch_one(
        _FIND_SIGNED_IN, user_id=user_id, auth_session_id=auth_session_id
    )
    return SignedInUser(UserId(row[0]), row[1], row[2]) if row else None


def is_sign_in(
    user_id: UserId | ColumnElement[UUID], auth_session_id: AuthSessionId | ColumnElement[UUID]
) -> ColumnElement[bool]:
    """Return the condition under which a sign-in is the user's, who lives, and is not over."""
    return and_(
        AuthSessionRow.id == auth_session_id,
        AuthSessionRow.revoked_at.is_(None),
        AuthSessionRow.expires_at > func.now(),
        UserRow.id == user_id,
        _ALIVE,
    )


_FIND_SIGNED_IN = Statement(
    select(UserRow.id, UserRow.username, UserRow.is_admin)
    .join(AuthSessionRow, AuthSessionRow.user_id == UserRow.id)
    .where(is_sign_in(bindparam("user_id", type_=Uuid), bindparam("auth_session_id", type_=Uuid)))
)


async def find_credentials(session: AsyncSession, username: str) -> Credentials | None:
    """Look up what a sign-in under a (normalised) name compares with."""
    return await _credentials(session, UserRow.username == username)


async def find_credentials_by_id(session: AsyncSession, user_id: UserId) -> Credentials | None:
    """Look up what a user's own password change compares with."""
    return await _credentials(session, UserRow.id == user_id)


async def find_user_by_name(session: AsyncSession, username: str) -> UserName | None:
    """Look up a user by a (normalised) name."""
    found = await _credentials(session, UserRow.username == username)
    return UserName(found.user_id, found.username) if found else None


async def search_users(session: AsyncSession, part: str, limit: int) -> Sequence[UserName]:
    """List users whose name contains a piece of plain text, by name."""
    rows = await session.execute(
        select(UserRow.id, UserRow.username)
        .where(_ALIVE, UserRow.username.contains(part.lower(), autoescape=True))
        .order_by(UserRow.username)
        .limit(limit)
    )
    return [UserName(UserId(user_id), username) for user_id, username in rows]


async def list_users(session: AsyncSession) -> Sequence[UserRecord]:
    """List all users, newest first."""
    rows = await session.execute(
        select(*_RECORD).where(_ALIVE).order_by(UserRow.created_at.desc(), UserRow.id)
    )
    return [_record(row) for row in rows]


async def any_user_exists(session: AsyncSession) -> bool:
    """Tell whether anybody could sign in."""
    return bool(await session.scalar(select(exists().where(_ALIVE))))


async def lock_first_user(session: AsyncSession) -> None:
    """Let only one transaction at a time make a site's first user."""
    await session.execute(select(func.pg_advisory_xact_lock(FIRST_USER_LOCK)))


async def create_user(
    session: AsyncSession, username: str, password_hash: str, *, is_admin: bool
) -> UserRecord:
    """Add a user.

    Raises:
        ConflictError: the name is taken.
    """
    row = (
        await session.execute(
            insert(UserRow)
            .values(id=new_id(), username=username, password_hash=password_hash, is_admin=is_admin)
            .on_conflict_do_nothing(index_elements=["username"], index_where=_ALIVE)
            .returning(*_RECORD)
        )
    ).one_or_none()
    if row is None:
        raise ConflictError(f"There already is a user named {username}. Choose another name.")
    await announce(session, "user", row.id, None)
    return _record(row)


async def update_user(
    session: AsyncSession,
    user_id: UserId,
    *,
    changed_by: UserId,
    password_hash: str | None,
    is_admin: bool | None,
) -> UserRecord:
    """Change a user on behalf of an admin; a new password ends the user's other sign-ins.

    Raises:
        NotFoundError: there is no such user.
        BadRequestError: admins do not demote themselves.
        ConflictError: it is the last admin.
        ForbiddenError: the caller is no admin any more.
    """
    admins = await _lock_admins(session)
    await _require_user(session, user_id)
    if is_admin is False:
        if user_id == changed_by:
            raise BadRequestError("You cannot take your own admin rights. Ask another admin.")
        _require_another_admin(admins, user_id)
    _require_still_admin(admins, changed_by)
    changes: dict[str, object] = {}
    if password_hash is not None:
        changes["password_hash"] = password_hash
    if is_admin is not None:
        changes["is_admin"] = is_admin
    if changes:
        await session.execute(update(UserRow).where(UserRow.id == user_id).values(**changes))
        await announce(session, "user", user_id, None)
    return _record((await session.execute(select(*_RECORD).where(UserRow.id == user_id))).one())


async def tombstone_user(
    session: AsyncSession,
    user_id: UserId,
    *,
    deleted_by: UserId,
    deletion_id: DeletionId | None = None,
    keeps_projects: bool = False,
) -> None:
    """Begin the deletion of a user: from now on the user and all they own is invisible.

    With `keeps_projects` what they own stays as it is.

    Raises:
        NotFoundError: there is no such user.
        BadRequestError: admins do not delete themselves.
        ConflictError: it is the last admin.
        ForbiddenError: the caller is no admin any more.
    """
    admins = await _lock_admins(session)
    await _require_user(session, user_id)
    if user_id == deleted_by:
        raise BadRequestError("You cannot delete yourself. Ask another admin.")
    _require_another_admin(admins, user_id)
    _require_still_admin(admins, deleted_by)
    await session.execute(
        update(UserRow)
        .where(UserRow.id == user_id)
        .values(deleting_at=func.now(), deletion_id=deletion_id)
    )
    await revoke_sign_ins(session, user_id)
    if not keeps_projects:
        await tombstone_projects_of(session, user_id, deletion_id=deletion_id)
    await announce(session, "user", user_id, None)


async def set_password(session: AsyncSession, user_id: UserId, password_hash: str) -> None:
    """Store a new password hash."""
    await session.execute(
        update(UserRow).where(UserRow.id == user_id).values(password_hash=password_hash)
    )


async def add_sign_in(session: AsyncSession, user_id: UserId, lifetime: timedelta) -> AuthSessionId:
    """Add a sign-in of a user, and forget those of theirs that are long over."""
    await session.execute(
        delete(AuthSessionRow).where(
            AuthSessionRow.user_id == user_id, AuthSessionRow.expires_at < func.now()
        )
    )
    auth_session_id = AuthSessionId(new_id())
    await session.execute(
        insert(AuthSessionRow).values(
            id=auth_session_id, user_id=user_id, expires_at=func.now() + literal(lifetime)
        )
    )
    return auth_session_id


async def note_login(session: AsyncSession, user_id: UserId) -> None:
    """Remember that a user signed in just now."""
    await session.execute(
        update(UserRow).where(UserRow.id == user_id).values(last_login_at=func.now())
    )
    await announce(session, "user", user_id, None)


async def revoke_sign_ins(
    session: AsyncSession, user_id: UserId, *, but: AuthSessionId | None = None
) -> None:
    """End a user's sign-ins, all or all but one."""
    doomed = update(AuthSessionRow).where(
        AuthSessionRow.user_id == user_id, AuthSessionRow.revoked_at.is_(None)
    )
    if but is not None:
        doomed = doomed.where(AuthSessionRow.id != but)
    await session.execute(doomed.values(revoked_at=func.now()))
    await announce(session, "user", user_id, None)


async def revoke_sign_in(session: AsyncSession, auth_session_id: AuthSessionId) -> None:
    """End one sign-in."""
    user_id = await session.scalar(
        update(AuthSessionRow)
        .where(AuthSessionRow.id == auth_session_id, AuthSessionRow.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(AuthSessionRow.user_id)
    )
    if user_id is not None:
        await announce(session, "user", user_id, None)


async def _credentials(session: AsyncSession, which: ColumnElement[bool]) -> Credentials | None:
    row = (
        await session.execute(
            select(UserRow.id, UserRow.username, UserRow.is_admin, UserRow.password_hash).where(
                which, _ALIVE
            )
        )
    ).one_or_none()
    return Credentials(UserId(row[0]), row[1], row[2], row[3]) if row else None


async def _lock_admins(session: AsyncSession) -> set[UUID]:
    """Lock the admins' rows, so that two admins at once are two one after the other."""
    rows = await session.scalars(
        select(UserRow.id)
        .where(UserRow.is_admin, _ALIVE)
        .order_by(UserRow.id)
        .with_for_update(key_share=True)
    )
    return set(rows)


async def _require_user(session: AsyncSession, user_id: UserId) -> None:
    if not await session.scalar(select(exists().where(UserRow.id == user_id, _ALIVE))):
        raise NotFoundError("user")


def _require_another_admin(admins: set[UUID], user_id: UserId) -> None:
    if admins == {user_id}:
        raise ConflictError("This is the last admin. Make somebody else an admin first.")


def _require_still_admin(admins: set[UUID], user_id: UserId) -> None:
    if user_id not in admins:
        raise ForbiddenError("Only admins may do this, and you are one no longer.")


def _record(row: Row[UUID, str, bool, datetime, datetime | None]) -> UserRecord:
    return UserRecord(UserId(row[0]), row[1], row[2], row[3], row[4])
