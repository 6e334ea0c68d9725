"""Streams that the real opencode sent, replayed: what a watcher sees of them in the end.

`tests/record_opencode.py` makes the recordings.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from cattery.events.ledger import Ledger
from cattery.events.model import TurnEnded, UnknownFrame
from cattery.harnesses.opencode.translator import OpencodeTranslator, is_piece, session_of
from cattery.ids import HarnessSessionId
from cattery.jsontypes import JsonObject
from tests.harness_types import clone_registry
from tests.unit import recorded_turns
from tests.unit.recorded_turns import RecordedTurn, fold, stream

VERSION = clone_registry()["opencode"].version
RECORDINGS = Path(__file__).parent.parent / "recordings" / "opencode" / VERSION
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))
EXPECTED = json.loads((RECORDINGS / "transcripts.json").read_bytes())


def load(name: str) -> list[RecordedTurn]:
    return recorded_turns.load(RECORDINGS / f"{name}.jsonl", OpencodeTranslator)


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
        if turn.broken or name == "fail_500":
            continue  # what a killed process said, and its retries, are in no history
        live = fold(stream(turn.translator(), turn.frames))
        translator = turn.translator()
        events = translator.reconcile(turn.history)
        told = fold(events)

        assert translator.prompt_is_in(turn.history)
        assert [e for e in events if isinstance(e, TurnEnded)] == [TurnEnded()]
        assert told.show() == [
            line
            for line in live.show()
            if not line.startswith(("child ", "permission: "))  # of other sessions, of none
        ]


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
            assert taken_over.show()[-2:] == whole.show()[-2:]


@pytest.mark.parametrize("name", NAMES)
def test_no_frame_is_unknown_and_each_names_its_session(name: str) -> None:
    for turn in load(name):
        events = stream(turn.translator(), turn.frames)

        assert [event for event in events if isinstance(event, UnknownFrame)] == []
        assert turn.session in {session_of(frame) for frame in turn.frames}


@pytest.mark.parametrize("name", NAMES)
def test_pieces_of_sessions_that_a_turn_does_not_follow_say_nothing_to_it(name: str) -> None:
    left_out = 0
    for turn in load(name):
        foreign = [_of_another_session(frame) for frame in turn.frames if is_piece(frame)]
        translator, events = turn.translator(), []
        for frame in [*foreign, *turn.frames]:
            session = session_of(frame)
            is_own = session in (None, turn.session)
            if is_own or not is_piece(frame) or translator.follows(HarnessSessionId(str(session))):
                events += translator.translate(frame)
            else:
                left_out += 1

        assert events == stream(turn.translator(), turn.frames)
        assert left_out >= len(foreign)


def test_the_pieces_of_a_sub_agent_are_followed() -> None:
    followed = 0
    for turn in load("delegate"):
        translator = turn.translator()
        for frame in turn.frames:
            session = session_of(frame)
            if is_piece(frame) and session not in (None, turn.session):
                followed += translator.follows(HarnessSessionId(str(session)))
            translator.translate(frame)
    assert followed > 0, "the recording has none of a sub-agent's words"


def _of_another_session(frame: JsonObject) -> JsonObject:
    """Return the frame as another conversation of the same harness would send it."""
    found: JsonObject = json.loads(re.sub(r"ses_\w+", "ses_another", json.dumps(frame)))
    return found


def test_an_idle_of_the_turn_before_never_ends_this_one() -> None:
    turn = next(turn for turn in load("think"))
    late: JsonObject = {"type": "session.idle", "properties": {"sessionID": turn.session}}
    undisturbed = stream(turn.translator(), turn.frames)
    done = next(n for n, frame in enumerate(turn.frames) if '"completed"' in json.dumps(frame))

    for place in range(done):
        disturbed = [*turn.frames[:place], late, *turn.frames[place:]]

        assert stream(turn.translator(), disturbed) == undisturbed


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


def history_at(turn: RecordedTurn, heard: Sequence[JsonObject]) -> list[JsonObject]:
    """Take the final history back to when the frames so far were heard; texts stay the final ones.

    The ends of later messages are taken out, and what waited for a person then is added.
    """
    settled: set[str] = set()
    waiting: JsonObject = {}
    for frame in heard:
        properties = frame["properties"]
        assert isinstance(properties, dict)
        info = properties.get("info")
        if isinstance(info, dict) and "completed" in json.dumps(info.get("time")):
            settled.add(str(info["id"]))
        if frame["type"] == "permission.asked":
            waiting[str(properties["id"])] = properties
        elif frame["type"] == "permission.replied":
            waiting.pop(str(properties["requestID"]), None)
    messages: list[JsonObject] = json.loads(json.dumps(turn.history))
    for message in messages:
        info = message["info"]
        assert isinstance(info, dict)
        if info["role"] == "assistant" and info["id"] not in settled:
            info["time"] = {"created": 1}
    return [
        *messages,
        {"info": {"role": "cattery.state"}, "permissions": list(waiting.values())},
    ]
