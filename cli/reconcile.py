"""`cattery reconcile`: makes the workflows again from the rows, after Temporal lost them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr
from temporalio.client import Client
from temporalio.service import RPCError

from activities.lost_work import Kind, LostWork, find_everything, start_again
from cattery.db.engine import Database, connect as connect_database
from cattery.db.migrate import pending
from cattery.db.restored import count_sandboxes, forget_sandboxes
from cattery.db.users import any_user_exists
from cattery.settings import DatabaseSettings, TemporalSettings
from cattery.temporal import messages
from cattery.temporal.client import connect as connect_temporal, is_unknown_workflow
from cli.configuration import UpSettings, read_home, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.probes import postgres_failure
from cli.stores import locate_database, locate_temporal
from cli.temporal_setup import apply_setup, read_setup

_TYPES: Final = (
    messages.HARNESS_SANDBOX,
    messages.SESSION,
    messages.SESSION_DELETION,
    messages.HARNESS_DELETION,
    messages.PROJECT_TEARDOWN,
    messages.USER_DELETION,
    messages.FILE_MANAGER,
)
"""Workflows that go on from their rows when they are started again."""
_REASON: Final = "cattery reconcile --replace: made again from the rows"
_COLUMNS: Final = ("what", "workflow", "")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command was asked for. `is_restored`: the database is that of a backup."""

    is_dry_run: bool = False
    replaces: bool = False
    is_restored: bool = False


def run_reconcile(wishes: Wishes) -> None:
    """Find what must run by the rows and does not, start it, and print each."""
    home, _ = read_home()
    settings = read_settings(UpSettings)
    url, temporal = locate_database(settings, home), locate_temporal(settings, home)
    asyncio.run(_reconcile(url, temporal, wishes))


async def _reconcile(url: str, temporal: TemporalSettings, wishes: Wishes) -> None:
    if reason := await postgres_failure(url):
        raise CommandError(
            f"The database cannot be reached ({reason}). Start it, or correct DATABASE_URL."
        )
    if await asyncio.to_thread(pending, url):
        raise CommandError(
            "The database lacks migrations: nothing was done. Run `cattery migrate` first."
        )
    async with AsyncExitStack() as stack:
        database = connect_database(DatabaseSettings(url=SecretStr(url)))
        stack.push_async_callback(database.close)
        await _require_site(database)
        client = await _connect(temporal)
        console = Console()
        if not wishes.is_dry_run:
            await apply_setup(client, read_setup())
        replaces = wishes.replaces or wishes.is_restored
        ended = await _end_open(client, is_dry_run=wishes.is_dry_run) if replaces else 0
        if wishes.is_restored:
            await _forget_sandboxes(database, console, is_dry_run=wishes.is_dry_run)
        found = await find_everything(database, client, leaves_out_open=not replaces)
        if wishes.is_restored:
            found = [lost for lost in found if lost.kind is not Kind.SANDBOX]
        for lost in found:
            if not wishes.is_dry_run:
                await start_again(client, lost)
        _tell(console, found, ended, is_dry_run=wishes.is_dry_run)


async def _require_site(database: Database) -> None:
    """Refuse to believe a database that says that there is nothing at all."""
    async with database.read() as rows:
        if not await any_user_exists(rows):
            raise CommandError(
                "The database has no user, so it is not that of a site: nothing was done. "
                "Correct DATABASE_URL, or restore the database first."
            )


async def _connect(settings: TemporalSettings) -> Client:
    try:
        return await connect_temporal(settings)
    except RuntimeError as error:
        raise CommandError(
            f"No Temporal server answers at {settings.address}. Start it, or correct "
            "TEMPORAL_ADDRESS."
        ) from error


async def _end_open(client: Client, *, is_dry_run: bool) -> int:
    """End every workflow of ours that is open; returns how many there were.

    Nothing is lost with them: what they know stands in rows. A turn that runs is taken over.
    """
    types = ", ".join(f"'{each}'" for each in _TYPES)
    query = f"ExecutionStatus = 'Running' AND WorkflowType IN ({types})"
    ended: set[str] = set()
    async for execution in client.list_workflows(query):
        ended.add(execution.id)
        if is_dry_run:
            continue
        try:
            await client.get_workflow_handle(execution.id).terminate(_REASON)
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
    return len(ended)


async def _forget_sandboxes(database: Database, console: Console, *, is_dry_run: bool) -> None:
    """Have whatever runs count as older than the rows, which know less than there is."""
    if is_dry_run:
        async with database.read() as rows:
            console.say(f"{await count_sandboxes(rows)} sandboxes would be started anew.")
        return
    async with database.write() as session:
        count = await forget_sandboxes(session)
    console.say(f"{count} sandboxes sleep now; the next prompt starts each of them anew.")


def _tell(console: Console, found: Sequence[LostWork], ended: int, *, is_dry_run: bool) -> None:
    did, would = ("would be started", "Nothing was done: this was a dry run.")
    if not is_dry_run:
        did, would = ("started", "")
    if ended:
        console.say(f"{ended} open workflows {'would be' if is_dry_run else 'were'} ended.")
    if found:
        rows = [_COLUMNS, *((lost.kind.value, lost.workflow_id, did) for lost in found)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            console.say("  " + "   ".join(cells).rstrip())
    else:
        console.say("Everything that must run by the rows is under way.", tone="good")
    if would:
        console.say(would)
