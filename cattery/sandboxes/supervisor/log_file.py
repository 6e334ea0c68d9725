"""A harness's log: bounded, and without the secrets that its sandbox was given."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

LOG = "harness.log"
OLDER_LOG = "harness.log.1"
MAX_BYTES = 2 * 1024 * 1024
"""Of each of the two files."""
MAX_LINE = 64 * 1024
REDACTED = b"[redacted]"


class LogFile:
    """Takes what a harness writes, whole lines at a time, and keeps the newest of it."""

    def __init__(self, folder: Path, *, secrets: Iterable[str], max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._secrets = sorted({s.encode() for s in secrets if s}, key=len, reverse=True)
        self._max_bytes = max_bytes
        self._pending = b""
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size

    def write(self, data: bytes) -> None:
        """Add bytes. The last line is held back until it is whole: a secret may be cut in two."""
        lines, newline, rest = (self._pending + data).rpartition(b"\n")
        self._store(lines + newline)
        self._pending = rest
        if len(self._pending) > MAX_LINE:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        self._store(self._pending)
        self._pending = b""

    def close(self) -> None:
        """Write what is held back and close the file."""
        self.flush()
        os.close(self._descriptor)

    def _store(self, data: bytes) -> None:
        if not data:
            return
        for secret in self._secrets:
            data = data.replace(secret, REDACTED)
        with contextlib.suppress(OSError):  # a full disk costs the log, not the sandbox
            if self._size + len(data) > self._max_bytes:
                self._rotate()
            self._size += os.write(self._descriptor, data)

    def _rotate(self) -> None:
        (self._folder / LOG).replace(self._folder / OLDER_LOG)
        newer = self._open()
        os.close(self._descriptor)
        self._descriptor = newer
        self._size = 0

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        return os.open(self._folder / LOG, flags, 0o600)


def read_tail(folder: Path, lines: int) -> str:
    """Return the last lines of a log; empty where there is none."""
    limit = lines * 4096
    text = b""
    for name in (LOG, OLDER_LOG):
        if text.count(b"\n") > lines:
            break
        text = _read_end(folder / name, limit) + text
    return "\n".join(text.decode(errors="replace").splitlines()[-lines:]) if lines > 0 else ""


def _read_end(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - limit))
            return stream.read()
    except OSError:
        return b""
