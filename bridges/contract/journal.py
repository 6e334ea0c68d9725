"""What a session must not forget when the bridge is killed: its prompts, how they ended, its title.

One file a session beneath HOME, a JSON object a line, each written and synced before it counts. A
line that a kill cut off is passed over.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = ".cattery/bridge"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Journal:
    """Appends to one session's file."""

    def __init__(self, folder: Path, session_id: str) -> None:
        self._path = folder / f"{session_id}.jsonl"

    def write(self, record: dict[str, Any]) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            OSError: it could not be written.
        """
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, self._mend(line))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _mend(self, line: bytes) -> bytes:
        """Begin a new line where an earlier one was cut off."""
        with self._path.open("rb") as stream:
            if stream.seek(0, os.SEEK_END) == 0:
                return line
            stream.seek(-1, os.SEEK_END)
            return line if stream.read(1) == b"\n" else b"\n" + line

    def read(self) -> Iterator[dict[str, Any]]:
        """Give the records in their order."""
        try:
            with self._path.open("rb") as stream:
                lines = stream.readlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def prepare_folder(home: Path) -> Path:
    """Make the journals' folder and find out that it can be written.

    Raises:
        OSError: it cannot; the program must not start, for nothing would survive.
    """
    folder = home / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    probe = folder / f".probe-{os.getpid()}"
    probe.write_text("")
    probe.unlink()
    return folder


def list_sessions(folder: Path) -> list[str]:
    """List the sessions that have a journal."""
    names = sorted(path.stem for path in folder.glob("*.jsonl") if path.is_file())
    return [name for name in names if _NAME.fullmatch(name)]
