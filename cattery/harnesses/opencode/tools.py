"""opencode's tool parts as platform events, with what the contract wants parsed of them."""

import re
from collections.abc import Callable, Mapping
from typing import Final

import orjson

from cattery.events.model import ToolFinished, ToolStarted
from cattery.harnesses.frames import number_of, object_of, text_of, texts_of
from cattery.jsontypes import Json, JsonObject

_NUMBERED_LINE: Final = re.compile(r"^\s*(\d+): ?(.*)$", re.DOTALL)


def tool_events(part: JsonObject, child: str | None) -> list[ToolStarted | ToolFinished]:
    """Turn a tool part into its start and, when it is over, its end.

    The part's own id is the tool's id: a call's id comes from the model and may come again.
    """
    state = object_of(part, "state")
    started = ToolStarted(
        tool_id=text_of(part, "id"),
        tool=text_of(part, "tool"),
        input_json=orjson.dumps(object_of(state, "input")).decode(),
        title=text_of(state, "title") or None,
        child=child,
    )
    match text_of(state, "status"):
        case "completed":
            return [started, _finished(started, state)]
        case "error":
            error = text_of(state, "error") or "The tool failed and gave no reason."
            return [
                started,
                ToolFinished(started.tool_id, started.tool, error, ok=False, child=child),
            ]
        case _:
            return [started]


def child_session(part: JsonObject) -> str | None:
    """Return the session that a `task` tool works in."""
    state = object_of(part, "state")
    return text_of(object_of(state, "metadata"), "sessionId") or None


_ABORTED: Final = "User aborted the command\n</shell_metadata>"


def _finished(started: ToolStarted, state: JsonObject) -> ToolFinished:
    metadata = object_of(state, "metadata")
    parse = _PARSERS.get(started.tool.lower())
    return ToolFinished(
        tool_id=started.tool_id,
        tool=started.tool,
        output=text_of(state, "output"),
        # A call of an unknown tool, or with wrong arguments, ends as a completed `invalid`; a
        # command that a person stopped ends as completed too, and says so in its output.
        ok=started.tool != "invalid" and _ABORTED not in text_of(state, "output")[-200:],
        parsed=parse(state, metadata) if parse else None,
        diff=text_of(metadata, "diff") or None,
        child=started.child,
    )


def _parse_read(state: JsonObject, metadata: JsonObject) -> JsonObject | None:
    display = object_of(metadata, "display")
    match text_of(display, "type"):
        case "file":
            first = int(number_of(display, "lineStart")) or 1
            texts = text_of(display, "text").split("\n") if display.get("lineEnd") else []
            total = int(number_of(display, "totalLines"))
            kind = "file"
        case "directory":
            first = int(number_of(display, "offset")) or 1
            texts = texts_of(display, "entries")
            total = int(number_of(display, "totalEntries"))
            kind = "directory"
        case _:
            return _parse_read_output(text_of(state, "output"))
    lines: list[Json] = [{"n": n, "text": text} for n, text in enumerate(texts, first)]
    path = text_of(display, "path")
    return {"path": path, "fileType": kind, "lines": lines, "totalLines": total or len(lines)}


def _parse_read_output(output: str) -> JsonObject | None:
    """Read the text that the model gets, where a release gives no structured form of it."""
    path = _between(output, "<path>", "</path>")
    kind = _between(output, "<type>", "</type>")
    if path is None or kind not in ("file", "directory"):
        return None
    tag = "content" if kind == "file" else "entries"
    body = (_between(output, f"<{tag}>\n", f"\n</{tag}>") or "").split("\n")
    lines: list[Json] = []
    for n, line in enumerate(body, 1):
        numbered = _NUMBERED_LINE.match(line)
        if kind == "file" and numbered:
            lines.append({"n": int(numbered[1]), "text": numbered[2]})
        elif kind == "directory" and line and not line.startswith("("):
            lines.append({"n": n, "text": line})
    total = re.search(r"total (\d+) lines|of (\d+)|\((\d+) entries\)", output)
    count = next((int(group) for group in total.groups() if group), 0) if total else 0
    return {"path": path, "fileType": kind, "lines": lines, "totalLines": count or len(lines)}


def _parse_glob(state: JsonObject, metadata: JsonObject) -> JsonObject:
    if metadata.get("count") == 0:
        return {"paths": []}
    paths: list[Json] = []
    for line in text_of(state, "output").split("\n"):
        # A blank line ends the list; a remark on truncation may follow.
        if not line.strip():
            break
        if line != "No files found":
            paths.append(line)
    return {"paths": paths}


def _between(text: str, start: str, end: str) -> str | None:
    _, found, rest = text.partition(start)
    inner, closed, _ = rest.partition(end)
    return inner if found and closed else None


_PARSERS: Final[Mapping[str, Callable[[JsonObject, JsonObject], JsonObject | None]]] = {
    "read": _parse_read,
    "glob": _parse_glob,
}
