"""An ACP agent's tool calls as platform events."""

import difflib
from typing import Final

import orjson

from cattery.events.model import ToolFinished, ToolStarted
from cattery.harnesses.frames import object_of, objects_of, text_of
from cattery.jsontypes import Json, JsonObject

_ENDS: Final = frozenset({"completed", "failed"})
_MAX_TITLE: Final = 200


def tool_events(tool_id: str, call: JsonObject) -> list[ToolStarted | ToolFinished]:
    """Return what is known of a call from all its updates so far, put together."""
    tool = tool_name(call)
    given: Json = call.get("rawInput")
    if given is None:
        given = {"locations": call["locations"]} if call.get("locations") else {}
    started = ToolStarted(
        tool_id,
        tool,
        orjson.dumps(given).decode(),
        title=" ".join(text_of(call, "title").split())[:_MAX_TITLE] or None,
    )
    if text_of(call, "status") not in _ENDS:
        return [started]
    ok = text_of(call, "status") == "completed"
    return [started, ToolFinished(tool_id, tool, output_of(call), ok=ok, diff=diff_of(call))]


def tool_name(call: JsonObject) -> str:
    """Name the tool: ACP has a kind (`edit`, `execute`, …) and a title, but no name."""
    return text_of(call, "kind") or "tool"


def output_of(call: JsonObject) -> str:
    """Return what the call came to, as text."""
    shown = [_block(block) for block in objects_of(call, "content")]
    text = "\n".join(line for line in shown if line)
    raw = call.get("rawOutput")
    if text or raw is None:
        return text
    if isinstance(raw, str):
        return raw
    if isinstance(raw, dict):
        for name in ("formatted_output", "aggregated_output", "output", "stdout", "error"):
            if text_of(raw, name):
                return text_of(raw, name)
    return orjson.dumps(raw).decode()


def diff_of(call: JsonObject) -> str | None:
    """Return a unified diff of all files that the call says it has changed."""
    changes = [block for block in objects_of(call, "content") if text_of(block, "type") == "diff"]
    return "".join(map(_unified, changes)) or None


def _block(block: JsonObject) -> str:
    match text_of(block, "type"):
        case "content":
            content = object_of(block, "content")
            return text_of(content, "text") or f"[{text_of(content, 'type') or 'content'}]"
        case "diff":
            return f"Changed {text_of(block, 'path')}"
        case "terminal":
            return ""
        case kind:
            return f"[{kind or 'content'}]"


def _unified(change: JsonObject) -> str:
    path, old = text_of(change, "path"), change.get("oldText")
    before = old.splitlines(keepends=True) if isinstance(old, str) else []
    after = text_of(change, "newText").splitlines(keepends=True)
    source = path if isinstance(old, str) else "/dev/null"
    lines = []
    for line in difflib.unified_diff(before, after, source, path):
        ends = line.endswith("\n")
        lines.append(line if ends else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines)
