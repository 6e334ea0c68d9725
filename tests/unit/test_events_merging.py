"""Pieces that wait together become fewer rows: the same text, the same order, part by part."""

from hypothesis import given, settings, strategies as st

from cattery.events.appender import _MAX_MERGED, merge_deltas
from cattery.events.model import EventType, NewEvent
from cattery.jsontypes import JsonObject


def piece(part_id: str, text: str, *, thinking: bool = False, offset: int = 0) -> NewEvent:
    kind = EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA
    return NewEvent(kind, {"partId": part_id, "text": text, "offset": offset})


TOOL = NewEvent(EventType.TOOL_START, {"toolId": "t", "tool": "bash", "input": "{}"})
RESET = NewEvent(EventType.MESSAGE_RESET, {"partId": "a", "text": "z", "thinking": False})


def test_neighbouring_pieces_of_a_part_become_one_from_the_first_offset_on() -> None:
    child: JsonObject = {"partId": "a", "text": "He", "offset": 4, "child": "ses_2"}
    rest: JsonObject = {"partId": "a", "text": "llo", "offset": 6, "child": "ses_2"}
    assert merge_deltas(
        [NewEvent(EventType.MESSAGE_DELTA, child), NewEvent(EventType.MESSAGE_DELTA, rest)]
    ) == [NewEvent(EventType.MESSAGE_DELTA, {**child, "text": "Hello"})]


def test_nothing_is_merged_across_another_part_another_kind_or_another_event() -> None:
    events = [
        piece("a", "1"),
        piece("b", "2"),
        piece("a", "3"),
        piece("a", "4", thinking=True),
        TOOL,
        piece("a", "5", thinking=True),
        RESET,
        piece("a", "6"),
    ]
    assert merge_deltas(events) == events
    assert merge_deltas([TOOL, TOOL]) == [TOOL, TOOL]
    assert merge_deltas([RESET, RESET]) == [RESET, RESET]


def test_merging_leaves_the_events_that_it_was_given_alone() -> None:
    events = [piece("a", "1"), piece("a", "2")]
    merge_deltas(events)
    assert [event.data["text"] for event in events] == ["1", "2"]


def test_a_merged_piece_stays_within_bounds() -> None:
    merged = merge_deltas([piece("a", "x" * 1000)] * 100)
    sizes = [len(str(event.data["text"])) for event in merged]
    assert sum(sizes) == 100_000
    assert max(sizes) < _MAX_MERGED + 1000
    assert len(merged) < 8


@given(
    st.lists(
        st.one_of(
            st.builds(
                piece,
                st.sampled_from("ab"),
                st.text("xy", min_size=1, max_size=3),
                thinking=st.booleans(),
            ),
            st.just(TOOL),
            st.just(RESET),
        )
    )
)
@settings(deadline=None)
def test_text_and_order_stay_whatever_is_merged(events: list[NewEvent]) -> None:
    def letters(given: list[NewEvent]) -> list[tuple[str, object, str]]:
        return [
            (event.type.value, event.data.get("partId"), letter)
            for event in given
            for letter in str(event.data.get("text", "-"))
        ]

    merged = merge_deltas(events)
    assert letters(merged) == letters(events)
    assert merge_deltas(merged) == merged
