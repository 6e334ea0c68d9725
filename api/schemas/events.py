"""Platform events as a discriminated union, so that generated clients know each type's data.

Routes send events as the log holds them; these models describe them. The first nine types are the
contract's; the rest are ours, and a contract client ignores them.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from cattery.jsontypes import JsonObject


class _Data(BaseModel):
    """Base of the events' data: the contract spells field names in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="allow")


class TextPart(_Data):
    """Text of a part. `child` names the sub-agent that said it."""

    part_id: str
    text: str
    child: str | None = None


class ToolStartData(_Data):
    """`input` is JSON text."""

    tool_id: str
    tool: str
    input: str
    title: str | None = None
    child: str | None = None


class ReadLine(_Data):
    """A line of a file that was read."""

    n: int
    text: str


class ParsedTool(_Data):
    """What `read` (`path`, `fileType`, `lines`, `totalLines`) and `glob` (`paths`) gave."""

    path: str | None = None
    file_type: Literal["file", "directory"] | None = None
    lines: list[ReadLine] | None = None
    total_lines: int | None = None
    paths: list[str] | None = None


class ToolDoneData(_Data):
    """`ok` is false where the call failed; `diff` is a unified diff of what it changed."""

    tool_id: str
    tool: str
    output: str
    ok: bool = True
    parsed: ParsedTool | None = None
    diff: str | None = None
    child: str | None = None


class QuestionOption(_Data):
    """One choice of a question."""

    label: str
    description: str
    preview: str | None = None


class AskedQuestion(_Data):
    """One question."""

    question: str
    header: str
    options: list[QuestionOption]
    multi_select: bool = False


class QuestionAskedData(_Data):
    """`partId` is the `questionId` of the answer."""

    part_id: str
    questions: list[AskedQuestion]
    kind: Literal["question", "permission"] = "question"
    child: str | None = None


class GivenAnswer(_Data):
    """The answer to one question."""

    question: str
    selected_labels: list[str]
    notes: str | None = None


class QuestionAnsweredData(_Data):
    """One answer for each question, in their order."""

    part_id: str
    answers: list[GivenAnswer]


class TitleData(_Data):
    """The session's title."""

    title: str


class MessageData(_Data):
    """A sentence for a person."""

    message: str


class IdleData(_Data):
    """How the turn ended, and who stopped it where somebody did."""

    outcome: Literal["completed", "aborted", "failed"] | None = None
    stopped_by: str | None = None


class PromptAcceptedData(_Data):
    """`messageId` is that of the user's message in the history."""

    turn_id: str
    message_id: str
    text: str
    username: str | None = None


class PromptRemovedData(_Data):
    """The turn that will not run."""

    turn_id: str


class MessageResetData(_Data):
    """The part's whole text."""

    part_id: str
    text: str
    thinking: bool = False
    child: str | None = None


class OpenData(_Data):
    """Facts for people who look closely."""


class TurnStatusData(_Data):
    """What the turn waits for."""

    message: str


class Todo(_Data):
    """A step of the agent's plan."""

    content: str
    status: str


class TodosData(_Data):
    """The whole plan."""

    todos: list[Todo]


class UsageData(_Data):
    """As the harness counts them."""

    input_tokens: int
    output_tokens: int
    cost: float | None


class UnknownData(_Data):
    """The frame's own type and the beginning of it."""

    frame_type: str
    preview: str


class MessageDeltaEvent(BaseModel):
    """Text to append to a part of the answer; never empty."""

    type: Literal["message.delta"]
    data: TextPart


class MessageThinkingEvent(BaseModel):
    """Text to append to a part of the reasoning."""

    type: Literal["message.thinking"]
    data: TextPart


class ToolStartEvent(BaseModel):
    """A tool call began, or its input is now known more fully."""

    type: Literal["tool.start"]
    data: ToolStartData


class ToolDoneEvent(BaseModel):
    """A tool call ended."""

    type: Literal["tool.done"]
    data: ToolDoneData


class QuestionAskedEvent(BaseModel):
    """The harness waits for a person."""

    type: Literal["question.asked"]
    data: QuestionAskedData


class QuestionAnsweredEvent(BaseModel):
    """A question is closed."""

    type: Literal["question.answered"]
    data: QuestionAnsweredData


class SessionTitleEvent(BaseModel):
    """The session has a title."""

    type: Literal["session.title"]
    data: TitleData


class SessionErrorEvent(BaseModel):
    """Something went wrong; the turn goes on to its `session.idle`."""

    type: Literal["session.error"]
    data: MessageData


class SessionIdleEvent(BaseModel):
    """The turn is over: exactly one, always last."""

    type: Literal["session.idle"]
    data: IdleData


class PromptAcceptedEvent(BaseModel):
    """A prompt was accepted; its turn runs or waits."""

    type: Literal["prompt.accepted"]
    data: PromptAcceptedData


class PromptRemovedEvent(BaseModel):
    """A prompt was taken out of the queue."""

    type: Literal["prompt.removed"]
    data: PromptRemovedData


class MessageResetEvent(BaseModel):
    """A part's text is replaced by this one."""

    type: Literal["message.reset"]
    data: MessageResetData


class TurnStartedEvent(BaseModel):
    """A turn began to run."""

    type: Literal["turn.started"]
    data: OpenData


class TurnStatusEvent(BaseModel):
    """What the turn waits for, in words."""

    type: Literal["turn.status"]
    data: TurnStatusData


class TodoUpdatedEvent(BaseModel):
    """The agent's plan, whole."""

    type: Literal["todo.updated"]
    data: TodosData


class UsageUpdatedEvent(BaseModel):
    """Tokens and cost of the session so far."""

    type: Literal["usage.updated"]
    data: UsageData


class HarnessUnknownEvent(BaseModel):
    """A frame of the harness that we do not know."""

    type: Literal["harness.unknown"]
    data: UnknownData


type PlatformEvent = Annotated[
    MessageDeltaEvent
    | MessageThinkingEvent
    | ToolStartEvent
    | ToolDoneEvent
    | QuestionAskedEvent
    | QuestionAnsweredEvent
    | SessionTitleEvent
    | SessionErrorEvent
    | SessionIdleEvent
    | PromptAcceptedEvent
    | PromptRemovedEvent
    | MessageResetEvent
    | TurnStartedEvent
    | TurnStatusEvent
    | TodoUpdatedEvent
    | UsageUpdatedEvent
    | HarnessUnknownEvent,
    Field(discriminator="type"),
]


class LoggedEvent(BaseModel):
    """A platform event with its number in the session, 1, 2, 3, …, and its turn."""

    seq: int
    turn_no: int
    type: str = Field(description="As in `PlatformEvent`.")
    data: JsonObject = Field(description="As in `PlatformEvent`, by `type`.")
