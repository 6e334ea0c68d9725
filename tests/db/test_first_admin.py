"""The first user of a site, and an operator's way back in."""

import asyncio
from datetime import timedelta

import pytest

from cattery.auth.bootstrap import ensure_admin, mint_token, reset_password
from cattery.auth.passwords import Passwords
from cattery.auth.tokens import TokenSigner
from cattery.db import users
from cattery.db.engine import Database
from cattery.errors import NotFoundError

SECRET = "a secret of at least thirty-two bytes, for tests"


async def test_four_starts_at_once_make_one_admin_with_one_password(
    database: Database, database_url: str
) -> None:
    made = await asyncio.gather(*(asyncio.to_thread(ensure_admin, database_url) for _ in range(4)))
    passwords = [password for password in made if password is not None]
    assert len(passwords) == 1
    async with database.read() as session:
        admin = await users.find_credentials(session, "admin")
        assert len(await users.list_users(session)) == 1
    assert admin is not None
    assert admin.is_admin
    assert await Passwords().verify(passwords[0], admin.password_hash)


async def test_the_first_admin_can_be_given_a_password(
    database: Database, database_url: str
) -> None:
    given = "a password that somebody chose"
    assert await asyncio.to_thread(ensure_admin, database_url, password=given) == given
    async with database.read() as session:
        admin = await users.find_credentials(session, "admin")
    assert admin is not None
    assert await Passwords().verify(given, admin.password_hash)
    assert await asyncio.to_thread(ensure_admin, database_url, password="another one") is None


async def test_a_site_with_any_user_gets_no_admin(database: Database, database_url: str) -> None:
    async with database.write() as session:
        await users.create_user(session, "ada", "no password", is_admin=False)
    assert await asyncio.to_thread(ensure_admin, database_url) is None


async def test_a_reset_password_works_and_ends_every_sign_in(
    database: Database, database_url: str
) -> None:
    async with database.write() as session:
        await users.create_user(session, "ada", "no password", is_admin=False)
    token = await mint_token(database_url, SECRET, " Ada ", lifetime=timedelta(minutes=5))
    claims = TokenSigner(SECRET, timedelta(minutes=5)).read(token)
    assert claims is not None
    assert await users.find_signed_in_user(database, claims.user_id, claims.auth_session_id)
    password = await reset_password(database_url, "ADA")
    async with database.read() as session:
        known = await users.find_credentials(session, "ada")
    over = await users.find_signed_in_user(database, claims.user_id, claims.auth_session_id)
    assert known is not None
    assert await Passwords().verify(password, known.password_hash)
    assert over is None


async def test_unknown_users_are_said_to_be_unknown(database_url: str) -> None:
    with pytest.raises(NotFoundError):
        await reset_password(database_url, "nobody")
    with pytest.raises(NotFoundError):
        await mint_token(database_url, SECRET, "nobody", lifetime=timedelta(minutes=5))
