"""Processes are killed, frozen and restarted while agents talk: every watcher has it all, once."""

import asyncio
import time

import pytest

from tests.faults.streams.installation import Installation
from tests.faults.streams.misfortunes import end_backends
from tests.faults.streams.people import People
from tests.faults.streams.scenes import LONG_TALK, TALK, scene
from workers.peers import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HEARTBEAT_TIMEOUT = 15.0
AWAY = 12.0
"""Seconds that a database is away for: longer than a few quick tries take."""


async def test_f1_an_api_that_is_killed_sends_its_watchers_to_the_other_one(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, text=LONG_TALK) as played:
        for api in installation.apis:
            before = sum(each.connections for each in played.watchers)
            api.kill()
            await played.until_talking()  # though one of the two is away
            api.start()
            await installation.wait_until_ready(api)
            assert sum(each.connections for each in played.watchers) > before
        report = await played.finish()
    assert report.connections > len(played.watchers)


async def test_f2_an_api_that_is_told_to_stop_ends_its_streams_within_ten_seconds(
    people: People, installation: Installation, harness: str
) -> None:
    api = installation.apis[0]
    async with scene(people, harness, text=LONG_TALK) as played:
        asked_at = time.monotonic()
        await asyncio.to_thread(api.process.stop)
        took = time.monotonic() - asked_at
        api.start()
        await installation.wait_until_ready(api)
        await played.finish()
    assert took < 10


async def test_f3_a_worker_that_is_killed_at_twenty_points_of_turns_has_them_taken_over(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, sessions=20, text=TALK, apart=0.3) as played:
        for worker in installation.workers:
            worker.kill()
            worker.start()
        for worker in installation.workers:
            await installation.wait_until_ready(worker)
        killed_at = time.monotonic()
        await played.until_talking(1)
        took_over = time.monotonic() - killed_at
        await played.finish()
    assert took_over < 2 * HEARTBEAT_TIMEOUT


async def test_f4_a_worker_that_wakes_up_after_its_turns_were_taken_over_writes_nothing(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, sessions=6, text=LONG_TALK) as played:
        frozen = installation.workers[0]
        frozen.freeze()
        await asyncio.sleep(2 * PATIENCE)
        # All of them are the other one's now, also those that a poll of the frozen one took along.
        await played.until_talking(seconds=HEARTBEAT_TIMEOUT)
        frozen.thaw()
        await played.finish()


async def test_f6_streams_flow_while_temporal_is_away_and_prompts_are_kept_for_it(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness) as played:
        installation.temporal.kill()
        await played.until_talking()
        taken = await people.prompt(played.sessions[0], "stamp deltas=3 size=24")
        played.turns.append(taken)
        await installation.temporal.start()
        await played.finish()


async def test_f7_a_database_that_crashes_under_load_costs_nobody_an_event(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, text=LONG_TALK) as played:
        await asyncio.to_thread(installation.postgres.crash)
        refused = asyncio.create_task(people.prompt(played.sessions[0], "stamp deltas=3 size=24"))
        await asyncio.sleep(2)
        assert not refused.done()
        await asyncio.to_thread(installation.postgres.start)
        played.turns.append(await refused)
        await played.until_talking()
        await asyncio.to_thread(end_backends, installation.postgres.url)
        await played.finish()


async def test_f7_a_session_is_opened_though_its_worker_loses_the_database_meanwhile(
    people: People, installation: Installation, harness: str
) -> None:
    to_harness = installation.links[await people.link_to(harness)]
    to_database = [installation.links[f"{each.name}/postgres"] for each in installation.workers]
    to_harness.weather.delay = 1.0  # so that there is a while between asking it and the row
    made = await people.ask("POST", f"/harnesses/{harness}/sessions", {})
    path = f"/sessions/{made['session_id']}"
    await people.wait_for(path, "phase", "handshake")
    await asyncio.gather(*(link.refuse() for link in to_database))
    await asyncio.sleep(AWAY)
    for link in (*to_database, to_harness):
        await link.heal()
    await people.wait_for(path, "status", "ready")


async def test_f8_commits_whose_answers_are_lost_are_not_made_twice(
    people: People, installation: Installation, harness: str
) -> None:
    """Commits of events by workers, and of prompts by APIs."""
    links = installation.database_links()
    lost = sum(link.lost for link in links)
    async with scene(people, harness) as played:
        for _ in range(10):
            for link in links:
                link.lose_replies(1)
            await asyncio.sleep(0.3)
        for session in played.sessions:
            played.turns.append(await people.prompt(session, "stamp deltas=3 size=24"))
        for link in links:
            await link.heal()
        await played.finish()
    assert sum(link.lost for link in links) - lost >= 20
