"""Identifiers, one type per noun, so that a project id cannot be passed for a harness id.

All are UUIDs made by us; what a harness calls its own session or message is a `str` of its own
type. `parse_id` is the one way in from text: whatever is not a UUID is simply an unknown id.
"""

from typing import NewType
from uuid import UUID, uuid4

UserId = NewType("UserId", UUID)
AuthSessionId = NewType("AuthSessionId", UUID)
ProjectId = NewType("ProjectId", UUID)
HarnessId = NewType("HarnessId", UUID)
SessionId = NewType("SessionId", UUID)
DeletionId = NewType("DeletionId", UUID)
PromptId = NewType("PromptId", UUID)
"""A prompt and the turn that it starts share one id: a turn id is a prompt id."""

HarnessSessionId = NewType("HarnessSessionId", str)
"""A session as the harness names it, such as opencode's `ses_…`."""
HarnessMessageId = NewType("HarnessMessageId", str)
"""The id under which a prompt is posted to a harness; chosen by us, in the harness's own form."""


def new_id() -> UUID:
    """Make a random UUID (version 4)."""
    return uuid4()


def parse_id(text: str) -> UUID | None:
    """Read a canonical UUID; `None` for anything else."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text.lower() else None
