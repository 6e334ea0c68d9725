"""Bodies of the prompt routes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.schemas.text import PlainText, RequestBody
from cattery.db.states import PromptStatus
from cattery.errors import TooLargeError

MAX_TEXT_LENGTH = 200_000


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("a prompt must not be blank.")
    if len(text) > MAX_TEXT_LENGTH:
        raise TooLargeError(
            f"A prompt has at most {MAX_TEXT_LENGTH:,} characters. Upload a file instead."
        )
    return text


class PromptCreate(RequestBody):
    """What to tell the agent; not blank, at most 200,000 characters."""

    text: Annotated[PlainText, AfterValidator(_check_text)]


class AcceptedPrompt(BaseModel):
    """A prompt that will run, or already does."""

    turn_id: UUID
    turn_no: int
    after: int = Field(description="Follow the session's events after this number.")


class Prompt(BaseModel):
    """A prompt that runs or waits."""

    model_config = ConfigDict(from_attributes=True)

    turn_id: UUID
    turn_no: int
    text: str
    status: PromptStatus
    username: str | None
    created_at: datetime
