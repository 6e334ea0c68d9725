"""The text that a request may bring: what PostgreSQL and UTF-8 can hold."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class RequestBody(BaseModel):
    """Base of every request body: types are taken as they are, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _check_storable(text: str) -> str:
    if _UNSTORABLE.search(text):
        raise ValueError("text must not have NUL characters or halves of characters in it.")
    return text


PlainText = Annotated[str, AfterValidator(_check_storable)]
"""Any text without NUL and without lone surrogates, which JSON can escape but nothing can store."""
Name = Annotated[PlainText, StringConstraints(max_length=200)]
"""What a person calls a thing."""
