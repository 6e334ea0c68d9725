"""Harnesses hang, vanish and babble, and the network to them is cut: the text is still theirs."""

import asyncio
import time
from uuid import UUID

import pytest
from sqlalchemy import select

from activities.turn_run import RECONNECT_DELAYS
from api.follow_up import PATIENCE
from cattery.db.states import PromptStatus
from cattery.db.tables import PromptRow, SessionStreamRow
from tests.faults.streams.installation import Installation, Node
from tests.faults.streams.people import People, Turn
from tests.faults.streams.proxy import TcpProxy
from tests.faults.streams.scenes import LONG_TALK, TALK, scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SILENCE = 30.0
"""Seconds of silence after which a worker takes a harness's stream for dead."""
ON_ITS_WAY = 9.0
"""Seconds that a prompt is under way: longer than a killed worker's turn waits for the next one."""
SHORT = "stamp deltas=10 rate=20 size=24"
UNREACHED = 2 * sum(RECONNECT_DELAYS)
"""Seconds for which nothing reaches a harness that runs, longer than one that is gone is tried."""


async def test_f17_harnesses_that_hang_or_whose_streams_died_unseen_are_asked_again(
    people: People, installation: Installation, harness: str
) -> None:
    """One harness hangs for longer than its stream may be silent; another's stream is half-open."""
    other = installation.harness_ids[1]
    async with (
        scene(people, harness, sessions=2) as hung,
        scene(people, other, sessions=2) as half_open,
    ):
        for process in installation.harness_processes(harness):
            process.suspend()
        (await link_of(people, other)).half_open()
        await asyncio.sleep(SILENCE + 4)
        for process in installation.harness_processes(harness):
            process.resume()
        await hung.finish()
        await half_open.finish()


async def test_f17_a_stream_that_ends_in_its_middle_again_and_again_is_opened_again(
    people: People, installation: Installation, harness: str
) -> None:
    link = await link_of(people, harness)
    async with scene(people, harness, text=LONG_TALK) as played:
        for number in range(8):
            (link.half_close if number % 2 else link.reset)()
            await played.until_talking()
        await played.finish()


async def test_f30_a_partition_from_the_harness_leaves_no_gap_and_nothing_twice(
    people: People, installation: Installation, harness: str
) -> None:
    link = await link_of(people, harness)
    async with scene(people, harness, text=LONG_TALK) as played:
        link.hold()
        await asyncio.sleep(10)
        await link.heal()
        await played.until_talking()
        await link.refuse()
        await asyncio.sleep(UNREACHED)
        await link.heal()
        await played.until_talking()
        link.weather.delay = 0.3
        await played.until_talking()
        await link.heal()
        await played.finish()


async def test_f6_a_prompt_is_taken_at_once_though_temporal_says_nothing(
    people: People, installation: Installation, harness: str
) -> None:
    async with scene(people, harness, sessions=1, text=None) as played:
        links = [installation.links[f"{api.name}/temporal"] for api in installation.apis]
        for link in links:
            link.hold()
        since, tries = time.monotonic(), people.tries
        await played.prompt_all("stamp deltas=10 rate=20 size=24")
        assert people.tries == tries + 1, "it was not taken at the first try"
        assert time.monotonic() - since < PATIENCE / 2, "its answer waited for Temporal"
        for link in links:
            await link.heal()
        await played.finish()


async def test_f18_a_harness_that_is_killed_ends_its_turn_once_and_is_started_for_the_next(
    people: People, installation: Installation, harness: str
) -> None:
    other = installation.harness_ids[1]
    async with scene(people, other, sessions=2) as played:
        for process in installation.harness_processes(other):
            process.kill()
        report = await played.finish(all_complete=False)
        assert dict(report.outcomes) == {"failed": 2}
        await played.prompt_all("stamp deltas=10 size=24")
        report = await played.finish(all_complete=False)
        assert dict(report.outcomes) == {"failed": 2, "completed": 2}


async def test_f24_a_stream_full_of_rubbish_in_small_pieces_is_read_as_it_was_meant(
    people: People, installation: Installation, harness: str
) -> None:
    link = await link_of(people, harness)
    async with scene(people, harness, sessions=2, text=None) as played:
        link.weather.piece = 7
        await played.prompt_all(f"{TALK} garbled")
        report = await played.finish()
        await link.heal()
    assert report.written > 200


async def test_a_prompt_whose_worker_dies_while_it_is_on_its_way_to_the_harness_arrives_once(
    people: People, installation: Installation, harness: str
) -> None:
    link = await link_of(people, harness)
    async with scene(people, harness, sessions=1, text=None) as played:
        posted = link.delay_next(b"/prompt_async", ON_ITS_WAY)
        played.turns.append(await people.prompt(played.sessions[0], SHORT))
        await asyncio.wait_for(posted.wait(), 20)
        arrives_at = time.monotonic() + ON_ITS_WAY
        worker = await owner_of(installation, played.turns[-1])
        worker.kill()
        worker.start()
        await played.until_idle()
        await installation.wait_until_ready(worker)
        await asyncio.sleep(arrives_at + 1 - time.monotonic())
        await played.finish()


async def owner_of(installation: Installation, turn: Turn) -> Node:
    """Wait until a worker has claimed a turn, and find it."""
    async with asyncio.timeout(20):
        while True:
            async with installation.database.read() as rows:
                owner = await rows.scalar(
                    select(SessionStreamRow.owner)
                    .join(PromptRow, PromptRow.session_id == SessionStreamRow.session_id)
                    .where(PromptRow.id == UUID(turn.turn_id))
                    .where(PromptRow.status == PromptStatus.RUNNING)
                )
            for worker in installation.workers:
                if owner and f":{worker.process.process.pid}:" in owner:
                    return worker
            await asyncio.sleep(0.05)


async def link_of(people: People, harness_id: str) -> TcpProxy:
    """Find what stands before a harness."""
    return people.installation.links[await people.link_to(harness_id)]
