"""What was said in a session, kept by the bridge: ACP has no way to read a history.

`session/load` only replays it into a running agent, without the ids of turns, and each agent in its
own shape. So every update is appended to a file beneath HOME before watchers are told of it. Text
is kept in the pieces that it came in and put together when it is read, as the updates of a tool
call are; both keep the names that the stream gave them.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = ".cattery/acp"
CHUNKS = frozenset({"agent_message_chunk", "agent_thought_chunk"})
TOOL_UPDATES = frozenset({"tool_call", "tool_call_update"})
_ASIDE = frozenset(
    {"usage_update", "session_info_update", "available_commands_update", "current_mode_update"}
)
"""Updates that may stand between two pieces of one text."""

type Message = dict[str, Any]
"""`{part, offset, update}`; a result of a prompt is `{result}`."""


class Record:
    """One session's file, and the agent's own id of it."""

    def __init__(self, home: Path, session_id: str) -> None:
        self._path = home / FOLDER / f"{session_id}.jsonl"

    def bind(self, acp_session: str) -> None:
        """Keep the agent's own id of the session."""
        self._write({"session": acp_session})

    def bound(self) -> str | None:
        """Return the agent's own id; `None` before it has one."""
        found: str | None = None
        for line in self._read():
            if isinstance(line.get("session"), str):
                found = line["session"]
        return found

    def add(self, turn: str, message: Message) -> None:
        """Keep a message of a turn; it outlives a kill of the bridge when this returns."""
        self._write({"turn": turn, "at": time.time(), "message": message})

    def read(self, turns: Sequence[str]) -> list[tuple[float, str, Mapping[str, Any]]]:
        """Return the messages of some turns, texts and tool calls in one piece each."""
        wanted, folded = set(turns), Folded()
        for line in self._read():
            turn, message, at = line.get("turn"), line.get("message"), line.get("at")
            if turn in wanted and isinstance(message, dict) and isinstance(at, int | float):
                folded.add(float(at), str(turn), message)
        return folded.entries()

    def _write(self, line: dict[str, Any]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = json.dumps(line, separators=(",", ":")).encode()
        with self._path.open("ab", buffering=0) as stream:
            # Before the line, so that one that a kill cut off spoils none after it.
            stream.write(b"\n" + data)

    def _read(self) -> list[dict[str, Any]]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        read = []
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                read.append(value)
        return read


@dataclass
class Parts:
    """Numbers the parts of one turn: a text ends where something else begins."""

    _part: int = 0
    _open: tuple[str, Any] | None = None
    _length: int = 0

    def place(self, update: Message) -> Message:
        """Return the update with its part, and its offset in that where it is text."""
        kind = str(update.get("sessionUpdate"))
        text = text_of(update)
        if kind in CHUNKS and text is not None:
            stream = (kind, update.get("messageId"))
            if stream != self._open:
                self._part, self._open, self._length = self._part + 1, stream, 0
            offset = self._length
            self._length += len(text)
            return {"part": self._part, "offset": offset, "update": update}
        if kind not in _ASIDE:
            self._open = None
        self._part += self._open is None
        return {"part": self._part, "update": update}


@dataclass
class Folded:
    """Puts messages together: one for a text, one for a tool call."""

    _entries: dict[tuple[str, str], tuple[float, str, Message]] = field(default_factory=dict)
    _texts: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, at: float, turn: str, message: Message) -> None:
        """Take the next message of a turn."""
        update = message.get("update")
        update = update if isinstance(update, dict) else {}
        text, kind = text_of(update), str(update.get("sessionUpdate"))
        if text is not None and kind in CHUNKS:
            key = (turn, f"part {message.get('part')}")
            self._entries.setdefault(key, (at, turn, message))
            self._texts.setdefault(key, []).append(text)
        elif kind in TOOL_UPDATES:
            key = (turn, f"tool {update.get('toolCallId')}")
            first, _, before = self._entries.get(key, (at, turn, {}))
            told = {name: value for name, value in update.items() if value is not None}
            merged = {**before.get("update", {}), **told}
            self._entries[key] = (first, turn, {**message, **before, "update": merged})
        else:
            self._entries[turn, f"line {len(self._entries)}"] = (at, turn, message)

    def entries(self) -> list[tuple[float, str, Mapping[str, Any]]]:
        """Return (when it began, turn, message) of each."""
        for key, texts in self._texts.items():
            at, turn, message = self._entries[key]
            content = {**message["update"]["content"], "text": "".join(texts)}
            whole = {**message, "offset": 0, "update": {**message["update"], "content": content}}
            self._entries[key] = (at, turn, whole)
        return [*self._entries.values()]


def text_of(update: Mapping[str, Any]) -> str | None:
    """Return the text of a chunk; `None` where it is something else."""
    content = update.get("content")
    if not isinstance(content, dict) or content.get("type") != "text":
        return None
    text = content.get("text")
    return text if isinstance(text, str) else None
