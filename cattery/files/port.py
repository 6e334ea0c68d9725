"""What the file routes need of a tree of files, wherever it lies (contract/api.md, Files).

Paths are relative to the root, `/` first or not; what comes back begins with `/`. Nothing outside
the root can be reached through `..`, links, FIFOs or devices. Bad paths raise `BadRequestError`,
missing ones `NotFoundError`, taken targets `ConflictError`.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class EntryType(StrEnum):
    """What a directory entry is."""

    FILE = "file"
    DIR = "dir"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a listing. `size` in bytes; `mtime` in unix seconds."""

    name: str
    type: EntryType
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class TextContent:
    """The text of a file: at most 2 MiB, never cut inside a letter; `None` where it is binary."""

    path: str
    size: int
    truncated: bool
    binary: bool
    content: str | None


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an object is after a change."""

    path: str
    name: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that is being read: its chunks, size in bytes, and what it seems to be.

    The chunks must be iterated to the end or closed (`aclose`), which closes the file.
    """

    name: str
    size: int
    media_type: str
    chunks: AsyncIterator[bytes]


class FileTree(Protocol):
    """A project's workspace."""

    async def list_folder(self, path: str) -> Sequence[Entry]:
        """List a folder: directories first, then by name without regard to case, at most 2,000."""

    async def read_text(self, path: str) -> TextContent:
        """Read a file as text."""

    async def open_file(self, path: str) -> OpenedFile:
        """Open a file to stream its bytes."""

    async def upload(
        self, folder: str, name: str, chunks: AsyncIterator[bytes], *, max_bytes: int
    ) -> Placed:
        """Store a file, replacing one of that name; nothing is left behind when it fails.

        Raises:
            TooLargeError: more than `max_bytes` came.
        """

    async def delete(self, path: str) -> None:
        """Delete a file, a link itself, or a folder with all in it."""

    async def rename(self, path: str, new_name: str) -> Placed:
        """Give an object another base name in its folder."""

    async def move(self, path: str, folder: str) -> Placed:
        """Move an object into another folder; where it already is, nothing changes."""

    async def make_folder(self, folder: str, name: str) -> Placed:
        """Make a folder in a folder."""


@dataclass(frozen=True, slots=True)
class Skill:
    """A row of the skills catalogue; `reason` says why an invalid one is invalid."""

    slug: str
    name: str
    description: str
    valid: bool
    mtime: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class UnpackedSkill:
    """What an uploaded archive became."""

    path: str
    dirs: int
    files: int


class SkillLibrary(Protocol):
    """The one skills library of the site."""

    @property
    def files(self) -> FileTree:
        """The library's files."""

    async def catalog(self) -> Sequence[Skill]:
        """List the skills, valid ones first, then by name."""

    async def upload_zip(self, file_name: str, chunks: AsyncIterator[bytes]) -> UnpackedSkill:
        """Unpack the archive of one skill, replacing a skill of that slug whole.

        Readers see the old or the new version, never a mixture; a refused archive leaves nothing.

        Raises:
            BadRequestError: no archive of one skill, or one of its entries is not acceptable.
        """
