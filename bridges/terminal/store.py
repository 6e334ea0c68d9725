"""What a session must not forget when the bridge ends: its theme, and which conversation it has."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = ".cattery/terminal"
_NAME = re.compile(r"[a-f0-9]{32}")


@dataclass(frozen=True, slots=True)
class Record:
    """One session on the disk. `conversation` is the program's own id."""

    theme: str
    conversation: str | None = None


class Store:
    """A file a session beneath HOME, replaced whole."""

    def __init__(self, home: Path) -> None:
        """Make the folder.

        Raises:
            OSError: HOME cannot be written; nothing would survive.
        """
        self._folder = home / FOLDER
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> dict[str, Record]:
        """Read every session; a file that is no record counts as a session without memory."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            if _NAME.fullmatch(path.stem):
                found[path.stem] = _read(path)
        return found

    def save(self, session_id: str, record: Record) -> None:
        """Write a session; it is on the disk when this returns."""
        draft = self._folder / f".{session_id}.draft"
        with draft.open("w") as file:
            json.dump(asdict(record), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._folder / f"{session_id}.json")

    def remove(self, session_id: str) -> None:
        """Forget a session."""
        (self._folder / f"{session_id}.json").unlink(missing_ok=True)


def _read(path: Path) -> Record:
    try:
        read = json.loads(path.read_text())
        conversation = read.get("conversation")
        theme = "light" if read.get("theme") == "light" else "dark"
    except (OSError, ValueError, AttributeError):
        return Record("dark")
    return Record(theme, conversation if isinstance(conversation, str) else None)
