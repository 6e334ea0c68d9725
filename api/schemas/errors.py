"""The shape of every error, and how a route declares those that it answers with."""

from typing import Any

from pydantic import BaseModel, Field

type Responses = dict[int | str, dict[str, Any]]  # FastAPI's own type of `responses`

_DESCRIPTIONS = {
    400: "The request is wrong; `message` names the field.",
    401: "Not signed in, or the sign-in has ended.",
    403: "You may see this but not do it.",
    404: "There is no such object, or you may not see it.",
    409: "The request does not fit the object's present state.",
    413: "The body is too large.",
    429: "Too many tries; `Retry-After` says when to come back.",
    503: "Something that is needed is not there right now; try again.",
}


class ErrorBody(BaseModel):
    """Every error's body."""

    message: str = Field(description="One clear sentence for a person.")
    code: str = Field(description="The kind of error, for programs.")


def answers(*statuses: int) -> Responses:
    """Declare the errors that a route answers with."""
    return {
        status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]} for status in statuses
    }
