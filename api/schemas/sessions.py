"""Bodies of the session routes."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.events import PlatformEvent
from api.schemas.text import PlainText, RequestBody
from cattery.db.states import SessionPhase, SessionStatus

MAX_ANSWERS = 100


class Session(BaseModel):
    """A conversation with a harness."""

    model_config = ConfigDict(from_attributes=True)

    session_id: UUID
    harness_id: UUID
    status: SessionStatus
    phase: SessionPhase | None
    title: str | None
    harness_session_id: str | None
    created_at: datetime
    last_seen_at: datetime | None
    stopped_at: datetime | None
    failure: str | None = Field(description="Why the session failed, in words.")
    working: bool = Field(description="Whether a turn runs or waits.")
    last_seq: int = Field(description="The number of its newest event, 0 before the first.")


class SessionCreate(RequestBody):
    """A session to be opened."""

    theme: Literal["light", "dark"] | None = None


class SessionUpdate(RequestBody):
    """A session's new title."""

    title: PlainText = Field(max_length=500)


class QuestionAnswer(RequestBody):
    """The answer to one question."""

    question: PlainText
    selectedLabels: list[PlainText]  # noqa: N815 - the contract's spelling
    notes: PlainText | None = None


class QuestionReply(RequestBody):
    """The answers to an open question, one for each of its questions, in their order."""

    questionId: PlainText = Field(min_length=1)  # noqa: N815 - the contract's spelling
    answers: list[QuestionAnswer] = Field(min_length=1, max_length=MAX_ANSWERS)


class HistoryMessage(BaseModel):
    """One message of the history; the text of a part comes whole, in one event."""

    messageId: str  # noqa: N815 - the contract's spelling
    role: Literal["user", "assistant"]
    events: list[PlatformEvent]
