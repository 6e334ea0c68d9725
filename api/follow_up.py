"""What happens after a commit: the row already says what is to be done, the workflows are told.

When they cannot be told, nothing is lost: the sweep finds such rows and begins the work.
"""

import asyncio
from collections.abc import Coroutine

import structlog
from fastapi import BackgroundTasks

from cattery.errors import NotFoundError, UnavailableError

log = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds that a person's request waits for the workflows to be told. A connection that died
unseen, or a server that is just starting, may keep a call for a minute."""


def tell_beside(answer: BackgroundTasks, call: Coroutine[None, None, None]) -> None:
    """Tell the workflows while the answer is on its way: it says only what the rows say.

    Begins at once. A server that is stopping waits for it, as for the rest of a request.
    """
    telling = asyncio.create_task(_tell(call), name="tell-lifecycles")
    answer.add_task(asyncio.wait, {telling})


async def _tell(call: Coroutine[None, None, None]) -> None:
    try:
        await tell_lifecycles(call)
    except NotFoundError as error:
        log.info("lifecycle_was_gone", reason=error.message)
    except Exception:
        log.exception("lifecycle_was_not_told")


async def tell_lifecycles(call: Coroutine[None, None, None]) -> None:
    """Tell the workflows of a committed change, now or, where they are away, by the sweep."""
    try:
        async with asyncio.timeout(PATIENCE):
            await call
    except UnavailableError as error:
        log.warning("lifecycle_was_deferred", reason=error.message)
    except TimeoutError:
        log.warning("lifecycle_was_deferred", reason=f"no answer within {PATIENCE:g} s")
