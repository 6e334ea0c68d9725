"""Bodies of the deletion routes."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.text import PlainText, RequestBody
from cattery.deletion_states import DeletionKind, DeletionPhase


class Hitch(BaseModel):
    """A step of a deletion that keeps failing. It is tried again at `next_try_at` by itself."""

    model_config = ConfigDict(extra="ignore")

    step: str
    reason: str
    since: datetime
    attempts: int
    next_try_at: datetime


class ForcedStep(BaseModel):
    """A step that kept failing and that an administrator had skipped, with the reason."""

    model_config = ConfigDict(extra="ignore")

    step: str
    reason: str
    by: str
    at: datetime


class Deletion(BaseModel):
    """A deletion that somebody asked for.

    In the phase `grace` everything is kept until `due_at` and can be brought back; `deleting` and
    `stuck` are past the point of no return. `stuck` has the steps that keep failing. `may_undo`,
    `may_hurry`, `may_retry` and `may_force` say what the caller can do now.
    """

    deletion_id: UUID
    kind: DeletionKind
    object_id: UUID
    name: str
    project_id: UUID | None
    requested_by: str
    requested_at: datetime
    due_at: datetime
    phase: DeletionPhase
    step: str | None
    stuck: list[Hitch]
    forced: list[ForcedStep]
    heir: str | None
    committed_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    may_undo: bool
    may_hurry: bool
    may_retry: bool
    may_force: bool


class DeletionForced(RequestBody):
    """Why the steps that are stuck are to be skipped; kept in the record for ever."""

    reason: PlainText = Field(min_length=1, max_length=500)
