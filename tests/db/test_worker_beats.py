"""The pulse of the workers in PostgreSQL."""

from cattery.db.engine import Database
from cattery.db.worker_beats import beat, forget


async def test_a_worker_counts_up_and_sees_the_counts_of_the_others(database: Database) -> None:
    assert (await beat(database, "one")).counts == {}
    assert (await beat(database, "two")).counts == {"one": 1}
    await beat(database, "one")
    assert (await beat(database, "two")).counts == {"one": 2}
    assert (await beat(database, "one")).counts == {"two": 2}


async def test_a_dead_worker_is_taken_off_once_and_only_while_it_stands_still(
    database: Database,
) -> None:
    for _ in range(2):
        await beat(database, "one")
    assert not await forget(database, "one", 1), "it has counted on"
    assert await forget(database, "one", 2)
    assert not await forget(database, "one", 2), "another has done it"
    await beat(database, "one")
    assert (await beat(database, "two")).counts == {"one": 1}, "it lives after all"
