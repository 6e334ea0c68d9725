"""Streams that the real Claude Code sent through its bridge, replayed: what a watcher sees.

`tests/record_claude_code.py` makes the recordings.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cattery.events.ledger import Ledger
from cattery.events.model import ErrorRaised, TurnEnded, UnknownFrame
from cattery.harnesses.bridged.turns import session_of
from cattery.harnesses.claude_code.translator import ClaudeCodeTranslator
from cattery.jsontypes import JsonObject
from tests.harness_types import clone_registry
from tests.unit import recorded_turns
from tests.unit.recorded_turns import RecordedTurn, fold, stream

VERSION = clone_registry()["claude-code"].version
RECORDINGS = Path(__file__).parent.parent / "recordings" / "claude-code" / VERSION
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))
EXPECTED = json.loads((RECORDINGS / "transcripts.json").read_bytes())
LOST = "error: The harness was stopped while it worked on this prompt."


def load(name: str) -> list[RecordedTurn]:
    return recorded_turns.load(RECORDINGS / f"{name}.jsonl", ClaudeCodeTranslator)


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_gives_its_transcript(name: str) -> None:
    transcripts = [fold(stream(turn.translator(), turn.frames)).show() for turn in load(name)]

    assert transcripts == EXPECTED[name]  # one list a turn, read and found right by a person


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_ends_exactly_once_unless_the_process_died(name: str) -> None:
    for turn in load(name):
        ends = [
            event
            for event in stream(turn.translator(), turn.frames)
            if isinstance(event, TurnEnded)
        ]

        assert len(ends) == (0 if turn.broken else 1)


@pytest.mark.parametrize("name", NAMES)
def test_the_history_alone_gives_the_same_as_the_stream(name: str) -> None:
    for turn in load(name):
        live = fold(stream(turn.translator(), turn.frames)).show()
        translator = turn.translator()
        events = translator.reconcile(turn.history)
        told = fold(events).show()

        assert translator.prompt_is_in(turn.history)
        assert events[-1:] == [TurnEnded()]
        if turn.broken:
            assert LOST in told
        else:
            assert _without_title(told) == _without_title(live)


@pytest.mark.parametrize("name", NAMES)
def test_wherever_a_worker_takes_over_nothing_is_lost_or_doubled(name: str) -> None:
    for turn in load(name):
        if turn.broken:
            continue
        whole = fold(stream(turn.translator(), turn.frames))
        for cut in range(len(turn.frames) + 1):
            before = stream(turn.translator(), turn.frames[:cut])
            successor = turn.translator()
            looked_up = successor.reconcile(history_at(turn, turn.frames[:cut]))
            after = stream(successor, turn.frames[cut:])

            taken_over = fold([*before, *looked_up, *after])

            assert taken_over.lines == whole.lines, f"cut at {cut}"


@pytest.mark.parametrize("name", NAMES)
def test_no_frame_is_unknown_and_each_names_its_session(name: str) -> None:
    for turn in load(name):
        events = stream(turn.translator(), turn.frames)

        assert [event for event in events if isinstance(event, UnknownFrame)] == []
        assert turn.session in {session_of(frame) for frame in turn.frames}


def test_ids_of_parts_tools_and_questions_are_unique_in_a_session() -> None:
    for name in NAMES:
        used: dict[str, str] = {}
        for turn in load(name):
            ledger = Ledger(1)
            for event in stream(turn.translator(), turn.frames):
                for new in ledger.admit(event):
                    key = new.data.get("partId") or new.data.get("toolId")
                    kind = new.type.value.split(".")[-1 if "message" in new.type else 0]
                    if isinstance(key, str):
                        assert used.setdefault(key, kind) == kind


def test_what_a_later_release_adds_is_told_as_unknown() -> None:
    turn = load("hello")[0]
    added: JsonObject = {"type": "hologram", "data": 1}
    messages: list[JsonObject] = [
        added,
        {"type": "system", "subtype": "hologram"},
        {"type": "stream_event", "api_message_id": "m", "event": added},
        {"type": "assistant", "message": {"id": "m", "content": [added]}},
    ]
    for message in messages:
        frame: JsonObject = {
            "type": "agent.message",
            "sessionID": turn.session,
            "messageID": turn.message,
            "message": message,
        }

        told = turn.translator().translate(frame)

        assert [type(event) for event in told] == [UnknownFrame], message


@pytest.mark.parametrize("junk", [None, 1, "text", [], {}, [1], {"content": 3}, {"content": [3]}])
def test_a_message_of_any_shape_breaks_nothing(junk: object) -> None:
    turn = load("hello")[0]
    for kind in ("assistant", "user", "stream_event", "system", "result"):
        frame = json.loads(
            json.dumps(
                {
                    "type": "agent.message",
                    "sessionID": turn.session,
                    "messageID": turn.message,
                    "message": {"type": kind, "message": junk, "event": junk, "modelUsage": junk},
                }
            )
        )
        translated = turn.translator().translate(frame)
        assert not [event for event in translated if isinstance(event, ErrorRaised)]


def history_at(turn: RecordedTurn, heard: Sequence[JsonObject]) -> list[JsonObject]:
    """Take the final history back to when the frames so far were heard.

    A message is in the transcript about when it is on the stream: by its own id. Frames of the
    bridge itself are in the history exactly when they are on the stream.
    """
    seen = {_mark(frame) for frame in heard}
    return [
        frame
        for frame in turn.history
        if frame["type"] in ("turn.taken", "session.updated") or _mark(frame) in seen
    ]


def _without_title(shown: list[str]) -> list[str]:
    """Leave out the title, which may come after the turn, and the order of parts."""
    return sorted(line for line in shown if not line.startswith("title: "))


def _mark(frame: JsonObject) -> str:
    message = frame.get("message")
    if isinstance(message, dict):
        return str(message.get("uuid"))
    return f"{frame.get('type')} {frame.get('messageID')} {frame.get('questionId')}"
