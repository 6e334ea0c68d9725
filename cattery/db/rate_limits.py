"""Rate limits shared by all processes: the generic cell rate algorithm in one statement.

A bucket's row holds the theoretical arrival time (TAT) of the next request that would be in step.
The database's clock counts, so that processes with different clocks share one limit. A bucket that
is fuller than this clock can have made it was made by another one, before a failover: it counts as
just full, and nobody waits for the time of that clock.
Source: ITU-T I.371, the virtual scheduling form.
"""

import math
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_TAKE = text(
    """
    WITH taken AS (
        INSERT INTO rate_limit AS r (key, arrival_at)
        VALUES (:key, clock_timestamp() + make_interval(secs => :interval))
        ON CONFLICT (key) DO UPDATE
        SET arrival_at = least(
                greatest(r.arrival_at, clock_timestamp()),
                clock_timestamp() + make_interval(secs => :tolerance))
            + make_interval(secs => :interval)
        WHERE r.arrival_at <= clock_timestamp() + make_interval(secs => :tolerance)
            OR r.arrival_at > clock_timestamp() + make_interval(secs => :tolerance + :interval + 1)
        RETURNING 1
    )
    SELECT EXISTS (SELECT 1 FROM taken), (
        SELECT extract(epoch FROM arrival_at - clock_timestamp())::float8 - :tolerance
        FROM rate_limit WHERE key = :key)
    """
)
_SWEEP = text(
    """
    DELETE FROM rate_limit WHERE key IN (
        SELECT key FROM rate_limit WHERE arrival_at < clock_timestamp() - interval '1 hour'
        LIMIT 100 FOR UPDATE SKIP LOCKED)
    """
)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`burst` requests at once, then `per_minute` a minute."""

    burst: int
    per_minute: int


async def take_permit(session: AsyncSession, key: str, limit: RateLimit) -> int | None:
    """Count one request against a bucket.

    Returns:
        `None` where it is within the limit, otherwise in how many whole seconds to come back. A
        request that is refused costs nothing.
    """
    interval = 60 / limit.per_minute
    taken, wait = (
        await session.execute(
            _TAKE,
            {"key": key, "interval": interval, "tolerance": interval * (limit.burst - 1)},
        )
    ).one()
    return None if taken else max(1, math.ceil(wait or 0))


async def sweep_buckets(session: AsyncSession) -> None:
    """Delete some buckets that have long been full again."""
    await session.execute(_SWEEP)
