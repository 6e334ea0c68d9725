"""What parts say: every line goes to a bounded log file, what is noteworthy to the terminal."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import orjson

_MAX_BYTES = 10 * 1024 * 1024
_KEPT_FILES = 3
_MAX_LINE = 64 * 1024
_QUIET_FIELDS = {"event", "level", "timestamp", "logger", "exception", "msg", "time"}

type Noteworthy = Callable[[str], str | None]
"""Gives the text to show on the terminal for a line of a log; `None` for most."""


class PartLog:
    """The log of one part, turned over at 10 MB, three old files kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail: deque[str] = deque(maxlen=40)
        self._file = path.open("ab", buffering=0)
        path.chmod(0o600)

    def write(self, line: bytes) -> None:
        """Append a line; on a full disk it is lost, which is better than a part that blocks."""
        self._tail.append(line.decode(errors="replace"))
        with contextlib.suppress(OSError):
            if self._file.tell() + len(line) > _MAX_BYTES:
                self._turn_over()
            self._file.write(line + b"\n")

    def tail(self, lines: int = 12) -> list[str]:
        """Return the last lines of this run, cut to a readable width."""
        return [readable(line)[:400] for line in list(self._tail)[-lines:]]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _turn_over(self) -> None:
        self._file.close()
        kept = [self.path.with_name(f"{self.path.name}.{n}") for n in range(1, _KEPT_FILES + 1)]
        for newer, older in reversed(list(pairwise([self.path, *kept]))):
            if newer.exists():
                newer.replace(older)
        self._file = self.path.open("ab", buffering=0)
        self.path.chmod(0o600)


async def copy_lines(descriptor: int, log: PartLog, show: Callable[[str], None]) -> None:
    """Copy a pipe to a log until its writers are gone, handing each line to `show` as well."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    pipe = open(descriptor, "rb", buffering=0)  # noqa: SIM115, ASYNC230 - an open pipe
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    try:
        rest = b""
        while chunk := await reader.read(_MAX_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                log.write(line)
                show(line.decode(errors="replace"))
        if rest:
            log.write(rest)
            show(rest.decode(errors="replace"))
    finally:
        transport.close()


def readable(line: str) -> str:
    """Turn a JSON log line into `level event field=value …`; other lines stay as they are."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.rstrip()
    if not isinstance(record, dict):
        return line.rstrip()
    level, event = record.get("level", ""), record.get("event") or record.get("msg") or ""
    fields = [f"{key}={value}" for key, value in record.items() if key not in _QUIET_FIELDS]
    exception = str(record.get("exception") or "").strip().rpartition("\n")[2]
    return " ".join(filter(None, (str(level), str(event), *fields, exception)))


def noteworthy_of_ours(line: str) -> str | None:
    """Show warnings and errors of our own processes, and what they write outside of the log."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.rstrip() or None
    level = record.get("level") if isinstance(record, dict) else None
    return readable(line) if level in ("warning", "error", "critical") else None


def noteworthy_of_postgres(line: str) -> str | None:
    """Show what concerns the server itself; statements that fail are their caller's matter.

    That it is not up yet it tells whoever asks, and we ask until it is.
    """
    if line.rstrip().endswith("the database system is starting up"):
        return None
    return line.rstrip() if re.search(r"\b(WARNING|FATAL|PANIC):", line) else None


def noteworthy_of_temporal(line: str) -> str | None:
    """Show only what ends the server: its other errors also come up in normal work."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.rstrip() if line.lower().startswith("error") else None
    level = record.get("level") if isinstance(record, dict) else None
    return readable(line) if level in ("fatal", "panic") else None
