"""Bytes on their way into and out of a tree, a chunk at a time, in threads.

Whatever happens to the request (it is cancelled in the middle of a write, its client goes away
before the first chunk), no open file is closed while a thread works on it, and none is forgotten:
each object here guards its file descriptor with a lock and can be ended at any moment.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from threading import Lock
from typing import Self, override
from uuid import uuid4

from cattery.errors import TooLargeError
from cattery.files.beneath import Beneath
from cattery.files.failures import explaining, taken
from cattery.files.paths import PRIVATE_PREFIX, TreePath

CHUNK_BYTES = 256 * 1024
FILE_MODE = 0o664
"""Agent and user share a group: each can edit what the other made."""
FOLDER_MODE = 0o2775

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE_NAMELESS = os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC


class FileChunks(AsyncIterator[bytes]):
    """An open file as an async iterator; it never gives more than `size` bytes.

    Ends by itself at the end of the file, by `aclose`, or when it is forgotten.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._left = size
        self._lock = Lock()

    @override
    def __aiter__(self) -> Self:
        return self

    @override
    async def __anext__(self) -> bytes:
        chunk = await asyncio.to_thread(self._read)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Close the file; safe to repeat."""
        await asyncio.to_thread(self._close)

    def __del__(self) -> None:
        self._close()

    def _read(self) -> bytes:
        with self._lock:
            if self._fd < 0:
                return b""
            chunk = os.read(self._fd, min(self._left, CHUNK_BYTES))
            self._left -= len(chunk)
        if not chunk:
            self._close()
        return chunk

    def _close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class StagedFile:
    """An upload under way: a file in the target folder that gets its name when it is complete.

    It has no name at all until then, so that even a killed process leaves nothing; where the file
    system has no such files (`O_TMPFILE`), it has a hidden one.

    `begin`, `write`, `commit` and `abort` block, and are called in threads. `abort` may come at
    any time, also before a `begin` that is still waiting for its thread; after it, nothing is
    written any more and nothing is left.
    """

    def __init__(self, beneath: Beneath, folder: TreePath, name: str) -> None:
        self._beneath = beneath
        self._folder = folder
        self._name = name
        self._temporary = f"{PRIVATE_PREFIX}{uuid4().hex}"
        self._folder_fd = self._fd = -1
        self._is_named = self._ended = False
        self._lock = Lock()
        self.path = folder.child(name)
        self.size = 0

    def begin(self) -> None:
        """Open the folder and a file in it."""
        with self._lock:
            self._require_open()
            with self._beneath as beneath, beneath.folder(self._folder) as fd:
                self.path = beneath.plain_path(self._folder).child(self._name)
                self._folder_fd = os.dup(fd)
                self._create()

    def write(self, data: bytes) -> None:
        """Append to the file."""
        with self._lock:
            self._require_open()
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
            self.size += len(data)

    def commit(self) -> None:
        """Make the file durable and give it its name, replacing a file or a link of that name.

        Raises:
            ConflictError: a folder has that name.
        """
        with self._lock:
            self._require_open()
            os.fchmod(self._fd, FILE_MODE | self._old_executable_bits())
            os.fsync(self._fd)
            folder = self._folder_fd
            if not self._is_named:  # a link cannot replace, a rename can
                source = f"/proc/self/fd/{self._fd}"
                os.link(source, self._temporary, dst_dir_fd=folder, follow_symlinks=True)
                self._is_named = True
            try:
                os.rename(self._temporary, self._name, src_dir_fd=folder, dst_dir_fd=folder)
            except IsADirectoryError as error:
                raise taken(self.path) from error
            self._end()

    def abort(self) -> None:
        """Leave nothing behind; nothing happens after a commit."""
        with self._lock:
            if self._is_named and not self._ended:
                with suppress(OSError):
                    os.unlink(self._temporary, dir_fd=self._folder_fd)
            self._end()

    def _create(self) -> None:
        try:
            self._fd = os.open(".", _CREATE_NAMELESS, FILE_MODE, dir_fd=self._folder_fd)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
                raise
            self._fd = os.open(self._temporary, _CREATE, FILE_MODE, dir_fd=self._folder_fd)
            self._is_named = True

    def _require_open(self) -> None:
        if self._ended:
            raise RuntimeError("this upload has ended")

    def _old_executable_bits(self) -> int:
        try:
            old = os.stat(self._name, dir_fd=self._folder_fd, follow_symlinks=False)
        except OSError:
            return 0
        return old.st_mode & 0o111 if stat.S_ISREG(old.st_mode) else 0

    def _end(self) -> None:
        self._ended = True
        for fd in (self._fd, self._folder_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._folder_fd = -1


async def store(staged: StagedFile, chunks: AsyncIterator[bytes], *, max_bytes: int) -> None:
    """Write the chunks and commit; nothing is left behind when anything fails or is cancelled.

    Raises:
        TooLargeError: more than `max_bytes` came.
    """
    try:
        await asyncio.to_thread(_explained, staged, staged.begin)
        await _write_all(staged, chunks, max_bytes=max_bytes)
        await asyncio.to_thread(_explained, staged, staged.commit)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(staged.abort))
        raise


def upload_too_large(max_bytes: int) -> TooLargeError:
    """Refuse an upload for its size."""
    return TooLargeError(f"The file is too large: at most {_show_size(max_bytes)} can be uploaded.")


async def _write_all(staged: StagedFile, chunks: AsyncIterator[bytes], *, max_bytes: int) -> None:
    buffer = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > max_bytes:
            raise upload_too_large(max_bytes)
        buffer += chunk
        if len(buffer) >= CHUNK_BYTES:
            await asyncio.to_thread(_explained, staged, staged.write, bytes(buffer))
            buffer.clear()
    if buffer:
        await asyncio.to_thread(_explained, staged, staged.write, bytes(buffer))


def _explained[**P](
    staged: StagedFile, step: Callable[P, None], *args: P.args, **kw: P.kwargs
) -> None:
    with explaining(staged.path):
        step(*args, **kw)


def _show_size(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size} bytes"
