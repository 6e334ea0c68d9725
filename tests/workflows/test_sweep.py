"""What fell between a row and its signal, as the sweep picks it up."""

from cattery.db import sessions
from cattery.events.model import EventType
from cattery.temporal import messages, naming
from cattery.temporal.messages import SweepResult
from tests.workflows.parts import Platform, of_type, open_session, said, text_of, wait_until_open


async def test_a_prompt_whose_signal_was_lost_is_run(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    handle = platform.client.get_workflow_handle(naming.session_workflow(session))
    await handle.terminate("no workflow knows of it")
    await platform.store_prompt(session, user, "deltas=3 size=1")
    assert (await platform.sweep()).prompts == 1
    events = await platform.wait_for_idles(session, 1)

    assert text_of(events) == said(3)
    assert (await platform.sweep()).prompts == 0
    assert len(platform.posted_prompts(harness)) == 1


async def test_a_prompt_whose_signal_was_lost_is_run_by_a_workflow_that_is_open(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_idles(session, 1)
    await platform.store_prompt(session, user, "deltas=3 size=1")
    assert (await platform.sweep()).prompts == 1
    events = await platform.wait_for_idles(session, 2)

    assert text_of(events) == said(3)
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_turn_that_runs_and_those_behind_it_are_left_alone(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=40 rate=20")
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    for _ in range(3):
        assert (await platform.sweep()).prompts == 0
    events = await platform.wait_for_idles(session, 2)
    assert [e.turn_no for e in of_type(events, EventType.SESSION_IDLE)] == [1, 2]
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_session_whose_opening_was_lost_is_opened(platform: Platform) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    async with platform.database.write() as rows:
        made = await sessions.create_session(rows, project, harness, user, theme="dark")
    assert (await platform.sweep()).sessions == 1
    await wait_until_open(platform, made.session_id)
    assert (await platform.sweep()).sessions == 0


async def test_the_sweep_runs_as_its_schedule_starts_it(platform: Platform) -> None:
    await open_session(platform)
    found: SweepResult = await platform.client.execute_workflow(
        messages.SWEEP,
        id="sweep-in-a-test",
        task_queue=naming.ORCHESTRATION_QUEUE,
        result_type=SweepResult,
    )
    assert found == SweepResult()
