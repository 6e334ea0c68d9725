"""Turns end to end: rows, signals, a real harness process, the log."""

from cattery.db.states import SessionStatus
from cattery.events.history import fold_history
from cattery.events.model import EventType
from cattery.ids import HarnessId, SessionId, UserId
from tests.workflows.conftest import Platform


async def open_session(platform: Platform) -> tuple[UserId, HarnessId, SessionId]:
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    session = await platform.make_session(project, harness, user)

    async def ready() -> bool:
        row = await platform.session_row(session)
        assert row.status is not SessionStatus.FAILED, row.failure
        return row.status is SessionStatus.READY

    await platform.until(ready, "the session to be ready")
    return user, harness, session


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


async def test_queued_prompts_run_in_their_order(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    for n in range(3):
        await platform.prompt(session, user, f"deltas=3 turn {n}")
    events = await platform.wait_for_idles(session, 3)

    idle_turns = [e.turn_no for e in events if e.type == EventType.SESSION_IDLE]
    assert idle_turns == [1, 2, 3]
    assert len(platform.posted_prompts(harness)) == 3


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
