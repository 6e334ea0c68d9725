"""What happens after a commit: the row already says what is to be done, the workflows are told.

When they cannot be told, nothing is lost: the sweep finds such rows and begins the work.
"""

from collections.abc import Awaitable

import structlog

from cattery.errors import UnavailableError

log = structlog.get_logger(__name__)


async def tell_lifecycles(call: Awaitable[None]) -> None:
    """Tell the workflows of a committed change, now or, where they are away, by the sweep."""
    try:
        await call
    except UnavailableError as error:
        log.warning("lifecycle_was_deferred", reason=error.message)
