"""The text that a request may bring: what PostgreSQL and UTF-8 can hold."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class RequestBody(BaseModel):
    """Base of every request body: types are taken as they are, unknown fields are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


def _refuse_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("text must not have NUL characters in it.")
    return text


PlainText = Annotated[str, AfterValidator(_refuse_nul)]
"""Any text without NUL. Lone surrogates are refused by pydantic itself."""
Name = Annotated[PlainText, StringConstraints(max_length=200)]
"""What a person calls a thing."""
