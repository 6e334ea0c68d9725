"""Streams that real ACP agents sent through their bridge, replayed: what a watcher sees.

`tests/record_acp.py` makes the recordings.
"""

import json
from pathlib import Path

import pytest

from bridges.acp.record import Folded
from cattery.events.model import TextPiece, TurnEnded, UnknownFrame
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.turns import session_of
from cattery.jsontypes import JsonObject
from tests.harness_types import clone_registry
from tests.unit import recorded_turns
from tests.unit.recorded_turns import RecordedTurn, fold, stream

FOLDERS = [
    Path(__file__).parent.parent / "recordings" / agent / clone_registry()[agent].version
    for agent in ("codex-acp", "hermes-acp")
]
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.jsonl"))]
NAMES = [f"{file.parent.parent.name}-{file.stem}" for file in FILES]
each = pytest.mark.parametrize("file", FILES, ids=NAMES)


def load(file: Path) -> list[RecordedTurn]:
    return recorded_turns.load(file, AcpTranslator)


@each
def test_a_recorded_stream_gives_its_transcript(file: Path) -> None:
    expected = json.loads((file.parent / "transcripts.json").read_bytes())
    shown = [fold(stream(turn.translator(), turn.frames)).show() for turn in load(file)]
    assert shown == expected[file.stem]  # one list a turn, read and found right by a person


@each
def test_a_turn_ends_exactly_once_unless_the_process_died(file: Path) -> None:
    for turn in load(file):
        events = stream(turn.translator(), turn.frames)
        ends = [event for event in events if isinstance(event, TurnEnded)]
        assert len(ends) == (0 if turn.broken else 1)


@each
def test_the_history_alone_gives_the_same_as_the_stream(file: Path) -> None:
    for turn in load(file):
        live = fold(stream(turn.translator(), turn.frames))
        translator = turn.translator()
        told = translator.reconcile(turn.history)

        assert translator.prompt_is_in(turn.history)
        assert told[-1] == TurnEnded()
        lines = fold(told).lines
        if turn.broken:
            lines.pop("The harness was stopped while it worked on this prompt.")
        assert lines == live.lines


@each
def test_wherever_a_worker_takes_over_nothing_is_lost_or_doubled(file: Path) -> None:
    for turn in load(file):
        if turn.broken:
            continue
        whole = fold(stream(turn.translator(), turn.frames))
        for cut in range(len(turn.frames) + 1):
            before = stream(turn.translator(), turn.frames[:cut])
            successor = turn.translator()
            # What is said is in the record before it is on the stream.
            looked_up = successor.reconcile(history_at(turn, cut + 2))
            after = stream(successor, turn.frames[cut:])
            taken_over = fold([*before, *looked_up, *after])
            assert taken_over.lines == whole.lines, f"cut at {cut}"


def history_at(turn: RecordedTurn, cut: int) -> list[JsonObject]:
    """Make the history that the bridge gives when so many frames were sent."""
    folded, frames = Folded(), turn.frames[:cut]
    for number, frame in enumerate(frames):
        told = frame.get("message")
        if isinstance(told, dict) and frame.get("messageID") == turn.message:
            folded.add(number, turn.message, told)
    own = {"sessionID": turn.session, "messageID": turn.message}
    history: list[tuple[float, JsonObject]] = [(-1, {"type": "turn.taken", **own})]
    for at, _, entry in folded.entries():
        history.append((at, {"type": "agent.message", **own, "message": dict(entry)}))
    history += [
        (number, frame)
        for number, frame in enumerate(frames)
        if str(frame["type"]).startswith(("question.", "turn.ended"))
        and frame.get("messageID") == turn.message
    ]
    return [frame for _, frame in sorted(history, key=lambda one: one[0])]


@each
def test_no_frame_is_unknown_and_each_names_its_session(file: Path) -> None:
    for turn in load(file):
        events = stream(turn.translator(), turn.frames)
        assert [event for event in events if isinstance(event, UnknownFrame)] == []
        assert turn.session in {session_of(frame) for frame in turn.frames}


def message(update: object) -> JsonObject:
    frame = {"type": "agent.message", "sessionID": "s", "messageID": "m", "message": update}
    read: JsonObject = json.loads(json.dumps(frame))
    return read


@pytest.mark.parametrize(
    "update",
    [
        {"part": 1, "update": {"sessionUpdate": "hologram"}},
        {
            "part": 1,
            "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "image"}},
        },
        {"other": 1},
    ],
)
def test_what_a_later_release_adds_is_told_as_unknown(update: JsonObject) -> None:
    told = AcpTranslator("s", "m").translate(message(update))  # type: ignore[arg-type]
    assert [type(event) for event in told] == [UnknownFrame]


@pytest.mark.parametrize("junk", [None, 1, "text", [], {}, [1], {"type": 3}, {"content": [3]}])
@pytest.mark.parametrize(
    "kind", ["agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update"]
)
def test_a_message_of_any_shape_breaks_nothing(kind: str, junk: object) -> None:
    fields = dict.fromkeys(("content", "toolCallId", "rawInput", "rawOutput", "entries"), junk)
    update = {"part": junk, "offset": junk, "update": {"sessionUpdate": kind, **fields}}
    told = AcpTranslator("s", "m").translate(message(update))  # type: ignore[arg-type]
    assert not [event for event in told if isinstance(event, TextPiece)]
