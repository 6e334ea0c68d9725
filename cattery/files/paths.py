"""The one way in for paths and names that come from a request.

What passes here is text that the kernel can be asked about; whether it stays inside the root is
decided where it is resolved (`cattery.files.beneath`), never by looking at the text.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import override

from cattery.errors import BadRequestError

MAX_PATH_BYTES = 4_096
MAX_NAME_BYTES = 255
PRIVATE_PREFIX = ".cattery-tmp-"
"""Objects of our own that are under way in a tree begin with this; listings leave them out."""

_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class TreePath:
    """A path relative to a tree's root, which has no components itself.

    There are no empty components and no `.`. A `..` gets its meaning when the path is resolved.
    """

    parts: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        return "/" + "/".join(self.parts)

    @property
    def is_root(self) -> bool:
        """Whether this names the root without any detour."""
        return not self.parts

    @property
    def climbs(self) -> bool:
        """Whether a component is `..`."""
        return ".." in self.parts

    @property
    def name(self) -> str:
        """The last component; empty for the root."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> "TreePath":
        """All but the last component."""
        return TreePath(self.parts[:-1])

    def child(self, name: str) -> "TreePath":
        """Append one component."""
        return TreePath((*self.parts, name))


def parse_path(text: str) -> TreePath:
    """Read a path of a request, `/` first or not.

    Raises:
        BadRequestError: no file system could hold such a path.
    """
    if len(_encode(text)) > MAX_PATH_BYTES:
        raise BadRequestError(f"The path is too long: it has at most {MAX_PATH_BYTES} bytes.")
    if "\0" in text:
        raise BadRequestError("A path has no NUL character in it.")
    parts = split_path(text)
    if any(len(_encode(part)) > MAX_NAME_BYTES for part in parts):
        raise BadRequestError(f"A name in a path has at most {MAX_NAME_BYTES} bytes.")
    return TreePath(parts)


def split_path(text: str) -> tuple[str, ...]:
    """Split at `/`, leaving out what means nothing: empty components and `.`."""
    return tuple(part for part in text.split("/") if part not in ("", "."))


def check_name(name: str) -> str:
    """Return the name of one object as it is, when it is one.

    Raises:
        BadRequestError: empty, `.`, `..`, with `/`, a backslash or NUL, not Unicode, or over
            255 bytes.
    """
    if name in ("", ".", ".."):
        raise BadRequestError("Give a name that is not empty and is neither `.` nor `..`.")
    if any(character in name for character in "/\\\0"):
        raise BadRequestError("A name has no slash, no backslash and no NUL character in it.")
    if len(_encode(name)) > MAX_NAME_BYTES:
        raise BadRequestError(f"The name is too long: it has at most {MAX_NAME_BYTES} bytes.")
    return name


def show_path(path: object) -> str:
    """Write a path for a message: cut where it is long, without control characters."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(path))
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def show_name(name: str) -> str:
    """Turn a name as the kernel gives it into text; bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def join_names(names: Sequence[str]) -> TreePath:
    """Make a path of names that a resolution found."""
    return TreePath(tuple(names))


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadRequestError("A path or name must be valid Unicode text.") from error
