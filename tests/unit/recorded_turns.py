"""Recorded turns of a harness, and what a watcher sees of them in the end.

`tests/record_opencode.py` and `tests/record_claude_code.py` make the recordings.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cattery.events.ledger import Ledger
from cattery.events.model import EventType, NewEvent, Translated
from cattery.harnesses.port import Translator
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject


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

    make_translator: Callable[[HarnessSessionId, HarnessMessageId], Translator]

    def translator(self) -> Translator:
        return self.make_translator(self.session, self.message)


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


def load(
    recording: Path, translator: Callable[[HarnessSessionId, HarnessMessageId], Translator]
) -> list[RecordedTurn]:
    head, *lines = map(json.loads, recording.read_bytes().splitlines())
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
            RecordedTurn(
                turn["session"], turn["message"], turn["text"], frames, history, broken, translator
            )
        )
    return turns


def fold(events: Iterable[Translated]) -> Transcript:
    ledger = Ledger(1)
    transcript = Transcript()
    for event in events:
        for new in ledger.admit(event):
            transcript.add(new)
    return transcript


def stream(translator: Translator, frames: Sequence[JsonObject]) -> list[Translated]:
    return [event for frame in frames for event in translator.translate(frame)]


def _objects(value: Json) -> list[JsonObject]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]
