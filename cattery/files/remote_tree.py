"""A `FileTree` and a `SkillLibrary` that a file manager serves.

What text and names may be is decided here already, before anything is sent; all the rest by the
tree at the other end, whose errors come back as they were raised there.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

import orjson
from pydantic import TypeAdapter, ValidationError

from cattery.files import remote_wire as wire
from cattery.files.paths import check_name, parse_path
from cattery.files.port import (
    Entry,
    FileTree,
    OpenedFile,
    Placed,
    Skill,
    TextContent,
    UnpackedSkill,
)
from cattery.files.remote_calls import RemoteCalls, read_nonsense
from cattery.ids import HarnessId

_ENTRIES: Final = TypeAdapter(list[Entry])
_TEXT: Final = TypeAdapter(TextContent)
_PLACED: Final = TypeAdapter(Placed)
_SKILLS: Final = TypeAdapter(list[Skill])
_UNPACKED: Final = TypeAdapter(UnpackedSkill)


class RemoteTree:
    """The files that one file manager serves."""

    def __init__(self, calls: RemoteCalls) -> None:
        self._calls = calls

    async def list_folder(self, path: str) -> Sequence[Entry]:
        """List a folder: directories first, then by name without regard to case, at most 2,000."""
        parse_path(path)
        return _read(_ENTRIES, await self._calls.read(wire.LIST, {"path": path}))

    async def read_text(self, path: str) -> TextContent:
        """Read a file as text; bytes that are not UTF-8 are replaced."""
        parse_path(path)
        return _read(_TEXT, await self._calls.read(wire.TEXT, {"path": path}))

    async def open_file(self, path: str) -> OpenedFile:
        """Open a file to stream its bytes."""
        parse_path(path)
        return await self._calls.open(wire.BYTES, {"path": path})

    async def upload(
        self, folder: str, name: str, chunks: AsyncIterator[bytes], *, max_bytes: int
    ) -> Placed:
        """Store a file, replacing one of that name; nothing is left behind when it fails."""
        parse_path(folder)
        check_name(name)
        parameters = {"folder": folder, "name": name, "max_bytes": str(max_bytes)}
        return _read(_PLACED, await self._calls.send(wire.UPLOAD, parameters, chunks))

    async def delete(self, path: str) -> None:
        """Delete a file, a link itself, or a folder with all in it."""
        parse_path(path)
        await self._calls.change("POST", wire.DELETE, {"path": path})

    async def rename(self, path: str, new_name: str) -> Placed:
        """Give an object another base name in its folder."""
        check_name(new_name)
        parse_path(path)
        return await self._place(wire.RENAME, {"path": path, "name": new_name})

    async def move(self, path: str, folder: str) -> Placed:
        """Move an object into another folder; where it already is, nothing changes."""
        parse_path(folder)
        parse_path(path)
        return await self._place(wire.MOVE, {"path": path, "folder": folder})

    async def make_folder(self, folder: str, name: str) -> Placed:
        """Make a folder in a folder."""
        check_name(name)
        parse_path(folder)
        return await self._place(wire.MAKE_FOLDER, {"folder": folder, "name": name})

    async def _place(self, path: str, parameters: dict[str, str]) -> Placed:
        return _read(_PLACED, await self._calls.change("POST", path, parameters))


class RemoteSkillLibrary:
    """The skills library that a skill manager serves."""

    def __init__(self, calls: RemoteCalls) -> None:
        self._calls = calls
        self._files = RemoteTree(calls)

    @property
    def files(self) -> FileTree:
        """The library's files."""
        return self._files

    async def catalog(self) -> Sequence[Skill]:
        """List the skills, valid ones first, then by name."""
        return _read(_SKILLS, await self._calls.read(wire.CATALOG))

    async def upload_zip(self, file_name: str, chunks: AsyncIterator[bytes]) -> UnpackedSkill:
        """Unpack the archive of one skill, replacing a skill of that slug whole."""
        answer = await self._calls.send(wire.UPLOAD_SKILL, {"name": file_name}, chunks)
        return _read(_UNPACKED, answer)


async def remove_home(calls: RemoteCalls, harness_id: HarnessId) -> None:
    """Delete the HOME of a harness; nothing happens where there is none."""
    await calls.change("DELETE", f"{wire.HOMES}/{harness_id}")


async def keep_homes(calls: RemoteCalls, harness_ids: Collection[HarnessId]) -> Sequence[str]:
    """Delete every HOME but these and those that were made just now; returns which went."""
    content = orjson.dumps([str(harness_id) for harness_id in harness_ids])
    answer: list[str] = orjson.loads(await calls.change("POST", wire.KEEP_HOMES, content=content))
    return answer


async def count_running(calls: RemoteCalls) -> int:
    """Return how many other requests the file manager is serving."""
    answer: dict[str, int] = orjson.loads(await calls.read(wire.READY))
    return answer["running"]


def _read[T](adapter: TypeAdapter[T], answer: bytes) -> T:
    try:
        return adapter.validate_json(answer)
    except ValidationError as error:
        raise read_nonsense() from error
