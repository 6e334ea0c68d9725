"""Questions of an agent: answered, answered twice, left open."""

import asyncio

import pytest

from cattery.db.tables import AnswerRow
from cattery.errors import NotFoundError
from cattery.events.model import Answer, EventType
from tests.workflows.parts import Platform, count_rows, of_type, open_session, said, text_of

BLUE = [Answer("Which colour should I use?", ("Blue",))]


async def test_an_answered_question_goes_back_to_the_agent_and_the_turn_goes_on(
    platform: Platform,
) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "ask deltas=3 size=1")
    (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    question = str(asked.data["partId"])
    await platform.lifecycles.answer_question(session, question, BLUE)
    events = await platform.wait_for_idles(session, 1)

    (answered,) = of_type(events, EventType.QUESTION_ANSWERED)
    assert answered.data["partId"] == question
    assert answered.data["answers"] == [
        {"question": "Which colour should I use?", "selectedLabels": ["Blue"]}
    ]
    assert text_of(events) == said(3)
    assert events[-1].data == {"outcome": "completed"}

    with pytest.raises(NotFoundError):
        await platform.lifecycles.answer_question(session, question, BLUE)
    assert await count_rows(platform, AnswerRow) == 0


async def test_of_two_answers_at_once_one_counts(platform: Platform) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "ask deltas=3")
    (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    question = str(asked.data["partId"])
    results = await asyncio.gather(
        *(platform.lifecycles.answer_question(session, question, BLUE) for _ in range(2)),
        return_exceptions=True,
    )
    events = await platform.wait_for_idles(session, 1)

    assert [r for r in results if r is not None and not isinstance(r, NotFoundError)] == []
    assert None in results
    assert len(of_type(events, EventType.QUESTION_ANSWERED)) == 1
    assert await count_rows(platform, AnswerRow) == 0


async def test_an_answer_to_an_unknown_question_is_refused_and_kept_nowhere(
    platform: Platform,
) -> None:
    user, _, session = await open_session(platform)
    with pytest.raises(NotFoundError):
        await platform.lifecycles.answer_question(session, "que_nothing", BLUE)
    await platform.prompt(session, user, "ask deltas=3")
    await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    with pytest.raises(NotFoundError):
        await platform.lifecycles.answer_question(session, "que_nothing", BLUE)
    assert await count_rows(platform, AnswerRow) == 0


async def test_a_question_that_is_open_when_its_turn_is_stopped_is_withdrawn(
    platform: Platform,
) -> None:
    user, _, session = await open_session(platform)
    await platform.prompt(session, user, "ask deltas=3")
    (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
    await platform.lifecycles.abort_turn(session, "ada")
    events = await platform.wait_for_idles(session, 1)

    (answered,) = of_type(events, EventType.QUESTION_ANSWERED)
    assert answered.data["partId"] == asked.data["partId"]
    assert answered.data["answers"] == [
        {"question": "Which colour should I use?", "selectedLabels": []}
    ]
    assert events[-1].data == {"outcome": "aborted", "stoppedBy": "ada"}
    with pytest.raises(NotFoundError):
        await platform.lifecycles.answer_question(session, str(asked.data["partId"]), BLUE)
