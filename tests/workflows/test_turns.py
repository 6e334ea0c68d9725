"""Turns end to end: rows, signals, a real harness process, the log."""

import asyncio

from cattery.db import access, projects, prompts, sessions
from cattery.events.history import fold_history
from cattery.events.model import EventType
from cattery.temporal import naming
from tests.conformance import eventually
from tests.statement_counts import counted_statements
from tests.workflows.parts import (
    Platform,
    of_type,
    open_session,
    said,
    text_of,
    wait_until_open,
    worker_on,
)


async def test_a_prompt_is_answered_and_ends_with_one_idle(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=50 size=8")
    events = await platform.wait_for_idles(session, 1)

    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert events[0].type == EventType.PROMPT_ACCEPTED
    assert events[-1].type == EventType.SESSION_IDLE
    assert events[-1].data == {"outcome": "completed"}
    (user_message, assistant) = fold_history(events)
    assert user_message.role == "user"
    assert assistant.role == "assistant"
    assert len(platform.posted_prompts(harness)) == 1


async def test_prompts_run_in_their_order_whatever_that_of_their_signals(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    stored = [await platform.store_prompt(session, user, "deltas=3 size=1") for _ in range(3)]
    for prompt in (stored[2], stored[0], stored[1]):
        await platform.lifecycles.submit_prompt(session, prompt)
    events = await platform.wait_for_idles(session, 3)

    ends = of_type(events, EventType.SESSION_IDLE)
    assert [end.turn_no for end in ends] == [1, 2, 3]
    assert all(end.data == {"outcome": "completed"} for end in ends)
    assert len(platform.posted_prompts(harness)) == 3


async def test_a_prompt_whose_signal_never_came_runs_before_the_next(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.store_prompt(session, user, "deltas=3 first")
    await platform.prompt(session, user, "deltas=3 second")
    events = await platform.wait_for_idles(session, 2)
    assert [end.turn_no for end in of_type(events, EventType.SESSION_IDLE)] == [1, 2]
    assert len(platform.posted_prompts(harness)) == 2


async def test_queued_prompts_run_in_their_order(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    for n in range(3):
        await platform.prompt(session, user, f"deltas=3 turn {n}")
    events = await platform.wait_for_idles(session, 3)

    idle_turns = [e.turn_no for e in events if e.type == EventType.SESSION_IDLE]
    assert idle_turns == [1, 2, 3]
    assert len(platform.posted_prompts(harness)) == 3


async def test_a_prompt_that_is_signalled_twice_runs_once(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    prompt = await platform.prompt(session, user, "deltas=5 rate=20")
    await asyncio.gather(*(platform.lifecycles.submit_prompt(session, prompt) for _ in range(5)))
    await platform.wait_for_idles(session, 1)
    await platform.lifecycles.submit_prompt(session, prompt)
    await platform.prompt(session, user, "deltas=1")
    events = await platform.wait_for_idles(session, 2)

    assert [e.turn_no for e in of_type(events, EventType.SESSION_IDLE)] == [1, 2]
    assert len(platform.posted_prompts(harness)) == 2


async def test_prompts_that_were_queued_while_no_worker_ran_are_answered_in_their_order(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    session = await platform.make_session(project, harness, user)
    for n in range(3):
        await platform.prompt(session, user, f"deltas={n + 1} size=1")
    async with worker_on(platform):
        events = await platform.wait_for_idles(session, 3)

    idles = of_type(events, EventType.SESSION_IDLE)
    assert [e.data for e in idles] == [{"outcome": "completed"}] * 3
    assert [e.turn_no for e in idles] == [1, 2, 3]
    assert text_of(events) == said(3)


async def test_a_prompt_that_was_removed_while_it_waited_never_runs(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=20 rate=20")
    removed = await platform.prompt(session, user, "deltas=7 never")
    await platform.prompt(session, user, "deltas=2 size=1")
    project = (await platform.harness_row(harness, user)).project_id
    async with platform.database.write() as rows:
        await prompts.remove_queued_prompt(rows, project, session, removed)
    events = await platform.wait_for_idles(session, 2)

    assert [e.turn_no for e in of_type(events, EventType.SESSION_IDLE)] == [1, 3]
    assert text_of(events) == said(2)
    posted = platform.posted_prompts(harness)
    assert len(posted) == 2
    assert not any("never" in line for line in posted)


async def test_two_sessions_of_one_harness_at_once_keep_their_events_apart(
    platform: Platform,
) -> None:
    user, harness, first = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    second = await platform.make_session(project, harness, user)
    await wait_until_open(platform, second)
    await asyncio.gather(
        platform.prompt(first, user, "deltas=60 rate=60 size=1 parts=2 tools=2"),
        platform.prompt(second, user, "deltas=90 rate=60 size=1 parts=1 think"),
    )
    of_first = await platform.wait_for_idles(first, 1)
    of_second = await platform.wait_for_idles(second, 1)

    assert text_of(of_first) == said(60) * 2
    assert text_of(of_second) == said(90)
    assert len(of_type(of_first, EventType.TOOL_DONE)) == 2
    assert not of_type(of_first, EventType.MESSAGE_THINKING)
    assert not of_type(of_second, EventType.TOOL_START)
    for events in (of_first, of_second):
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert len(of_type(events, EventType.SESSION_IDLE)) == 1


async def test_a_title_that_the_agent_finds_is_kept(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=2")
    events = await platform.wait_for_idles(session, 1)

    async def is_titled() -> bool:
        return (await platform.session_row(session)).title == "Scripted session"

    assert [e.data for e in of_type(events, EventType.SESSION_TITLE)] == [
        {"title": "Scripted session"}
    ]
    await platform.until(is_titled, "the title to be kept")


async def test_the_turn_of_a_member_who_is_removed_goes_on_and_none_follows(
    platform: Platform,
) -> None:
    owner, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, owner)).project_id
    bob = await platform.make_user("bob")
    async with platform.database.write() as rows:
        await projects.add_member(rows, project, bob)
    await platform.prompt(session, bob, "deltas=60 rate=40 size=1")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 3)
    async with platform.database.write() as rows:
        await projects.remove_member(rows, project, bob)

    events = await platform.wait_for_idles(session, 1)
    assert events[-1].data == {"outcome": "completed"}
    assert text_of(events) == said(60)
    database = platform.database
    assert await access.find_session(database, session, bob) is None, "what the API asks first"
    assert await access.find_session(database, session, owner) is not None
    await platform.prompt(session, owner, "deltas=3 size=1")
    await platform.wait_for_idles(session, 2)


async def test_a_title_that_a_person_gives_in_mid_turn_stays(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    project = (await platform.harness_row(harness, user)).project_id
    await platform.prompt(session, user, "deltas=20 rate=20")
    await platform.wait_for_events(session, EventType.SESSION_TITLE)
    async with platform.database.write() as rows:
        await sessions.rename_session(rows, project, session, "Mine")
    await platform.wait_for_idles(session, 1)
    await platform.prompt(session, user, "deltas=2")
    await platform.wait_for_idles(session, 2)

    assert (await platform.session_row(session)).title == "Mine"


async def test_a_session_whose_workflow_ended_is_revived_by_the_next_prompt(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=2")
    await platform.wait_for_idles(session, 1)
    handle = platform.client.get_workflow_handle(naming.session_workflow(session))
    await handle.terminate("as an operator may")
    await platform.prompt(session, user, "deltas=3 size=1")
    events = await platform.wait_for_idles(session, 2)

    assert text_of(events) == said(3)
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_turn_is_few_statements_besides_its_events(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_idles(session, 1)
    await platform.wait_for_rest(session)
    with counted_statements() as counts:
        await platform.prompt(session, user, "deltas=1")
        await platform.wait_for_idles(session, 2)
        await eventually(lambda: counts[_FINISH] == 1)
        await asyncio.sleep(0.2)  # for what follows it
    print(counts)
    ours = {text: n for text, n in counts.items() if not text.startswith(_ASKED_BY_TEST)}
    assert 10 <= sum(ours.values()) <= 20, counts


_FINISH = "UPDATE prompt SET status = 'done'"
_ASKED_BY_TEST = ("SELECT e.seq,", ";")
