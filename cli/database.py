"""What the operator does to the database by hand: migrate it, give a user a new password."""

import asyncio

from cattery.auth.bootstrap import ensure_admin, reset_password
from cattery.auth.usernames import normalise_username
from cattery.db.migrate import pending, upgrade
from cattery.errors import NotFoundError
from cli.configuration import FirstAdminSettings, UpSettings, read_home, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.probes import postgres_failure
from cli.stores import locate_database


def run_migrate() -> None:
    """Apply the migrations that the database lacks; make the first admin."""
    url = _require_database()
    given = read_settings(FirstAdminSettings).admin_password
    console = Console()
    missing = pending(url)
    upgrade(url)
    if missing:
        console.say(f"Applied {len(missing)} migrations, the last is {missing[-1]}.")
    else:
        console.say("The database is up to date.")
    if given is not None:
        if ensure_admin(url, password=given.get_secret_value()):
            console.say("Made the first user: admin, with the password of CATTERY_ADMIN_PASSWORD.")
    elif password := ensure_admin(url):
        console.say(f"Made the first user: admin   password: {password}", tone="strong")


def run_reset_password(username: str) -> None:
    """Give a user a new random password, print it once, and end the user's sign-ins.

    Raises:
        CommandError: there is no such user.
    """
    name = normalise_username(username)
    try:
        password = asyncio.run(reset_password(_require_database(), name))
    except NotFoundError as error:
        raise CommandError(
            f"There is no user named {name}. Give the name of one that exists."
        ) from error
    console = Console()
    console.say(f"The new password of {name} is: {password}", tone="strong")
    console.say("It is not shown again. All earlier sign-ins of this user have ended.")


def _require_database() -> str:
    home, _ = read_home()
    url = locate_database(read_settings(UpSettings), home)
    if reason := asyncio.run(postgres_failure(url)):
        raise CommandError(
            f"The database cannot be reached ({reason}). Start it, or correct DATABASE_URL."
        )
    return url
