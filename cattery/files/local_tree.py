"""A `FileTree` on a folder of this machine.

Every operation opens the root anew, works beneath it in a thread, and closes it: a tree is cheap
to make and holds nothing between calls. What may be reached is decided in `cattery.files.beneath`.
"""

import asyncio
import codecs
import errno
import heapq
import os
import stat
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cattery.errors import BadRequestError
from cattery.files.beneath import READ_FOLDER, Beneath, Resolution, Spot
from cattery.files.failures import explaining, taken
from cattery.files.media_types import SNIFFED_BYTES, sniff_media_type
from cattery.files.paths import (
    PRIVATE_PREFIX,
    TreePath,
    check_name,
    parse_path,
    show_name,
    show_path,
)
from cattery.files.port import Entry, EntryType, OpenedFile, Placed, TextContent
from cattery.files.removal import remove_tree
from cattery.files.streams import FOLDER_MODE, FileChunks, StagedFile, store
from cattery.files.syscalls import RENAME_NOREPLACE, rename_at

MAX_ENTRIES = 2_000
MAX_TEXT_BYTES = 2 * 1024 * 1024
BINARY_PROBE_BYTES = 8_000


class LocalTree:
    """The files beneath one folder.

    Args:
        root: the folder.
        mount_point: the absolute path at which sandboxes see it, so that absolute links that
            an agent made within its workspace work.
        resolution: who resolves paths; by default the kernel where it can.
    """

    def __init__(
        self, root: Path, mount_point: str | None = None, *, resolution: Resolution | None = None
    ) -> None:
        self._root = root
        self._mount_point = mount_point
        self._resolution = resolution

    async def list_folder(self, path: str) -> Sequence[Entry]:
        """List a folder: directories first, then by name without regard to case, at most 2,000."""
        return await self._run(path, _list_folder)

    async def read_text(self, path: str) -> TextContent:
        """Read a file as text; bytes that are not UTF-8 are replaced."""
        return await self._run(path, _read_text)

    async def open_file(self, path: str) -> OpenedFile:
        """Open a file to stream its bytes, 256 KiB at a time."""
        return await self._run(path, _open_file)

    async def upload(
        self, folder: str, name: str, chunks: AsyncIterator[bytes], *, max_bytes: int
    ) -> Placed:
        """Store a file, replacing one of that name; nothing is left behind when it fails."""
        staged = StagedFile(self._open_root(), parse_path(folder), check_name(name))
        await store(staged, chunks, max_bytes=max_bytes)
        return Placed(str(staged.path), name, staged.size)

    async def delete(self, path: str) -> None:
        """Delete a file, a link itself, or a folder with all in it."""
        await self._run(path, _delete)

    async def rename(self, path: str, new_name: str) -> Placed:
        """Give an object another base name in its folder."""
        check_name(new_name)
        return await self._run(path, lambda beneath, at: _rename(beneath, at, new_name))

    async def move(self, path: str, folder: str) -> Placed:
        """Move an object into another folder; where it already is, nothing changes."""
        target = parse_path(folder)
        return await self._run(path, lambda beneath, at: _move(beneath, at, target))

    async def make_folder(self, folder: str, name: str) -> Placed:
        """Make a folder in a folder."""
        check_name(name)
        return await self._run(folder, lambda beneath, at: _make_folder(beneath, at, name))

    async def _run[T](self, path: str, work: Callable[[Beneath, TreePath], T]) -> T:
        parsed = parse_path(path)
        return await asyncio.to_thread(self._work, parsed, work)

    def _work[T](self, path: TreePath, work: Callable[[Beneath, TreePath], T]) -> T:
        with explaining(path), self._open_root() as beneath:
            return work(beneath, path)

    def _open_root(self) -> Beneath:
        return Beneath(self._root, mount_point=self._mount_point, resolution=self._resolution)


def _list_folder(beneath: Beneath, path: TreePath) -> list[Entry]:
    with beneath.folder(path, READ_FOLDER) as fd, os.scandir(fd) as found:
        shown = (entry for entry in found if not entry.name.startswith(PRIVATE_PREFIX))
        first = heapq.nsmallest(MAX_ENTRIES, shown, key=_order)
        entries = []
        for entry in first:
            with suppress(FileNotFoundError):  # it went while we looked
                entries.append(_describe(entry.name, entry.stat(follow_symlinks=False)))
        return entries


def _order(entry: "os.DirEntry[str]") -> tuple[bool, str, str]:
    return (not entry.is_dir(follow_symlinks=False), entry.name.casefold(), entry.name)


def _describe(name: str, found: os.stat_result) -> Entry:
    kind = EntryType.FILE
    if stat.S_ISDIR(found.st_mode):
        kind = EntryType.DIR
    elif stat.S_ISLNK(found.st_mode):
        kind = EntryType.LINK
    return Entry(show_name(name), kind, found.st_size, int(found.st_mtime))


def _read_text(beneath: Beneath, path: TreePath) -> TextContent:
    with os.fdopen(beneath.open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(MAX_TEXT_BYTES + 1)
    if b"\0" in data[:BINARY_PROBE_BYTES]:
        return TextContent(str(path), size, truncated=False, binary=True, content=None)
    content, truncated = _decode(data)
    return TextContent(str(path), size, truncated=truncated, binary=False, content=content)


def _decode(data: bytes) -> tuple[str, bool]:
    """Decode at most `MAX_TEXT_BYTES` bytes; say whether something was cut off."""
    truncated = len(data) > MAX_TEXT_BYTES
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data[:MAX_TEXT_BYTES], final=not truncated)
    encoded = text.encode()  # replacement characters are longer than what they replace
    if len(encoded) > MAX_TEXT_BYTES:
        return encoded[:MAX_TEXT_BYTES].decode(errors="ignore"), True
    return text, truncated


def _open_file(beneath: Beneath, path: TreePath) -> OpenedFile:
    fd = beneath.open_regular(path)
    size = os.fstat(fd).st_size
    chunks = FileChunks(fd, size)
    media_type = sniff_media_type(os.pread(fd, SNIFFED_BYTES, 0), path.name)
    return OpenedFile(path.name, size, media_type, chunks)


def _delete(beneath: Beneath, path: TreePath) -> None:
    with beneath.spot(path) as spot:
        remove_tree(spot.folder_fd, spot.name)


def _rename(beneath: Beneath, path: TreePath, new_name: str) -> Placed:
    with beneath.spot(path) as spot:
        target = Spot(spot.folder_fd, new_name, spot.folder_path)
        _rename_to(spot, target)
        return Placed(str(target.path), new_name)


def _move(beneath: Beneath, path: TreePath, folder: TreePath) -> Placed:
    with beneath.spot(path) as spot, beneath.folder(folder) as folder_fd:
        target = Spot(folder_fd, spot.name, beneath.plain_path(folder))
        found = os.stat(spot.name, dir_fd=spot.folder_fd, follow_symlinks=False)
        if not os.path.samestat(os.fstat(spot.folder_fd), os.fstat(folder_fd)):
            if stat.S_ISDIR(found.st_mode) and _is_within(folder_fd, found):
                raise BadRequestError(f"{show_path(path)} cannot be moved into itself.")
            _rename_to(spot, target)
        return Placed(str(target.path), spot.name)


def _is_within(folder_fd: int, ancestor: os.stat_result) -> bool:
    """Whether an open folder is `ancestor` or lies in it, looking up to the file system's root."""
    fd = os.dup(folder_fd)
    try:
        found = os.fstat(fd)
        while not os.path.samestat(found, ancestor):
            above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
            os.close(fd)
            fd = above
            below, found = found, os.fstat(fd)
            if os.path.samestat(below, found):
                return False
        return True
    finally:
        os.close(fd)


def _rename_to(old: Spot, new: Spot) -> None:
    try:
        rename_at(old.folder_fd, old.name, new.folder_fd, new.name, RENAME_NOREPLACE)
    except FileExistsError as error:
        raise taken(new.path) from error
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        _rename_without_flags(old, new)


def _rename_without_flags(old: Spot, new: Spot) -> None:
    """Look first, then rename, where the file system cannot refuse to replace by itself."""
    try:
        os.stat(new.name, dir_fd=new.folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old.name, new.name, src_dir_fd=old.folder_fd, dst_dir_fd=new.folder_fd)
    else:
        raise taken(new.path)


def _make_folder(beneath: Beneath, path: TreePath, name: str) -> Placed:
    with beneath.folder(path) as folder_fd:
        placed = beneath.plain_path(path).child(name)
        try:
            os.mkdir(name, dir_fd=folder_fd)
        except FileExistsError as error:
            raise taken(placed) from error
        with suppress(OSError):  # swapped or deleted already: then its mode is not ours to set
            fd = os.open(name, READ_FOLDER | os.O_NOFOLLOW, dir_fd=folder_fd)
            try:
                os.fchmod(fd, FOLDER_MODE)
            finally:
                os.close(fd)
        return Placed(str(placed), name)
