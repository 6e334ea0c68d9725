"""Locks by which several processes do a thing one after the other."""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

NETWORK_CHECK: Final = 0x6361746E6574
"""Held by the worker that checks the cluster's network for all of them."""

OFFERED_MODELS: Final = 0x6361746D6F64
"""Held by whoever edits the models that the site offers."""


async def take_lock(session: AsyncSession, key: int) -> None:
    """Wait until nobody holds a lock, and hold it until the transaction or its process ends."""
    await session.execute(select(func.pg_advisory_xact_lock(key)))
