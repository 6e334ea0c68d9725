"""What happens after a commit: the row already says what is to be done, the workflows are told.

When they cannot be told, nothing is lost: the sweep finds such rows and begins the work.
"""

import asyncio
from collections.abc import Awaitable

import structlog

from cattery.errors import UnavailableError

log = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds that a person's request waits for the workflows to be told. A connection that died
unseen, or a server that is just starting, may keep a call for a minute."""


async def tell_lifecycles(call: Awaitable[None]) -> None:
    """Tell the workflows of a committed change, now or, where they are away, by the sweep."""
    try:
        async with asyncio.timeout(PATIENCE):
            await call
    except UnavailableError as error:
        log.warning("lifecycle_was_deferred", reason=error.message)
    except TimeoutError:
        log.warning("lifecycle_was_deferred", reason=f"no answer within {PATIENCE:g} s")
