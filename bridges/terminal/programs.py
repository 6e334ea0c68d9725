"""The programs that the bridge can run, and how each takes a conversation up again.

Both keep their conversations beneath HOME, where all sessions of a harness share them. Which one
is a session's own is read from what the program itself leaves: Codex keeps the file of its
conversation open, Hermes stores the tag that we give it.
"""

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_ROLLOUT = re.compile(r"rollout-.*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.jsonl$")


class Program(Protocol):
    """How to run one program."""

    def command(self, session_id: str, conversation: str | None) -> list[str]:
        """Return the command that starts it, with a conversation where there is one."""

    def find_conversation(self, session_id: str, pid: int | None) -> str | None:
        """Return the conversation that a running program is in; `None` before it has one.

        Asked every few seconds for each session, on the loop that carries what is typed: it must
        not look at more than the one program.
        """

    def environment(self, theme: str) -> Mapping[str, str]:
        """Return what its environment has for a theme."""


@dataclass(frozen=True, slots=True)
class Codex:
    """OpenAI's Codex: `codex resume ID`."""

    path: str

    def command(self, session_id: str, conversation: str | None) -> list[str]:
        """Return the command. `-a never` and the like stand in `config.toml`."""
        del session_id
        return [self.path, "resume", conversation] if conversation else [self.path]

    def find_conversation(self, session_id: str, pid: int | None) -> str | None:
        """Look at the files that the program holds open; sub-agents' come later, so take the first.

        A session's first file is chosen by its name, which begins with the moment of its making.
        """
        del session_id
        files = _open_files(pid) if pid else []
        names = sorted(name for name in files if _ROLLOUT.search(name))
        found = _ROLLOUT.search(names[0]) if names else None
        return found.group(1) if found else None

    def environment(self, theme: str) -> Mapping[str, str]:
        """Codex asks the terminal for its colours."""
        del theme
        return {}


@dataclass(frozen=True, slots=True)
class Hermes:
    """Nous Research's Hermes: `hermes chat --resume ID`, found by the session's tag."""

    path: str
    python: str
    home: Path

    def command(self, session_id: str, conversation: str | None) -> list[str]:
        """Return the command. The script's first line names another machine's path: skip it."""
        start = [self.python, "-P", self.path, "chat", "--cli", "--source", _tag(session_id)]
        return [*start, "--resume", conversation] if conversation else start

    def find_conversation(self, session_id: str, pid: int | None) -> str | None:
        """Ask Hermes's own database; one whose form is not known any more says nothing."""
        del pid
        database = self.home / ".hermes" / "state.db"
        if not database.exists():
            return None
        query = (
            "SELECT id FROM sessions WHERE source = ? AND message_count > 0"
            " ORDER BY started_at DESC LIMIT 1"
        )
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1)) as rows:
                row = rows.execute(query, (_tag(session_id),)).fetchone()
        except sqlite3.Error:
            return None
        return str(row[0]) if row else None

    def environment(self, theme: str) -> Mapping[str, str]:
        """Hermes's colours are its skin's, chosen by what it takes the background for."""
        return {"HERMES_TUI_THEME": theme}


def choose_program(name: str, tools: str, home: Path) -> Program:
    """Return a program by the name of its harness type.

    Raises:
        KeyError: there is no such program.
    """
    codex = (
        f"{tools}/codex/node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl"
        "/bin/codex"
    )
    venv = f"{tools}/hermes/venv/bin"
    programs: dict[str, Program] = {
        "codex": Codex(codex),
        "hermes": Hermes(f"{venv}/hermes", f"{venv}/python", home),
    }
    return programs[name]


def _tag(session_id: str) -> str:
    return f"cattery-{session_id}"


def _open_files(pid: int) -> list[str]:
    """List what a process holds open; it may open and close more meanwhile, and end."""
    found = []
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(link.readlink()))
    return found
