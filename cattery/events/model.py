"""Platform events: what a session's watchers see, whichever harness speaks (contract/api.md).

A translator turns a harness's own frames into these. They are *absolute*: a piece of text carries
its offset in its part, so that the same events may be produced twice (from the live stream, from
the history after a crash) and `cattery.events.ledger` keeps exactly what is new. The log stores
`(type, data)`; `wire()` gives that pair with the contract's field names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from cattery.jsontypes import Json, JsonObject


class EventType(StrEnum):
    """Every `type` that can stand in the log. The first nine are the contract's."""

    MESSAGE_DELTA = "message.delta"
    MESSAGE_THINKING = "message.thinking"
    TOOL_START = "tool.start"
    TOOL_DONE = "tool.done"
    QUESTION_ASKED = "question.asked"
    QUESTION_ANSWERED = "question.answered"
    SESSION_TITLE = "session.title"
    SESSION_ERROR = "session.error"
    SESSION_IDLE = "session.idle"
    # Ours; a contract client ignores them.
    PROMPT_ACCEPTED = "prompt.accepted"
    PROMPT_REMOVED = "prompt.removed"
    MESSAGE_RESET = "message.reset"
    TURN_STARTED = "turn.started"
    TURN_STATUS = "turn.status"
    TODO_UPDATED = "todo.updated"
    USAGE_UPDATED = "usage.updated"
    HARNESS_UNKNOWN = "harness.unknown"


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text of a part from `offset` (in characters) on; `thinking` tells reasoning from answer.

    `complete` marks a piece that is the part's whole and final text: what was streamed before and
    differs from it is then replaced (`message.reset`), not appended to.
    """

    part_id: str
    text: str
    offset: int
    thinking: bool = False
    complete: bool = False
    child: str | None = None
    """The harness's id of the sub-agent's session that said it; `None` for the turn's own."""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call began, or its input is now known more fully. `input_json` is JSON text."""

    tool_id: str
    tool: str
    input_json: str
    title: str | None = None
    child: str | None = None
    type: ClassVar[EventType] = EventType.TOOL_START

    def data(self) -> JsonObject:
        """Return the event's `data` as the contract spells it."""
        return _present(
            {"toolId": self.tool_id, "tool": self.tool, "input": self.input_json},
            title=self.title,
            child=self.child,
        )


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call ended; `ok` is false where it failed, and `output` then says why."""

    tool_id: str
    tool: str
    output: str
    ok: bool = True
    parsed: JsonObject | None = None
    diff: str | None = None
    """A unified diff of what the call changed, where the harness gives one."""
    child: str | None = None
    type: ClassVar[EventType] = EventType.TOOL_DONE

    def data(self) -> JsonObject:
        """Return the event's `data` as the contract spells it, `ok` and `diff` beside it."""
        return _present(
            {"toolId": self.tool_id, "tool": self.tool, "output": self.output, "ok": self.ok},
            parsed=self.parsed,
            diff=self.diff,
            child=self.child,
        )


@dataclass(frozen=True, slots=True)
class QuestionOption:
    """One choice of a question."""

    label: str
    description: str = ""
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a `question.asked`."""

    question: str
    header: str
    options: tuple[QuestionOption, ...]
    multi_select: bool = False

    def data(self) -> JsonObject:
        """Return the question as the contract spells it."""
        options: list[Json] = [
            _present({"label": o.label, "description": o.description}, preview=o.preview)
            for o in self.options
        ]
        return {
            "question": self.question,
            "header": self.header,
            "options": options,
            "multiSelect": self.multi_select,
        }


class QuestionKind(StrEnum):
    """What an answer to a question does in the harness."""

    QUESTION = "question"
    PERMISSION = "permission"


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The harness waits for a person: a question of the agent, or leave to do something."""

    question_id: str
    questions: tuple[Question, ...]
    kind: QuestionKind = QuestionKind.QUESTION
    child: str | None = None
    type: ClassVar[EventType] = EventType.QUESTION_ASKED

    def data(self) -> JsonObject:
        """Return the event's `data`; `partId` is the `questionId` of the answer."""
        return _present(
            {
                "partId": self.question_id,
                "questions": [q.data() for q in self.questions],
                "kind": self.kind.value,
            },
            child=self.child,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, in the words of its labels."""

    question: str
    selected_labels: tuple[str, ...]
    notes: str | None = None

    def data(self) -> JsonObject:
        """Return the answer as the contract spells it."""
        return _present(
            {"question": self.question, "selectedLabels": list(self.selected_labels)},
            notes=self.notes,
        )


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """A question is closed: answered, or withdrawn (every answer empty)."""

    question_id: str
    answers: tuple[Answer, ...]
    type: ClassVar[EventType] = EventType.QUESTION_ANSWERED

    def data(self) -> JsonObject:
        """Return the event's `data`, one answer a question in their order."""
        return {"partId": self.question_id, "answers": [a.data() for a in self.answers]}


@dataclass(frozen=True, slots=True)
class TitleChanged:
    """The harness found a title for the session. A placeholder is no title."""

    title: str
    type: ClassVar[EventType] = EventType.SESSION_TITLE

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {"title": self.title}


@dataclass(frozen=True, slots=True)
class ErrorRaised:
    """Something went wrong that the user should know of; it does not end the turn.

    `key` names the occurrence in the harness's history or stream, so that seeing it twice writes
    it once; without one, the message itself is the key within its turn.
    """

    message: str
    key: str | None = None
    type: ClassVar[EventType] = EventType.SESSION_ERROR

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {"message": self.message}


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """What the turn waits for, in words, such as a retry of the model. Shown, then forgotten."""

    message: str
    detail: JsonObject = field(default_factory=dict)
    type: ClassVar[EventType] = EventType.TURN_STATUS

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {"message": self.message, **self.detail}


@dataclass(frozen=True, slots=True)
class TodosUpdated:
    """The agent's plan: `[{content, status}]`, status `pending`, `in_progress`, `completed`, …."""

    todos: tuple[tuple[str, str], ...]
    type: ClassVar[EventType] = EventType.TODO_UPDATED

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {"todos": [{"content": content, "status": status} for content, status in self.todos]}


@dataclass(frozen=True, slots=True)
class UsageUpdated:
    """Tokens and cost of the harness's session so far, as the harness counts them."""

    input_tokens: int
    output_tokens: int
    cost: float | None = None
    type: ClassVar[EventType] = EventType.USAGE_UPDATED

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "cost": self.cost,
        }


@dataclass(frozen=True, slots=True)
class UnknownFrame:
    """A frame that no translator knows: kept, never dropped; `preview` is cut to 2,000 letters."""

    frame_type: str
    preview: str
    type: ClassVar[EventType] = EventType.HARNESS_UNKNOWN

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {"frameType": self.frame_type, "preview": self.preview[:2000]}


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The harness is idle for the turn's own prompt. Becomes the one `session.idle` of the turn."""

    type: ClassVar[EventType] = EventType.SESSION_IDLE

    def data(self) -> JsonObject:
        """Return the event's `data`."""
        return {}


type Translated = (
    TextPiece
    | ToolStarted
    | ToolFinished
    | QuestionAsked
    | QuestionAnswered
    | TitleChanged
    | ErrorRaised
    | StatusChanged
    | TodosUpdated
    | UsageUpdated
    | UnknownFrame
    | TurnEnded
)
"""What a translator may produce."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event ready for the log, not yet numbered.

    `dedupe_key` is unique in a session: writing a second event with it writes nothing. `whole` is
    what is stored beside the log where `data` is but its beginning; see `cattery.events.large`.
    """

    type: EventType
    data: JsonObject
    dedupe_key: str | None = None
    whole: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of a session's log. `seq` is 1, 2, 3, … in its session, without a gap."""

    seq: int
    turn_no: int
    type: str
    data: JsonObject


def _present(base: dict[str, Json], **optional: Json) -> JsonObject:
    """Add those optional fields that have a value."""
    return base | {key: value for key, value in optional.items() if value is not None}


def join_labels(labels: Sequence[str]) -> str:
    """Put selected labels into one line for a transcript."""
    return ", ".join(labels) if labels else "(no answer)"
