"""Agents that die, lose things, break streams or whose model fails."""

from pathlib import Path

import pytest
from temporalio.client import Client

from activities.turn_run import RECONNECT_DELAYS
from cattery.events.model import EventType
from cattery.temporal import naming
from tests.workflows.parts import (
    Platform,
    odd_harness,
    of_type,
    open_session,
    platform_on,
    said,
    text_of,
    worker_on,
)


async def test_an_agent_that_dies_ends_the_turn_and_the_next_prompt_starts_it_again(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=100 die-after=10")
    events = await platform.wait_for_idles(session, 1)
    (error,) = [e for e in events if e.type == EventType.SESSION_ERROR]
    assert "ended in the middle of this turn" in str(error.data["message"])
    assert events[-1].data == {"outcome": "failed"}

    await platform.prompt(session, user, "deltas=5")
    events = await platform.wait_for_idles(session, 2)
    assert events[-1].data == {"outcome": "completed"}
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_model_that_fails_ends_the_turn_with_its_error(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "fail")
    events = await platform.wait_for_idles(session, 1)

    (error,) = of_type(events, EventType.SESSION_ERROR)
    assert "scripted failure" in str(error.data["message"])
    assert events[-1].data == {"outcome": "failed"}


@pytest.mark.parametrize("parts", [1, 3])
async def test_a_stream_that_breaks_off_in_mid_turn_costs_and_doubles_nothing(
    platform: Platform, parts: int
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(
        session, user, f"deltas=60 rate=60 size=1 parts={parts} tools={parts} drop-sse-after=20"
    )
    events = await platform.wait_for_idles(session, 1)

    assert text_of(events) == said(60) * parts
    assert len(of_type(events, EventType.TOOL_DONE)) == parts
    assert not of_type(events, EventType.SESSION_ERROR)
    assert events[-1].data == {"outcome": "completed"}
    assert len(platform.posted_prompts(harness)) == 1


async def test_a_stream_that_breaks_off_more_often_than_it_is_tried_in_vain_ends_no_turn(
    platform: Platform,
) -> None:
    user, _, session = await open_session(platform)
    pieces = 100 * len(RECONNECT_DELAYS) + 100
    await platform.prompt(session, user, f"deltas={pieces} rate=100 size=1 drop-sse-every=50")
    events = await platform.wait_for_idles(session, 1)

    assert text_of(events) == said(pieces)
    assert not of_type(events, EventType.SESSION_ERROR)
    assert events[-1].data == {"outcome": "completed"}


async def test_a_session_that_the_harness_has_lost_is_opened_again_and_the_prompt_runs(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=2")
    await platform.wait_for_idles(session, 1)
    before = (await platform.session_row(session)).harness_session_id
    await platform.lifecycles.stop_sandbox(harness)
    (state,) = platform.home.glob(f"sandboxes/{harness}/**/state.json")
    state.unlink()
    await platform.prompt(session, user, "deltas=3 size=1")
    events = await platform.wait_for_idles(session, 2)

    assert events[-1].data == {"outcome": "completed"}
    assert text_of(events) == said(3)
    assert (await platform.session_row(session)).harness_session_id != before


async def test_an_agent_that_dies_while_a_session_is_opened_is_started_again_for_it(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    dying = odd_harness("die-opening")
    async with (
        platform_on(temporal, database_url, tmp_path / "home", dying) as platform,
        worker_on(platform),
    ):
        user, harness, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=2")
        events = await platform.wait_for_idles(session, 1)
        assert events[-1].data == {"outcome": "completed"}
        assert (await platform.harness_row(harness, user)).generation == 2


async def test_an_agent_that_refuses_every_prompt_ends_the_turn_with_what_it_says(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    async with (
        platform_on(
            temporal, database_url, tmp_path / "home", odd_harness("fail-prompts")
        ) as platform,
        worker_on(platform),
    ):
        user, _, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=2")
        events = await platform.wait_for_idles(session, 1)

        (error,) = of_type(events, EventType.SESSION_ERROR)
        assert "500" in str(error.data["message"])
        assert events[-1].data == {"outcome": "failed"}


async def test_a_title_that_comes_after_the_turn_is_found(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    async with (
        platform_on(
            temporal, database_url, tmp_path / "home", odd_harness("late-title")
        ) as platform,
        worker_on(platform),
    ):
        user, _, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=2")
        events = await platform.wait_for_idles(session, 1)
        assert not of_type(events, EventType.SESSION_TITLE)
        (title,) = await platform.wait_for_events(session, EventType.SESSION_TITLE)
        assert title.data == {"title": "Scripted session"}
        assert (await platform.session_row(session)).title == "Scripted session"


async def test_an_agent_that_dies_after_its_sandboxs_workflow_is_started_again(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    handle = platform.client.get_workflow_handle(naming.harness_workflow(harness))
    await handle.terminate("as an operator may")
    await platform.prompt(session, user, "deltas=100 die-after=10")
    await platform.prompt(session, user, "deltas=3 size=1")
    events = await platform.wait_for_idles(session, 2)

    outcomes = [e.data["outcome"] for e in of_type(events, EventType.SESSION_IDLE)]
    assert outcomes == ["failed", "completed"]
    assert text_of(events) == said(3)
