"""What an answer consists of, before it is put into one of the three wire formats."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cattery.jsontypes import JsonObject


@dataclass(frozen=True, slots=True)
class Thinking:
    """Reasoning that is shown apart from the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Markdown for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A tool that the harness shall call, after which it comes back with the result."""

    name: str
    arguments: JsonObject


type Part = Thinking | Text | ToolUse


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What frames an answer in every wire format."""

    model: str
    key: str
    """Hex digits that are the same for the same request, from which ids are made."""
    created: int
    """Seconds since 1970."""
    input_tokens: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event, complete with its blank line."""

    data: bytes
    is_delta: bool = False
    """Whether it carries a piece of text, before which the demo model takes its time."""


def split_words(text: str) -> Iterator[str]:
    """Cut a text into pieces of one word each, blanks included: joined they give the text."""
    return (match[0] for match in re.finditer(r"\S+\s*|\s+", text))


def split_arguments(text: str, *, size: int = 24) -> Iterator[str]:
    """Cut a tool's JSON arguments into pieces, as models do."""
    return (text[start : start + size] for start in range(0, len(text), size))


def count_tokens(text: str) -> int:
    """Estimate tokens the usual way, at four characters each."""
    return max(1, len(text) // 4)
