"""Keeps a sandbox awake while a viewer is at its terminal.

The lease is a row that is renewed. Where this process is killed it expires by itself, and until
then counts as use; where the database is away, it outlives some minutes of that.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from random import uniform
from typing import Final

import structlog

from cattery.db.engine import Database
from cattery.db.idle import note_use
from cattery.db.leases import hold_lease, release_lease
from cattery.ids import HarnessId, UserId, new_id

log = structlog.get_logger(__name__)

SPAN: Final = timedelta(minutes=3)
RENEWED_SECONDS: Final = (50.0, 70.0)
"""Between two renewals: spread, since a restart has all terminals opened at once."""


@asynccontextmanager
async def attached(
    database: Database, harness_id: HarnessId, user_id: UserId
) -> AsyncIterator[None]:
    """Hold a lease for one viewer while the body runs; nothing that goes wrong with it ends it."""
    holder = f"terminal/{new_id()}"

    async def take() -> None:
        async with database.write() as session:
            await note_use(session, harness_id, by=user_id, how="By opening its terminal.")
            await hold_lease(session, harness_id, holder, SPAN)

    async def renew() -> None:
        async with database.write() as session:
            await hold_lease(session, harness_id, holder, SPAN)

    async def give_back() -> None:
        async with database.write() as session:
            await release_lease(session, harness_id, holder)

    await _try(take, "taken", harness_id)
    renewing = asyncio.create_task(_renew(renew, harness_id), name="terminal-lease")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await _try(give_back, "given back", harness_id)


async def _renew(renew: Callable[[], Awaitable[None]], harness_id: HarnessId) -> None:
    while True:
        await asyncio.sleep(uniform(*RENEWED_SECONDS))  # noqa: S311 - jitter
        await _try(renew, "renewed", harness_id)


async def _try(act: Callable[[], Awaitable[None]], what: str, harness_id: HarnessId) -> None:
    """Do something to the lease; a viewer does not notice where that fails."""
    try:
        await act()
    except Exception as error:  # noqa: BLE001 - a database that is away, or anything else
        name = type(error).__name__
        log.warning("terminal_lease_failed", what=what, harness_id=str(harness_id), error=name)
