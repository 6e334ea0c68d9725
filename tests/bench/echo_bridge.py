"""The terminal bridge as sandboxes have it, with the echoing program instead of an agent."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bridges.terminal.__main__ import main
from bridges.terminal.programs import Codex

LINES_PER_SECOND = 2.0
"""What each program says by itself."""
COMMAND = [sys.executable, "-I", "-S", str(Path(__file__).with_name("echo.py"))]
"""Starts the echoing program."""


@dataclass(frozen=True, slots=True)
class Echo:
    """The echoing program; its conversation is looked for as Codex's is, at the same cost."""

    def command(self, session_id: str, conversation: str | None) -> list[str]:
        del session_id, conversation
        return [*COMMAND, str(LINES_PER_SECOND)]

    def find_conversation(self, session_id: str, pid: int | None) -> str | None:
        return Codex("").find_conversation(session_id, pid)

    def environment(self, theme: str) -> Mapping[str, str]:
        del theme
        return {}


if __name__ == "__main__":
    sys.exit(main(lambda *_: Echo()))
