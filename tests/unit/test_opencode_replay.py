"""Streams that the real opencode sent, replayed: what a watcher sees of them in the end.

`tests/record_opencode.py` makes the recordings.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cattery.events.ledger import Ledger
from cattery.events.model import EventType, NewEvent, Translated, TurnEnded, UnknownFrame
from cattery.harnesses.opencode.translator import OpencodeTranslator, session_of
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject
from tests.harness_types import clone_registry

VERSION = clone_registry()["opencode"].version
RECORDINGS = Path(__file__).parent.parent / "recordings" / "opencode" / VERSION
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))
EXPECTED = json.loads((RECORDINGS / "transcripts.json").read_bytes())


@dataclass(frozen=True)
class RecordedTurn:
    """One prompt, the frames from its posting to the next one's, and its session's history."""

    session: HarnessSessionId
    message: HarnessMessageId
    text: str
    frames: Sequence[JsonObject]
    history: Sequence[JsonObject]
    broken: bool
    """The process was killed in the middle."""

    def translator(self) -> OpencodeTranslator:
        return OpencodeTranslator(self.session, self.message)


@dataclass
class Transcript:
    """Log events put together again, as a watcher would."""

    lines: dict[str, str] = field(default_factory=dict)
    title: str | None = None
    usage: tuple[Json, Json] | None = None
    todos: tuple[str, ...] = ()

    def show(self) -> list[str]:
        shown = [line for line in self.lines.values() if line]
        if self.todos:
            shown.append(f"todo: {', '.join(self.todos)}")
        if self.title:
            shown.append(f"title: {self.title}")
        if self.usage:
            shown.append(f"tokens: {self.usage[0]} in, {self.usage[1]} out")
        return shown

    def add(self, event: NewEvent) -> None:
        data = event.data
        who = "child " if "child" in data else ""
        match event.type:
            case EventType.MESSAGE_DELTA | EventType.MESSAGE_THINKING:
                kind = "text" if event.type is EventType.MESSAGE_DELTA else "thinking"
                self.lines.setdefault(str(data["partId"]), f"{who}{kind}: ")
                self.lines[str(data["partId"])] += str(data["text"])
            case EventType.MESSAGE_RESET:
                kind = "thinking" if data["thinking"] else "text"
                self.lines[str(data["partId"])] = f"{who}{kind}: {data['text']}"
            case EventType.TOOL_START:
                self.lines[str(data["toolId"])] = f"{who}{data['tool']} {data['input']}"
            case EventType.TOOL_DONE:
                self._finish_tool(data)
            case EventType.QUESTION_ASKED | EventType.QUESTION_ANSWERED:
                self._add_question(data)
            case EventType.SESSION_TITLE:
                self.title = str(data["title"])
            case EventType.SESSION_ERROR:
                self.lines[str(data["message"])] = f"error: {data['message']}"
            case EventType.USAGE_UPDATED:
                self.usage = (data["inputTokens"], data["outputTokens"])
            case EventType.TODO_UPDATED:
                todos = _objects(data["todos"])
                self.todos = tuple(f"{todo['content']}={todo['status']}" for todo in todos)
            case EventType.TURN_STATUS:
                pass
            case _:
                raise AssertionError(event)

    def _finish_tool(self, data: JsonObject) -> None:
        line = f" -> {'' if data['ok'] else 'FAILED '}{data['output']}"
        if "parsed" in data:
            line += f" parsed {json.dumps(data['parsed'])}"
        if "diff" in data:
            line += f" diff {data['diff']}"
        self.lines[str(data["toolId"])] += line

    def _add_question(self, data: JsonObject) -> None:
        key = str(data["partId"])
        if "questions" in data:
            self.lines[key] = f"{data['kind']}: {json.dumps(data['questions'])}"
        else:
            labels = [answer["selectedLabels"] for answer in _objects(data["answers"])]
            self.lines[key] += f" -> {json.dumps(labels)}"


def load(name: str) -> list[RecordedTurn]:
    head, *lines = map(json.loads, (RECORDINGS / f"{name}.jsonl").read_bytes().splitlines())
    histories = {line["session"]: line["history"] for line in lines if "history" in line}
    killed = {line["session"]: line["history"] for line in lines if line.get("mark") == "killed"}
    starts = {line["posted"]: n for n, line in enumerate(lines) if "posted" in line}
    turns = []
    for number, turn in enumerate(head["turns"]):
        later = [
            t["message"] for t in head["turns"][number + 1 :] if t["session"] == turn["session"]
        ]
        end = starts[later[0]] if later else len(lines)
        broken = bool(later) and turn["session"] in killed
        frames = [line["frame"] for line in lines[starts[turn["message"]] : end] if "frame" in line]
        history = killed[turn["session"]] if broken else histories[turn["session"]]
        turns.append(
            RecordedTurn(turn["session"], turn["message"], turn["text"], frames, history, broken)
        )
    return turns


def fold(events: Iterable[Translated]) -> Transcript:
    ledger = Ledger(1)
    transcript = Transcript()
    for event in events:
        for new in ledger.admit(event):
            transcript.add(new)
    return transcript


def stream(translator: OpencodeTranslator, frames: Sequence[JsonObject]) -> list[Translated]:
    return [event for frame in frames for event in translator.translate(frame)]


def _objects(value: Json) -> list[JsonObject]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


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
