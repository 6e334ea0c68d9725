"""Claude Code's own record of a session, in the form of its messages on the stream.

`~/.claude/projects/<folder>/<session>.jsonl` has a line for each block of an answer and for each
tool result; sub-agents have files of their own beneath `<session>/subagents`. The workspace is the
agent's: nothing in these files is trusted to be well-formed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

type Entry = Mapping[str, Any]
type Told = tuple[float, str, Mapping[str, Any]]

MAX_BYTES = 512 * 1024 * 1024


def find_transcript(home: Path, session_id: str) -> Path | None:
    """Return a session's file; `None` before its first turn."""
    folder = home / ".claude" / "projects"
    found = [path for path in folder.glob(f"*/{session_id}.jsonl") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def prepare_resume(home: Path, session_id: str) -> bool:
    """Tell whether a session can be taken up again, and clear the way where it cannot.

    A program that was killed early leaves a transcript without a single message. Claude Code finds
    no conversation in it, and would not begin a new one of that id beside it either.
    """
    path = find_transcript(home, session_id)
    if path is None:
        return False
    if any(entry.get("type") in ("user", "assistant") for entry in _read(path)):
        return True
    path.rename(path.with_suffix(".empty"))
    return False


def read_turns(path: Path, prompts: Sequence[str]) -> list[Told]:
    """Read all messages that belong to one of the prompts, each with its moment and its prompt."""
    known = set(prompts)
    told: list[Told] = []
    turn: str | None = None
    calls: dict[str, str] = {}
    for entry in _read(path):
        if entry.get("isSidechain") is True:
            continue
        if entry.get("uuid") in known:
            turn = str(entry["uuid"])
            continue
        queued = _queued_prompt(entry, known)
        if queued is not None:
            turn = queued
        elif turn is not None and entry.get("type") in ("assistant", "user"):
            told.append((_moment(entry), turn, _as_message(entry, None)))
            calls.update(dict.fromkeys(_calls_of(entry), turn))
    for parent, entry in _read_children(path.with_suffix("") / "subagents"):
        owner = calls.get(parent)
        if owner is not None:
            told.append((_moment(entry), owner, _as_message(entry, parent)))
    told.sort(key=lambda one: one[0])
    return told


def _read_children(folder: Path) -> Iterator[tuple[str, Entry]]:
    for about in sorted(folder.glob("*.meta.json")):
        try:
            parent = json.loads(about.read_bytes()).get("toolUseId")
        except (OSError, ValueError, AttributeError):
            continue
        if not isinstance(parent, str):
            continue
        for number, entry in enumerate(
            _read(about.with_name(about.name[: -len(".meta.json")] + ".jsonl"))
        ):
            # The first entry is the sub-agent's own prompt, which its tool call shows already.
            if number and entry.get("type") in ("assistant", "user"):
                yield parent, entry


def _queued_prompt(entry: Entry, known: set[str]) -> str | None:
    """Return the prompt that was put into a running turn; we never do, but a kill may leave one."""
    attachment = entry.get("attachment")
    if isinstance(attachment, dict) and attachment.get("type") == "queued_command":
        source = attachment.get("source_uuid")
        return source if source in known else None
    return None


def _as_message(entry: Entry, parent: str | None) -> Mapping[str, Any]:
    message: dict[str, Any] = {
        "type": entry["type"],
        "uuid": entry.get("uuid"),
        "message": entry.get("message"),
        "parent_tool_use_id": parent,
    }
    for name, stored in (
        ("tool_use_result", "toolUseResult"),
        ("isMeta", "isMeta"),
        ("isSynthetic", "isSynthetic"),
        ("isApiErrorMessage", "isApiErrorMessage"),
        ("isCompactSummary", "isCompactSummary"),
        ("error", "error"),
        ("origin", "origin"),
        ("block_index", "apiBlockIndex"),
    ):
        if stored in entry:
            message[name] = entry[stored]
    return slim(message)


def slim(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the whole file that stands beside each change of it: the change is enough."""
    structured = message.get("tool_use_result")
    if not isinstance(structured, dict) or "originalFile" not in structured:
        return message
    rest = {name: value for name, value in structured.items() if name != "originalFile"}
    return {**message, "tool_use_result": rest}


def _calls_of(entry: Entry) -> Iterator[str]:
    message = entry.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    for block in content if isinstance(content, list) else []:
        if isinstance(block, dict) and block.get("type") == "tool_use":
            yield str(block.get("id"))


def _moment(entry: Entry) -> float:
    try:
        return datetime.fromisoformat(str(entry.get("timestamp"))).timestamp()
    except ValueError:
        return 0.0


def _read(path: Path) -> Iterator[Entry]:
    try:
        if path.stat().st_size > MAX_BYTES:
            return
        with path.open("rb") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(entry, dict):
                    yield entry
    except OSError:
        return
