"""What the operator does to the database by hand: migrate it, give a user a new password."""

import asyncio
import secrets
import string

from pydantic import SecretStr

from cattery.auth.bootstrap import ensure_admin
from cattery.auth.passwords import Passwords
from cattery.auth.usernames import normalise_username
from cattery.db import users
from cattery.db.engine import connect
from cattery.db.migrate import pending, upgrade
from cattery.settings import DatabaseSettings
from cli.configuration import UpSettings, read_home, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.probes import postgres_failure
from cli.stores import locate_database

_LETTERS = string.ascii_letters + string.digits
_PASSWORD_LENGTH = 20


def run_migrate() -> None:
    """Apply the migrations that the database lacks; make the first admin."""
    url = _require_database()
    console = Console()
    missing = pending(url)
    upgrade(url)
    if missing:
        console.say(f"Applied {len(missing)} migrations, the last is {missing[-1]}.")
    else:
        console.say("The database is up to date.")
    if password := ensure_admin(url):
        console.say(f"Made the first user: admin   password: {password}", tone="strong")


def run_reset_password(username: str) -> None:
    """Give a user a new random password, print it once, and end the user's sign-ins.

    Raises:
        CommandError: there is no such user.
    """
    password = new_password()
    name = normalise_username(username)
    asyncio.run(_reset(_require_database(), name, password))
    console = Console()
    console.say(f"The new password of {name} is: {password}", tone="strong")
    console.say("It is not shown again. All earlier sign-ins of this user have ended.")


def new_password() -> str:
    """Make a password of 119 random bits, in letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_LENGTH))


async def _reset(url: str, username: str, password: str) -> None:
    hashed = await Passwords().hash(password)
    database = connect(DatabaseSettings(url=SecretStr(url)))
    try:
        async with database.write() as session:
            user = await users.find_user_by_name(session, username)
            if user is None:
                raise CommandError(
                    f"There is no user named {username}. Give the name of one that exists."
                )
            await users.set_password(session, user.user_id, hashed)
            await users.revoke_sign_ins(session, user.user_id)
    finally:
        await database.close()


def _require_database() -> str:
    home, _ = read_home()
    url = locate_database(read_settings(UpSettings), home)
    if reason := asyncio.run(postgres_failure(url)):
        raise CommandError(
            f"The database cannot be reached ({reason}). Start it, or correct DATABASE_URL."
        )
    return url
