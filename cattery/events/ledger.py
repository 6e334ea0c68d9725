"""Keeps what is new: turns absolute events into log events, each exactly once.

A turn may be translated twice: by the worker that died and by the one that took over, from the
live stream and from the harness's history. The ledger knows what the log already has of the turn
(it is rebuilt from the turn's rows) and admits only the missing suffix of a text, a tool's first
start or fuller input, its first end, each question once, and one end. Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from cattery.events.large import digest_if_large
from cattery.events.model import (
    ErrorRaised,
    EventType,
    LoggedEvent,
    NewEvent,
    QuestionAnswered,
    QuestionAsked,
    StatusChanged,
    TextPiece,
    TitleChanged,
    TodosUpdated,
    ToolFinished,
    ToolStarted,
    Translated,
    TurnEnded,
    UnknownFrame,
    UsageUpdated,
)
from cattery.jsontypes import Json, JsonObject

INTERRUPTED = "The tool was interrupted."
_MAX_KEY = 200


@dataclass(slots=True)
class _Part:
    """The text of a part so far, in the pieces that it came in: joined only when compared.

    `rewritten` once it was replaced by its final text: its stream is then of another text.
    """

    pieces: list[str] = field(default_factory=list)
    length: int = 0
    rewritten: bool = False

    def append(self, piece: str) -> None:
        self.pieces.append(piece)
        self.length += len(piece)

    def text(self) -> str:
        self.pieces = ["".join(self.pieces)]
        return self.pieces[0]


class Ledger:
    """What the log has of one turn. `admit` gives what is to be appended."""

    def __init__(self, turn_no: int) -> None:
        self.turn_no = turn_no
        self.ended = False
        self._parts: dict[str, _Part] = {}
        self._tool_inputs: dict[str, str] = {}
        self._tool_names: dict[str, str] = {}
        self._tools_done: set[str] = set()
        self._open_questions: dict[str, JsonObject] = {}
        self._answered: set[str] = set()
        self._errors: set[str] = set()
        self._latest: dict[EventType, JsonObject] = {}
        self._unknown: set[tuple[str, str]] = set()

    @property
    def open_questions(self) -> tuple[str, ...]:
        """The ids of the questions that wait for an answer."""
        return tuple(self._open_questions)

    @property
    def open_tools(self) -> tuple[str, ...]:
        """The ids of the tools that began and did not end."""
        return tuple(t for t in self._tool_inputs if t not in self._tools_done)

    def replay(self, events: Iterable[LoggedEvent]) -> None:
        """Take in what the log has of the turn, in its order."""
        for event in events:
            self._replay_one(event.type, event.data)

    def admit(self, event: Translated) -> list[NewEvent]:
        """Return what of an event is not in the log yet, and remember it as written."""
        if self.ended:
            return []
        match event:
            case TextPiece():
                return self._admit_text(event)
            case ToolStarted():
                return self._admit_tool_start(event)
            case ToolFinished():
                return self._admit_tool_end(event)
            case QuestionAsked() | QuestionAnswered():
                return self._admit_question(event)
            case ErrorRaised():
                return self._admit_error(event)
            case TitleChanged() | TodosUpdated() | UsageUpdated() | StatusChanged():
                return self._admit_if_changed(event)
            case UnknownFrame():
                return self._admit_unknown(event)
            case TurnEnded():
                return []  # the caller ends the turn: `end`

    def end(self, data: JsonObject) -> list[NewEvent]:
        """Close what is open and end the turn; nothing can be admitted afterwards.

        Open questions are withdrawn and tools that never ended are marked as interrupted, so that
        no watcher waits for what will not come.
        """
        if self.ended:
            return []
        closing: list[NewEvent] = []
        for tool_id in self.open_tools:
            name = self._tool_names[tool_id]
            closing += self.admit(ToolFinished(tool_id, name, INTERRUPTED, ok=False))
        for question_id in self.open_questions:
            closing.append(self._withdraw(question_id))
        self.ended = True
        idle = NewEvent(EventType.SESSION_IDLE, data, f"idle:{self.turn_no}")
        return [*closing, idle]

    def _admit_text(self, piece: TextPiece) -> list[NewEvent]:
        part_id, text = clean_text(piece.part_id), clean_text(piece.text)
        part = self._parts.setdefault(part_id, _Part())
        if piece.complete and piece.offset == 0:
            have = part.text()
            if have.startswith(text):
                return []  # harnesses trim the blanks at the end of what they streamed
            if not text.startswith(have):
                return self._reset_part(part_id, text, piece.thinking)
        elif part.rewritten or piece.offset > part.length:
            return []  # late, or after a gap: the whole part follows in a complete piece
        fresh = text[part.length - piece.offset :]
        if not fresh:
            return []
        offset = part.length
        part.append(fresh)
        kind = EventType.MESSAGE_THINKING if piece.thinking else EventType.MESSAGE_DELTA
        data: JsonObject = {"partId": part_id, "text": fresh, "offset": offset}
        if piece.child is not None:
            data["child"] = clean_text(piece.child)
        return [NewEvent(kind, data)]

    def _reset_part(self, part_id: str, text: str, thinking: bool) -> list[NewEvent]:
        self._parts[part_id] = _Part([text], len(text), rewritten=True)
        data: JsonObject = {"partId": part_id, "text": text, "thinking": thinking}
        return [NewEvent(EventType.MESSAGE_RESET, data)]

    def _admit_tool_start(self, event: ToolStarted) -> list[NewEvent]:
        data = _clean(event.data())
        tool_id, given = _str(data, "toolId"), _input_of(data)
        if tool_id in self._tools_done or self._tool_inputs.get(tool_id) == given:
            return []
        self._tool_inputs[tool_id] = given
        self._tool_names[tool_id] = _str(data, "tool")
        return [NewEvent(event.type, data)]

    def _admit_tool_end(self, event: ToolFinished) -> list[NewEvent]:
        data = _clean(event.data())
        tool_id = _str(data, "toolId")
        if tool_id in self._tools_done:
            return []
        before: list[NewEvent] = []
        if tool_id not in self._tool_inputs:
            before = self._admit_tool_start(ToolStarted(tool_id, event.tool, "{}"))
        self._tools_done.add(tool_id)
        return [*before, NewEvent(event.type, data, _dedupe_key("tool", tool_id))]

    def _admit_question(self, event: QuestionAsked | QuestionAnswered) -> list[NewEvent]:
        data = _clean(event.data())
        question_id = _str(data, "partId")
        if question_id in self._answered:
            return []
        if isinstance(event, QuestionAsked):
            if question_id in self._open_questions:
                return []
            self._open_questions[question_id] = data
            return [NewEvent(event.type, data, question_key(question_id))]
        if question_id not in self._open_questions:
            return []
        del self._open_questions[question_id]
        self._answered.add(question_id)
        return [NewEvent(event.type, data, answer_key(question_id))]

    def _admit_error(self, event: ErrorRaised) -> list[NewEvent]:
        data = _clean(event.data())
        message = _str(data, "message")
        key = clean_text(event.key or message)
        if key in self._errors or message in self._errors:
            return []
        self._errors |= {key, message}
        # The rows do not tell the next attempt the key; the log refuses the second of a key.
        kind = f"error:{self.turn_no}"
        return [NewEvent(event.type, data, _dedupe_key(kind, key) if event.key else None)]

    def _admit_if_changed(
        self, event: TitleChanged | TodosUpdated | UsageUpdated | StatusChanged
    ) -> list[NewEvent]:
        data = _clean(event.data())
        if self._latest.get(event.type) == data:
            return []
        self._latest[event.type] = data
        return [NewEvent(event.type, data)]

    def _admit_unknown(self, event: UnknownFrame) -> list[NewEvent]:
        """Keep a frame once: the history may say again what the stream has said."""
        data = _clean(event.data())
        seen = (_str(data, "frameType"), _str(data, "preview"))
        if seen in self._unknown:
            return []
        self._unknown.add(seen)
        return [NewEvent(event.type, data)]

    def _withdraw(self, question_id: str) -> NewEvent:
        asked = self._open_questions.pop(question_id)
        self._answered.add(question_id)
        questions = asked.get("questions")
        answers: list[Json] = [
            {"question": q.get("question"), "selectedLabels": []}
            for q in (questions if isinstance(questions, list) else [])
            if isinstance(q, dict)
        ]
        data: JsonObject = {"partId": question_id, "answers": answers, "withdrawn": True}
        return NewEvent(EventType.QUESTION_ANSWERED, data, answer_key(question_id))

    def _replay_one(self, kind: str, data: JsonObject) -> None:
        match kind:
            case EventType.TOOL_START:
                self._tool_inputs[_str(data, "toolId")] = _input_of(data)
                self._tool_names[_str(data, "toolId")] = _str(data, "tool")
            case EventType.TOOL_DONE:
                self._tools_done.add(_str(data, "toolId"))
            case EventType.QUESTION_ASKED:
                self._open_questions[_str(data, "partId")] = data
            case EventType.QUESTION_ANSWERED:
                self._open_questions.pop(_str(data, "partId"), None)
                self._answered.add(_str(data, "partId"))
            case EventType.HARNESS_UNKNOWN:
                self._unknown.add((_str(data, "frameType"), _str(data, "preview")))
            case EventType.SESSION_ERROR:
                self._errors.add(_str(data, "message"))
            case EventType.SESSION_IDLE:
                self.ended = True
            case (
                EventType.SESSION_TITLE
                | EventType.TODO_UPDATED
                | EventType.USAGE_UPDATED
                | EventType.TURN_STATUS
            ):
                self._latest[EventType(kind)] = data
            case _:
                self._replay_text(kind, data)

    def _replay_text(self, kind: str, data: JsonObject) -> None:
        part_id, text = _str(data, "partId"), _str(data, "text")
        if kind in (EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING):
            self._parts.setdefault(part_id, _Part()).append(text)
        elif kind == EventType.MESSAGE_RESET:
            self._parts[part_id] = _Part([text], len(text), rewritten=True)


def question_key(question_id: str) -> str:
    """Return the dedupe key of a question."""
    return _dedupe_key("question", question_id)


def answer_key(question_id: str) -> str:
    """Return the dedupe key of a question's answer."""
    return _dedupe_key("answer", question_id)


def _dedupe_key(kind: str, name: str) -> str:
    """Name an occurrence within what an index can hold, however long the harness's own id is."""
    if len(name) > _MAX_KEY:
        name = sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{kind}:{name}"


def clean_text(text: str) -> str:
    """Replace what PostgreSQL's jsonb cannot hold: NUL and lone surrogates. Keeps the length."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return "".join("\ufffd" if c == "\x00" or "\ud800" <= c <= "\udfff" else c for c in text)


def _clean(value: JsonObject) -> JsonObject:
    return {clean_text(key): _clean_value(item) for key, item in value.items()}


def _clean_value(value: Json) -> Json:
    match value:
        case str():
            return clean_text(value)
        case dict():
            return _clean(value)
        case list():
            return [_clean_value(item) for item in value]
        case _:
            return value


def _input_of(data: JsonObject) -> str:
    """Tell a tool's input from another, also where the log has only the beginning of it."""
    return digest_if_large(data) or _str(data, "input")


def _str(data: JsonObject, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
