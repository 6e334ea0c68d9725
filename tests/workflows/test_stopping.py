"""Turns that people stop, at every moment at which they can."""

import asyncio
import sys
import time
from pathlib import Path

from temporalio.client import Client

from api.temporal_lifecycles import TemporalLifecycles
from cattery.db.states import PromptStatus
from cattery.db.turns import find_turn
from cattery.events.model import EventType
from tests.workflows.parts import (
    Platform,
    launching,
    odd_harness,
    of_type,
    open_session,
    platform_on,
    said,
    text_of,
    worker_on,
)

ABORTED = {"outcome": "aborted", "stoppedBy": "ada"}


async def test_an_abort_ends_the_turn_and_names_who_stopped_it(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1000 rate=20")

    async def streaming() -> bool:
        return any(e.type == EventType.MESSAGE_DELTA for e in await platform.events(session))

    await platform.until(streaming, "the first text")
    await platform.lifecycles.abort_turn(session, "ada")
    events = await platform.wait_for_idles(session, 1)
    assert events[-1].data == {"outcome": "aborted", "stoppedBy": "ada"}
    assert not any(e.type == EventType.SESSION_ERROR for e in events)


async def test_an_agent_that_says_nothing_can_be_stopped(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "silent")

    async def posted() -> bool:
        return len(platform.posted_prompts(harness)) == 1

    await platform.until(posted, "the prompt to reach the harness")
    await platform.lifecycles.abort_turn(session, "ada")
    events = await platform.wait_for_idles(session, 1)
    assert events[-1].data == ABORTED
    assert not of_type(events, EventType.SESSION_ERROR)


async def test_stopping_where_nothing_runs_does_nothing(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.lifecycles.abort_turn(session, "ada")
    await platform.prompt(session, user, "deltas=2 size=1")
    events = await platform.wait_for_idles(session, 1)
    await platform.lifecycles.abort_turn(session, "ada")

    assert events[-1].data == {"outcome": "completed"}
    assert await platform.events(session) == events


async def test_stopping_leaves_the_prompts_that_wait(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1000 rate=20")
    await platform.prompt(session, user, "deltas=3 size=1")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    await platform.lifecycles.abort_turn(session, "ada")
    events = await platform.wait_for_idles(session, 2)

    outcomes = [e.data for e in of_type(events, EventType.SESSION_IDLE)]
    assert outcomes == [ABORTED, {"outcome": "completed"}]
    assert text_of(events) == said(3)


async def test_two_people_who_stop_one_turn_stop_it_once(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1000 rate=20")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    await asyncio.gather(
        platform.lifecycles.abort_turn(session, "ada"),
        platform.lifecycles.abort_turn(session, "ada"),
    )
    await platform.prompt(session, user, "deltas=1")
    events = await platform.wait_for_idles(session, 2)
    outcomes = [e.data for e in of_type(events, EventType.SESSION_IDLE)]
    assert outcomes == [ABORTED, {"outcome": "completed"}]


async def test_a_turn_that_is_stopped_while_no_worker_runs_never_reaches_the_agent(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_on(platform):
        user, harness, session = await open_session(platform)
    prompt = await platform.prompt(session, user, "deltas=5")
    patient = TemporalLifecycles(platform.client, platform.database, patience=0.5)
    await patient.abort_turn(session, "ada")
    turn = await find_turn(platform.database, prompt)
    assert turn
    assert (turn.status, turn.stop_requested_by) == (PromptStatus.QUEUED, "ada")
    async with worker_on(platform):
        events = await platform.wait_for_idles(session, 1)

    assert events[-1].data == ABORTED
    assert platform.posted_prompts(harness) == []


async def test_a_turn_that_is_stopped_before_the_sandbox_is_up_ends_at_once(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    never_up = launching(lambda _: (sys.executable, "-c", "import time; time.sleep(600)"))
    async with (
        platform_on(temporal, database_url, tmp_path / "home", never_up) as platform,
        worker_on(platform),
    ):
        user = await platform.make_user()
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        session = await platform.make_session(project, harness, user)
        await platform.prompt(session, user, "deltas=2")

        async def starting() -> bool:
            return bool((await platform.harness_row(harness, user)).steps)

        await platform.until(starting, "the sandbox to start")
        await platform.lifecycles.abort_turn(session, "ada")
        events = await platform.wait_for_idles(session, 1)
        assert events[-1].data == ABORTED


async def test_an_agent_that_ignores_the_wish_to_stop_is_given_up(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    stubborn = odd_harness("ignore-abort")
    async with (
        platform_on(temporal, database_url, tmp_path / "home", stubborn) as platform,
        worker_on(platform),
    ):
        user, _, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=100000 rate=10")
        await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
        asked_at = time.monotonic()
        await platform.lifecycles.abort_turn(session, "ada")
        events = await platform.wait_for_idles(session, 1)

        # Ten seconds for the agent; then the attempt hears of it with a beat, which comes sooner
        # than the thirty seconds of a turn that nobody stops.
        assert time.monotonic() - asked_at < 25
        assert events[-1].data == ABORTED
        assert not of_type(events, EventType.SESSION_ERROR)
        await asyncio.sleep(0.5)
        assert (await platform.events(session))[-1] == events[-1], "nothing comes after the end"
