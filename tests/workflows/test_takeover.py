"""Workers that die or are asked to stop in the middle of a turn, as processes of their own."""

import asyncio
import signal

from cattery.events.model import EventType
from tests.workflows.parts import Platform, open_session, said, text_of, worker_process


async def test_a_killed_workers_turn_is_taken_over_and_nothing_is_lost_or_doubled(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, harness, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=200 rate=30 size=1 parts=3")
        await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 20)
        first.kill()
        await first.wait()
    async with worker_process(platform, 2):
        events = await platform.wait_for_idles(session, 1)

    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert events[-1].data == {"outcome": "completed"}
    assert not any(e.type == EventType.MESSAGE_RESET for e in events)
    assert text_of(events) == said(200) * 3
    assert len(platform.posted_prompts(harness)) == 1


async def test_a_worker_that_is_asked_to_stop_hands_its_turn_over_at_once(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, harness, session = await open_session(platform)
        async with worker_process(platform, 2):
            await platform.prompt(session, user, "deltas=200 rate=40 size=1")
            await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 5)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.wait(), 10) == 0
            events = await platform.wait_for_idles(session, 1)

    assert events[-1].data == {"outcome": "completed"}
    assert text_of(events) == said(200)
    assert len(platform.posted_prompts(harness)) == 1
