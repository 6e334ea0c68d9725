"""The few paths that the gateway serves, matched exactly against what stands in the request line.

Nothing is decoded or normalised first: a path that needs either (`..%2f`, `//`, an absolute URI)
is simply not one of ours. What goes upstream is built from these constants, never from the
client's text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from cattery.catalog import ModelFamily
from gateway.failures import UnknownPathError


class Operation(StrEnum):
    """What an endpoint does; the value is its path below the API's version."""

    MESSAGES = "messages"
    COUNT_TOKENS = "messages/count_tokens"
    CHAT = "chat/completions"
    RESPONSES = "responses"
    MODELS = "models"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One matched request: which API, which operation, and the little that may vary."""

    family: ModelFamily
    operation: Operation
    model_id: str | None = None
    """For `MODELS`: the one model that is asked about."""
    query: str = ""
    """The query string, of harmless characters only, without the `?`."""

    @property
    def path(self) -> str:
        """The path below the API's version, such as `chat/completions`."""
        return f"{self.operation}/{self.model_id}" if self.model_id else str(self.operation)


def match_endpoint(method: str, target: str) -> Endpoint:
    """Find the endpoint of a request line's method and target.

    Raises:
        UnknownPathError: anything that is not exactly one of ours.
    """
    path, _, query = target.partition("?")
    found = _EXACT.get((method, path)) or _match_model(method, path)
    if found is None or not _SAFE_QUERY.fullmatch(query):
        raise UnknownPathError
    return Endpoint(found.family, found.operation, found.model_id, query)


def family_of_path(target: str) -> ModelFamily | None:
    """Tell whose error shape suits a path, also one that does not exist."""
    for family in ModelFamily:
        if target.startswith(f"/{family}/"):
            return family
    return None


_EXACT = {
    ("POST", f"/{family}/v1/{operation}"): Endpoint(family, operation)
    for family, operation in (
        (ModelFamily.ANTHROPIC, Operation.MESSAGES),
        (ModelFamily.ANTHROPIC, Operation.COUNT_TOKENS),
        (ModelFamily.OPENAI, Operation.CHAT),
        (ModelFamily.OPENAI, Operation.RESPONSES),
    )
} | {("GET", f"/{family}/v1/models"): Endpoint(family, Operation.MODELS) for family in ModelFamily}

_ONE_MODEL = re.compile(
    r"/(anthropic|openai)/v1/models/([A-Za-z0-9](?:[A-Za-z0-9:_-]|\.(?!\.)){0,199})", re.ASCII
)
# Such as claude-code's `beta=true`, or the paging of a list of models. No percent escapes.
_SAFE_QUERY = re.compile(r"[A-Za-z0-9_.=&-]{0,256}", re.ASCII)


def _match_model(method: str, path: str) -> Endpoint | None:
    matched = _ONE_MODEL.fullmatch(path) if method == "GET" else None
    if matched is None:
        return None
    return Endpoint(ModelFamily(matched[1]), Operation.MODELS, model_id=matched[2])
