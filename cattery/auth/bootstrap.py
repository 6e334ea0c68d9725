"""The first user of a site, and the way back in for an operator who lost a password.

Both are for the command line, which already holds the database; nothing here is reached by HTTP.
"""

import asyncio
import secrets
from datetime import timedelta

from pydantic import SecretStr

from cattery.auth.passwords import Passwords
from cattery.auth.tokens import TokenClaims, TokenSigner
from cattery.auth.usernames import normalise_username
from cattery.clock import utc_now
from cattery.db import users
from cattery.db.engine import Database, connect
from cattery.errors import NotFoundError
from cattery.settings import DatabaseSettings

FIRST_ADMIN = "admin"
PASSWORD_BYTES = 15


def ensure_admin(database_url: str, *, password: str | None = None) -> str | None:
    """Make the user `admin` where there is no user at all; safe beside itself.

    Blocks; call it from a thread where an event loop runs.

    Args:
        database_url: where the users are.
        password: the user's password; without it a random one is made.

    Returns:
        The password where the user was made just now, else `None`. It is stored nowhere.
    """
    return asyncio.run(_ensure_admin(database_url, password or _random_password()))


async def reset_password(database_url: str, username: str) -> str:
    """Give a user a new random password and end all their sign-ins.

    Raises:
        NotFoundError: there is no such user.
    """
    password = _random_password()
    password_hash = await Passwords().hash(password)
    database = _connect(database_url)
    try:
        async with database.write() as session:
            user = await users.find_user_by_name(session, normalise_username(username))
            if user is None:
                raise NotFoundError("user")
            await users.set_password(session, user.user_id, password_hash)
            await users.revoke_sign_ins(session, user.user_id)
    finally:
        await database.close()
    return password


async def mint_token(
    database_url: str, jwt_secret: str, username: str, *, lifetime: timedelta
) -> str:
    """Sign a user in without a password, for an operator's own tools.

    Raises:
        NotFoundError: there is no such user.
    """
    database = _connect(database_url)
    try:
        async with database.write() as session:
            user = await users.find_user_by_name(session, normalise_username(username))
            if user is None:
                raise NotFoundError("user")
            auth_session_id = await users.add_sign_in(session, user.user_id, lifetime)
    finally:
        await database.close()
    signer = TokenSigner(jwt_secret, lifetime)
    return signer.sign(TokenClaims(user.user_id, auth_session_id), utc_now())


async def _ensure_admin(database_url: str, password: str) -> str | None:
    database = _connect(database_url)
    try:
        async with database.read() as session:
            if await users.any_user_exists(session):
                return None
        password_hash = await Passwords().hash(password)
        async with database.write() as session:
            await users.lock_first_user(session)
            if await users.any_user_exists(session):
                return None
            await users.create_user(session, FIRST_ADMIN, password_hash, is_admin=True)
        return password
    finally:
        await database.close()


def _connect(database_url: str) -> Database:
    return connect(DatabaseSettings(url=SecretStr(database_url)))


def _random_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)
