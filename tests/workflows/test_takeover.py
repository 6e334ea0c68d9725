"""Workers that die or are asked to stop in the middle of a turn, as processes of their own."""

import asyncio
import signal

from cattery.db.states import HarnessStatus
from cattery.db.tables import SandboxTokenRow
from cattery.events.model import EventType
from tests.workflows.parts import (
    Platform,
    count_rows,
    open_session,
    processes_of,
    said,
    text_of,
    worker_process,
)


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


async def test_a_start_whose_worker_is_killed_is_taken_over_with_its_sandbox(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    async with worker_process(platform, 1, oddity="slow-start") as first:
        await platform.lifecycles.start_sandbox(harness)

        async def starting() -> bool:
            return bool(processes_of(harness))

        await platform.until(starting, "the sandbox to start")
        first.kill()
        await first.wait()
    started = processes_of(harness)
    assert (await platform.harness_row(harness, user)).sandbox_status is HarnessStatus.STARTING
    async with worker_process(platform, 2, oddity="slow-start"):
        row = await platform.wait_for_harness(harness, user, HarnessStatus.READY)
        assert row.generation == 1
        assert set(started) <= set(processes_of(harness)), "adopted, not started again"
        assert await count_rows(platform, SandboxTokenRow) == 2, "each try brings one of its own"
