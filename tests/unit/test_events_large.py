"""Large events: nothing is lost, and nothing is sent that would hold a watcher up."""

import orjson
import pytest

from cattery.events.history import fold_history
from cattery.events.large import MAX_BYTES, PIECE, PREVIEW, digest_if_large, keep_small
from cattery.events.ledger import Ledger
from cattery.events.model import (
    EventType,
    LoggedEvent,
    NewEvent,
    TextPiece,
    ToolFinished,
    ToolStarted,
    Translated,
)
from cattery.jsontypes import JsonObject

LONG = "".join(f"line {number} ü\n" for number in range(40_000))
"""Of more than half a million letters, each place told from every other."""


def done(output: str, **more: object) -> NewEvent:
    data: JsonObject = {"toolId": "t", "tool": "bash", "output": output, "ok": True, **more}  # type: ignore[dict-item]
    return NewEvent(EventType.TOOL_DONE, data, "tool:t")


def logged(events: list[NewEvent]) -> list[LoggedEvent]:
    return [LoggedEvent(n, 1, event.type, event.data) for n, event in enumerate(events, 1)]


def test_small_events_stay_as_they_are() -> None:
    events = [
        done("ok"),
        NewEvent(EventType.MESSAGE_DELTA, {"partId": "p", "text": "x" * PIECE, "offset": 0}),
        NewEvent(EventType.SESSION_ERROR, {"message": "x" * MAX_BYTES * 2}),
    ]
    assert keep_small(events) == events


@pytest.mark.parametrize("kind", [EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING])
def test_a_long_text_is_several_pieces_each_with_its_offset(kind: EventType) -> None:
    event = NewEvent(kind, {"partId": "p", "text": LONG, "offset": 7, "child": "c"})
    pieces = keep_small([event])
    assert len(pieces) > 5
    assert {piece.type for piece in pieces} == {kind}
    assert all(len(orjson.dumps(piece.data)) <= MAX_BYTES for piece in pieces)
    assert all((p.data["partId"], p.data["child"]) == ("p", "c") for p in pieces)
    at = 7
    for piece in pieces:
        assert piece.data["offset"] == at
        at += len(str(piece.data["text"]))
    assert "".join(str(piece.data["text"]) for piece in pieces) == LONG


@pytest.mark.parametrize("thinking", [False, True])
def test_a_long_text_that_replaces_another_begins_anew_and_goes_on(thinking: bool) -> None:
    before = NewEvent(EventType.MESSAGE_DELTA, {"partId": "p", "text": "old", "offset": 0})
    reset = NewEvent(EventType.MESSAGE_RESET, {"partId": "p", "text": LONG, "thinking": thinking})
    pieces = keep_small([reset])
    rest = EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA
    assert [piece.type for piece in pieces] == [
        EventType.MESSAGE_RESET,
        *[rest] * (len(pieces) - 1),
    ]
    whole, cut = (fold_history(logged([before, *each])) for each in ([reset], pieces))
    assert cut == whole


def test_of_a_large_output_the_beginning_is_kept_and_where_the_whole_is() -> None:
    event = done(LONG, diff="+a", parsed={"lines": [{"n": 1, "text": LONG}]})
    (kept,) = keep_small([event])
    assert kept.whole == event.data
    assert kept.dedupe_key == "tool:t"
    assert kept.data == {
        "toolId": "t",
        "tool": "bash",
        "output": LONG[:PREVIEW],
        "ok": True,
        "diff": "+a",
        "large": {
            "digest": digest_if_large(event.data),
            "bytes": len(orjson.dumps(event.data)),
        },
    }
    assert digest_if_large(kept.data) == digest_if_large(event.data)
    assert keep_small([NewEvent(kept.type, kept.data)])[0].data == kept.data


def test_other_letters_have_another_digest() -> None:
    assert digest_if_large(done(LONG).data) != digest_if_large(done(LONG + "x").data)
    assert digest_if_large(done("short").data) is None


def test_a_turn_that_is_taken_over_says_nothing_large_again() -> None:
    """The log has only the beginnings, and the harness's history says everything once more."""
    events: list[Translated] = [
        ToolStarted("t", "write", orjson.dumps({"content": LONG}).decode()),
        TextPiece("p", LONG, 0),
        ToolFinished("t", "write", LONG),
    ]
    first = Ledger(1)
    written = logged(keep_small([new for event in events for new in first.admit(event)]))
    assert all(len(orjson.dumps(event.data)) <= MAX_BYTES for event in written)
    again = Ledger(1)
    again.replay(written)
    assert [new for event in events for new in again.admit(event)] == []
    fuller = ToolStarted("u", "write", orjson.dumps({"content": LONG + "!"}).decode())
    assert len(again.admit(fuller)) == 1
