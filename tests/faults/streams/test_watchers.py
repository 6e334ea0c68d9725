"""Watchers drop, crawl, come back by the hundred and ask for nonsense: each has it all, once."""

import asyncio
import random
import time

import pytest

from tests.faults.streams.checks import read_heads, until
from tests.faults.streams.delays import assert_undisturbed, measure_crowding, p99_between
from tests.faults.streams.installation import Installation
from tests.faults.streams.people import People
from tests.faults.streams.proxy import LOOPBACK, TcpProxy, proxied
from tests.faults.streams.scenes import LONG_TALK, TALK, scene
from tests.faults.streams.watchers import Watcher, Way, watching

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CUTS = 500
CROWD = 300
BACK_SECONDS = 5.0
"""On an idle machine; on a crowded one as many times that as work takes longer on it."""
PIECES_A_SECOND = 40


async def test_f19_five_hundred_cuts_of_watchers_streams_lose_nothing(
    people: People, installation: Installation, harness: str
) -> None:
    links = [installation.links[f"client/{api.name}"] for api in installation.apis]
    ways = (Way.SSE, Way.SOCKET) * 5
    async with scene(people, harness, sessions=4, ways=ways, text=LONG_TALK) as played:
        for each in played.watchers:
            each.pause = 0.05
        while sum(each.connections for each in played.watchers) < CUTS + len(played.watchers):
            for connection in (each for link in links for each in link.connections):
                if connection.reset_in is None:
                    connection.reset_in = random.randrange(1, 2_000)
            await asyncio.sleep(0.3)
            if all(each.is_idle for each in played.watchers):
                await played.prompt_all(TALK)
        for link in links:
            for connection in link.connections:
                connection.reset_in = None
        report = await played.finish()
    assert report.connections >= CUTS


@pytest.mark.parametrize("number", ["999999999", "-1", "1.5", "x", "99999999999999999999999"])
async def test_f19_a_number_that_no_event_has_is_refused(
    people: People, installation: Installation, harness: str, number: str
) -> None:
    session = await people.open_session(harness)
    url = f"{installation.urls[0]}/api/v1/sessions/{session}/events"
    async with people.http.get(url, headers={"Last-Event-ID": number}) as answer:
        assert answer.status == 400


async def test_f26_watchers_that_crawl_hold_up_nobody_and_get_it_all_in_the_end(
    people: People, installation: Installation, harness: str
) -> None:
    api = installation.apis[0]
    before = api.process.process.memory_info().rss
    async with (
        proxied(
            TcpProxy("slow", int(installation.urls[0].rpartition(":")[2]), window=8_192)
        ) as slow,
        scene(people, harness, sessions=2, text=None) as played,
    ):
        calm_from = time.monotonic()
        await played.prompt_all(f"stamp deltas=200 rate={PIECES_A_SECOND} size=20000")
        await played.until_idle()
        calm_to = time.monotonic()
        slow.weather.rate = 1
        url = f"http://{LOOPBACK}:{slow.port}"
        crawling = [
            Watcher(installation, session, way, 100 + number, url_of=lambda _: url)
            for session in played.sessions
            for way in Way
            for number in range(5)
        ]
        async with watching(installation, crawling):
            since = time.monotonic()
            await played.prompt_all(f"stamp deltas=400 rate={PIECES_A_SECOND} size=20000")
            crowding = asyncio.create_task(measure_crowding())
            await played.until_idle()
            assert not any(each.is_idle for each in crawling)
            assert_undisturbed(
                p99_between(played.watchers, calm_from, calm_to),
                p99_between(played.watchers, since, time.monotonic()),
                await crowding,
            )
            grown = api.process.process.memory_info().rss - before
            await slow.heal()
            played.watchers += crawling
            await played.finish()
    print(f"the API's memory grew by {grown / 1024**2:.0f} MiB")
    assert grown < 100 * 1024 * 1024


async def test_f27_a_storm_from_one_harness_leaves_the_others_their_streams(
    people: People, installation: Installation, harness: str
) -> None:
    async with (
        scene(people, harness, text="stamp deltas=300 rate=20 size=24") as calm,
        scene(people, installation.harness_ids[1], sessions=2, text=None) as storm,
    ):
        calm_from = time.monotonic()
        await calm.until_talking(60)
        since = time.monotonic()
        await storm.prompt_all("stamp deltas=20000 rate=0 size=24")
        crowding = asyncio.create_task(measure_crowding())
        await storm.until_idle()
        over_at = max(since + 3, time.monotonic())
        await calm.finish()
        await storm.finish()
    assert_undisturbed(
        p99_between(calm.watchers, calm_from, since),
        p99_between(calm.watchers, since, over_at),
        await crowding,
    )


async def test_f28_a_crowd_that_comes_back_after_both_apis_died_has_caught_up_soon(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, sessions=4, text=None) as played:
        crowd = [
            Watcher(installation, played.sessions[number % 4], Way.SSE, 100 + number)
            for number in range(CROWD)
        ]
        async with watching(installation, crowd):
            await played.prompt_all(LONG_TALK)
            await until(lambda: all(each.events for each in crowd), "the crowd's first events")
            for api in installation.apis:
                api.kill()
            await asyncio.sleep(8)
            for api in installation.apis:
                api.start()
            for api in installation.apis:
                await installation.wait_until_ready(api)
            since = time.monotonic()
            heads = await read_heads(installation, played.sessions)
            behind = sum(heads[each.session_id] - each.last for each in crowd)
            crowding = asyncio.create_task(measure_crowding())
            await until(
                lambda: all(each.last >= heads[each.session_id] for each in crowd), "the crowd", 120
            )
            back_after = time.monotonic() - since
            allowed = BACK_SECONDS * await crowding
            played.watchers += crowd
            await played.finish()
    print(f"{CROWD} watchers had {behind:,} events after {back_after:.1f} of {allowed:.1f} s")
    assert behind > CROWD
    assert back_after < allowed
