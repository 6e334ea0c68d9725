"""Keeps a sandbox awake while a viewer is at its terminal.

The lease is a row that is renewed. Where this process is killed it expires by itself, and until
then counts as use; where the database is away, it outlives some minutes of that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from random import uniform
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

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
    try:
        async with database.write() as session:
            await note_use(session, harness_id, by=user_id, how="By opening its terminal.")
            await hold_lease(session, harness_id, holder, SPAN)
    except (SQLAlchemyError, OSError) as error:
        log.warning("terminal_lease_not_held", harness_id=str(harness_id), error=repr(error)[:200])
    renewing = asyncio.create_task(_renew(database, harness_id, holder), name="terminal-lease")
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        try:
            async with database.write() as session:
                await release_lease(session, harness_id, holder)
        except (SQLAlchemyError, OSError) as error:
            log.info("terminal_lease_left", harness_id=str(harness_id), error=repr(error)[:200])


async def _renew(database: Database, harness_id: HarnessId, holder: str) -> None:
    while True:
        await asyncio.sleep(uniform(*RENEWED_SECONDS))  # noqa: S311 - jitter
        try:
            async with database.write() as session:
                await hold_lease(session, harness_id, holder, SPAN)
        except (SQLAlchemyError, OSError) as error:
            log.info("terminal_lease_waits", harness_id=str(harness_id), error=repr(error)[:200])
