"""Folding: the pieces become parts, and what a history shows stays the same to the letter."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from cattery.events.folding import ROW, fold_pieces
from cattery.events.history import fold_history
from cattery.events.model import EventType, LoggedEvent
from cattery.jsontypes import JsonObject


def event(seq: int, kind: EventType, **data: object) -> LoggedEvent:
    return LoggedEvent(seq, 1, kind.value, data)  # type: ignore[arg-type]


def piece(seq: int, part: str, text: str, **more: object) -> LoggedEvent:
    return event(seq, EventType.MESSAGE_DELTA, partId=part, text=text, **more)


def apply(events: Sequence[LoggedEvent]) -> list[LoggedEvent]:
    folded = fold_pieces(events)
    changed = {each.seq: each for each in folded.changed}
    return [changed.get(e.seq, e) for e in events if e.seq not in folded.dropped]


def test_a_part_stands_where_it_began_with_its_whole_text() -> None:
    tool = event(4, EventType.TOOL_START, toolId="t", tool="bash", input="{}")
    end = event(7, EventType.SESSION_IDLE, outcome="completed")
    events = [
        event(1, EventType.PROMPT_ACCEPTED, turnId="t", messageId="m", text="Hi"),
        piece(2, "p", "Hel", offset=0, child="c"),
        piece(3, "p", "lo", offset=3, child="c"),
        tool,
        piece(5, "q", "one piece", offset=0),
        piece(6, "p", "!", offset=5, child="c"),
        end,
    ]
    assert apply(events) == [
        events[0],
        piece(2, "p", "Hello!", offset=0, child="c"),
        tool,
        events[4],
        end,
    ]
    assert fold_pieces(events).floor_seq == 6


def test_a_text_that_was_replaced_is_the_one_that_it_became() -> None:
    events = [
        piece(1, "p", "wrong", offset=0),
        event(2, EventType.MESSAGE_RESET, partId="p", text="ri", thinking=False),
        piece(3, "p", "ght", offset=2),
        event(4, EventType.MESSAGE_RESET, partId="r", text="hm", thinking=True),
        event(5, EventType.MESSAGE_THINKING, partId="r", text="!", offset=2),
    ]
    assert apply(events) == [
        piece(1, "p", "right", offset=0),
        event(4, EventType.MESSAGE_THINKING, partId="r", text="hm!", offset=0),
    ]


def test_a_very_long_part_keeps_several_of_its_events() -> None:
    text = "".join(f"{number} " for number in range(60_000))
    size = len(text) // 9
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [piece(n, "p", each, offset=0) for n, each in enumerate(pieces, 1)]
    kept = apply(events)
    assert 1 < len(kept) < len(events)
    assert all(len(str(each.data["text"])) <= ROW for each in kept)
    assert [each.seq for each in kept] == list(range(1, len(kept) + 1))
    assert "".join(str(each.data["text"]) for each in kept) == text


@pytest.mark.parametrize("events", [[], [piece(1, "p", "x")]])
def test_where_nothing_is_in_pieces_nothing_changes(events: list[LoggedEvent]) -> None:
    folded = fold_pieces(events)
    assert (folded.changed, folded.dropped, folded.floor_seq) == ([], [], 0)


PARTS = st.sampled_from("pqr")
TEXTS = st.text("ab ü\n", min_size=1, max_size=4)
KINDS = st.sampled_from(
    [EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING, EventType.MESSAGE_RESET]
)


@st.composite
def turns(draw: st.DrawFn) -> list[LoggedEvent]:
    """Make turns in which texts, thoughts, rewritings and tools stand in any order."""
    events = [event(1, EventType.PROMPT_ACCEPTED, turnId="t", messageId="m", text="Hi")]
    for seq in range(2, draw(st.integers(2, 20))):
        data: JsonObject = {"partId": draw(PARTS), "text": draw(TEXTS)}
        if draw(st.booleans()):
            events.append(event(seq, draw(KINDS), **data, thinking=draw(st.booleans())))
        else:
            events.append(event(seq, EventType.TOOL_START, toolId=f"t{seq}", tool="x", input="{}"))
    return events


@given(turns())
def test_a_history_is_the_same_before_and_after_and_folding_twice_is_once(
    events: list[LoggedEvent],
) -> None:
    once = apply(events)
    assert fold_history(once) == fold_history(events)
    assert apply(once) == once
    folded = fold_pieces(events)
    above = [e for e in events if e.seq > folded.floor_seq]
    assert [e for e in once if e.seq > folded.floor_seq] == above
