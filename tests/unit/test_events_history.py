"""History: the log folded into whole messages, under the ids and in the order of the stream."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from cattery.events.history import HistoryMessage, fold_history
from cattery.events.model import EventType, LoggedEvent
from cattery.jsontypes import JsonObject

type Told = tuple[int, EventType, JsonObject]


def accepted(turn_no: int, text: str = "Hi") -> Told:
    turn = f"turn{turn_no}"
    data: JsonObject = {"turnId": turn, "messageId": f"usr_{turn}", "text": text, "username": "ada"}
    return turn_no, EventType.PROMPT_ACCEPTED, data


def said(turn_no: int, part_id: str, text: str, *, thinking: bool = False) -> Told:
    kind = EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA
    return turn_no, kind, {"partId": part_id, "text": text, "offset": 0}


def fold(*told: Told) -> list[HistoryMessage]:
    return fold_history(
        LoggedEvent(seq, turn_no, str(kind), data)
        for seq, (turn_no, kind, data) in enumerate(told, 1)
    )


def of_user(turn_no: int, text: str = "Hi") -> HistoryMessage:
    message_id = f"usr_turn{turn_no}"
    return HistoryMessage(
        message_id, "user", [event("message.delta", partId=message_id, text=text)]
    )


def of_assistant(turn_no: int, *events: JsonObject) -> HistoryMessage:
    return HistoryMessage(f"ast_turn{turn_no}", "assistant", list(events))


def event(kind: str, **data: object) -> JsonObject:
    return {"type": kind, "data": data}  # type: ignore[dict-item]


TOOL: JsonObject = {"toolId": "t", "tool": "bash", "input": "{}"}
DONE: JsonObject = {"toolId": "t", "tool": "bash", "output": "x", "ok": True}
ASKED: JsonObject = {"partId": "q", "questions": [], "kind": "question"}
ANSWERED: JsonObject = {"partId": "q", "answers": []}


def test_no_events_are_no_messages() -> None:
    assert fold() == []


def test_a_prompt_that_waits_is_a_message_of_its_user() -> None:
    assert fold(accepted(1, "Draw a cat.")) == [of_user(1, "Draw a cat.")]


def test_each_part_stands_whole_where_it_first_appeared() -> None:
    assert fold(
        accepted(1),
        (1, EventType.TURN_STARTED, {"turnId": "turn1"}),
        said(1, "a", "Hm", thinking=True),
        said(1, "b", "Hel"),
        said(1, "a", ".", thinking=True),
        (1, EventType.TOOL_START, TOOL),
        said(1, "b", "lo"),
        (1, EventType.TOOL_START, {**TOOL, "input": '{"command":"ls"}'}),
        (1, EventType.QUESTION_ASKED, ASKED),
        (1, EventType.TOOL_DONE, DONE),
        (1, EventType.QUESTION_ANSWERED, ANSWERED),
        (1, EventType.SESSION_ERROR, {"message": "It rains."}),
        (1, EventType.SESSION_TITLE, {"title": "Cats"}),
        (1, EventType.TURN_STATUS, {"message": "Waiting."}),
        (1, EventType.TODO_UPDATED, {"todos": []}),
        (1, EventType.USAGE_UPDATED, {"inputTokens": 1}),
        (1, EventType.HARNESS_UNKNOWN, {"frameType": "x", "preview": "{}"}),
        (1, EventType.SESSION_IDLE, {"outcome": "completed"}),
    ) == [
        of_user(1),
        of_assistant(
            1,
            event("message.thinking", partId="a", text="Hm."),
            event("message.delta", partId="b", text="Hello"),
            {"type": "tool.start", "data": {**TOOL, "input": '{"command":"ls"}'}},
            {"type": "question.asked", "data": ASKED},
            {"type": "tool.done", "data": DONE},
            {"type": "question.answered", "data": ANSWERED},
            event("session.error", message="It rains."),
            event("harness.unknown", frameType="x", preview="{}"),
        ),
    ]


def test_a_turn_in_which_nothing_was_said_has_no_message_of_the_assistant() -> None:
    idle: Told = (1, EventType.SESSION_IDLE, {"outcome": "aborted"})
    assert fold(accepted(1), (1, EventType.TURN_STARTED, {"turnId": "turn1"}), idle) == [of_user(1)]


def test_a_prompt_stands_where_its_turn_ran_not_where_it_was_queued() -> None:
    assert fold(
        accepted(1), accepted(2), accepted(3), said(1, "a", "One."), said(2, "b", "Two.")
    ) == [
        of_user(1),
        of_assistant(1, event("message.delta", partId="a", text="One.")),
        of_user(2),
        of_assistant(2, event("message.delta", partId="b", text="Two.")),
        of_user(3),
    ]


def test_a_prompt_that_was_removed_from_the_queue_leaves_no_trace() -> None:
    removed: Told = (2, EventType.PROMPT_REMOVED, {"turnId": "turn2"})
    assert fold(accepted(1), accepted(2), removed, accepted(3)) == [of_user(1), of_user(3)]


@pytest.mark.parametrize("thinking", [True, False])
def test_a_part_that_was_rewritten_shows_its_final_text_where_it_was(thinking: bool) -> None:
    reset: JsonObject = {"partId": "a", "text": "Fin", "thinking": thinking}
    kind = "message.thinking" if thinking else "message.delta"
    assert fold(
        accepted(1),
        said(1, "a", "Draft", thinking=thinking),
        said(1, "b", "After."),
        (1, EventType.MESSAGE_RESET, reset),
        said(1, "a", "al.", thinking=thinking),
    )[1].events == [
        event(kind, partId="a", text="Final."),
        event("message.delta", partId="b", text="After."),
    ]
    alone = fold(accepted(1), (1, EventType.MESSAGE_RESET, reset))
    assert alone[1].events == [event(kind, partId="a", text="Fin")]


def test_a_title_that_comes_after_its_turn_adds_no_message() -> None:
    late: Told = (0, EventType.SESSION_TITLE, {"title": "Cats"})
    assert fold(accepted(1), late) == [of_user(1)]


def show(events: Sequence[JsonObject]) -> dict[str, str]:
    """Play events as a contract client does: append deltas, keep the latest of a tool."""
    shown: dict[str, str] = {}
    for each in events:
        data = each["data"]
        assert isinstance(data, dict)
        match each["type"]:
            case "message.delta" | "message.thinking":
                part_id = str(data["partId"])
                shown[part_id] = shown.get(part_id, "") + str(data["text"])
            case "tool.start":
                shown[f"{data['toolId']} in"] = str(data["input"])
            case "tool.done":
                shown[f"{data['toolId']} out"] = str(data["output"])
    return shown


@given(
    st.lists(
        st.one_of(
            st.builds(
                said, st.just(1), st.sampled_from("ab"), st.text("xy \n", min_size=1, max_size=3)
            ),
            st.builds(
                lambda tool, given: (
                    1,
                    EventType.TOOL_START,
                    {**TOOL, "toolId": tool, "input": given},
                ),
                st.sampled_from("st"),
                st.sampled_from(["{}", '{"a":1}']),
            ),
            st.builds(
                lambda tool: (1, EventType.TOOL_DONE, {**DONE, "toolId": tool}),
                st.sampled_from("st"),
            ),
        ),
        max_size=20,
    )
)
def test_history_shows_what_the_stream_showed_in_the_same_order(told: list[Told]) -> None:
    streamed: list[JsonObject] = [{"type": str(kind), "data": data} for _, kind, data in told]
    folded = [each for message in fold(accepted(1), *told)[1:] for each in message.events]
    assert show(folded) == show(streamed)
    assert list(show(folded)) == list(show(streamed))
