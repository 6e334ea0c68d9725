"""The rate limit: a burst, then one at a time, counted by the database for all processes."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.rate_limits import RateLimit, sweep_buckets, take_permit

LIMIT = RateLimit(burst=5, per_minute=5)


async def take(database: Database, key: str = "login:1") -> int | None:
    async with database.write() as session:
        return await take_permit(session, key, LIMIT)


async def let_pass(database: Database, seconds: float) -> None:
    """Let time pass for all buckets, without waiting for it."""
    async with database.write() as session:
        await session.execute(
            text("UPDATE rate_limit SET arrival_at = arrival_at - :passed"),
            {"passed": timedelta(seconds=seconds)},
        )


async def test_a_burst_passes_and_the_next_waits_its_turn(database: Database) -> None:
    assert [await take(database) for _ in range(5)] == [None] * 5
    wait = await take(database)
    assert wait is not None
    assert 11 <= wait <= 12


async def test_one_comes_back_every_twelve_seconds(database: Database) -> None:
    for _ in range(5):
        await take(database)
    await let_pass(database, 12)
    assert await take(database) is None
    assert await take(database) is not None
    await let_pass(database, 24)
    assert [await take(database) for _ in range(2)] == [None, None]
    assert await take(database) is not None


async def test_refused_tries_cost_nothing(database: Database) -> None:
    for _ in range(50):
        await take(database)
    await let_pass(database, 12)
    assert await take(database) is None


async def test_a_clock_that_was_set_back_makes_nobody_wait_for_it(database: Database) -> None:
    for _ in range(5):
        await take(database)
    await let_pass(database, -600)
    assert await take(database) is None
    wait = await take(database)
    assert wait is not None
    assert 11 <= wait <= 12


async def test_a_long_rest_gives_the_burst_back_and_no_more(database: Database) -> None:
    for _ in range(5):
        await take(database)
    await let_pass(database, 3_600)
    assert [await take(database) for _ in range(5)] == [None] * 5
    assert await take(database) is not None


async def test_buckets_do_not_share(database: Database) -> None:
    for _ in range(6):
        await take(database, "login:1")
    assert await take(database, "login:2") is None


async def test_a_hundred_tries_at_once_let_five_through(database: Database) -> None:
    taken = await asyncio.gather(*(take(database) for _ in range(100)))
    assert taken.count(None) == 5


async def test_buckets_that_are_full_again_are_swept(database: Database) -> None:
    await take(database, "old")
    await let_pass(database, 7_200)
    await take(database, "new")
    async with database.write() as session:
        await sweep_buckets(session)
        keys = (await session.execute(text("SELECT key FROM rate_limit"))).scalars().all()
    assert keys == ["new"]
