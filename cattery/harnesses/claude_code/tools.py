"""Claude Code's tool calls as platform events, with what the contract wants parsed of them."""

from collections.abc import Callable, Mapping
from typing import Final

import orjson

from cattery.events.model import TodosUpdated, ToolFinished, ToolStarted
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of, texts_of
from cattery.jsontypes import Json, JsonObject

QUESTION_TOOL: Final = "AskUserQuestion"
"""Shown as the bridge's question, not as a tool."""
AGENT_TOOLS: Final = frozenset({"Agent", "Task"})
TODO_TOOL: Final = "TodoWrite"
_ERROR_START, _ERROR_END = "<tool_use_error>", "</tool_use_error>"
_TITLES: Final = ("description", "command", "file_path", "notebook_path", "pattern", "url", "query")
_MAX_TITLE: Final = 200


def started(tool_id: str, block: JsonObject, child: str | None) -> ToolStarted:
    """Turn a `tool_use` block into a tool's start."""
    given = object_of(block, "input")
    title = next((text_of(given, name) for name in _TITLES if text_of(given, name)), "")
    return ToolStarted(
        tool_id=tool_id,
        tool=text_of(block, "name"),
        input_json=orjson.dumps(given).decode(),
        title=" ".join(title.split())[:_MAX_TITLE] or None,
        child=child,
    )


def finished(call: ToolStarted, result: JsonObject, structured: JsonObject) -> ToolFinished:
    """Turn a `tool_result` block into a tool's end.

    `structured` is the same result in Claude Code's own form, which stands beside it.
    """
    parse = _PARSERS.get(call.tool.lower())
    ok = result.get("is_error") is not True
    return ToolFinished(
        tool_id=call.tool_id,
        tool=call.tool,
        output=output_of(result),
        ok=ok,
        parsed=parse(structured) if parse and ok else None,
        diff=_diff(structured),
        child=call.child,
    )


def is_launch(structured: JsonObject) -> bool:
    """Tell whether a result only says that a sub-agent was started in the background."""
    return structured.get("isAsync") is True or text_of(structured, "status") == "async_launched"


def output_of(result: JsonObject) -> str:
    """Return a result's text; what is no text is named."""
    content = result.get("content")
    if isinstance(content, str):
        text = content
    else:
        text = "\n".join(
            text_of(block, "text") or f"[{text_of(block, 'type') or 'content'}]"
            for block in objects_of(result, "content")
        )
    bare = text.strip()
    if bare.startswith(_ERROR_START) and bare.endswith(_ERROR_END):
        return bare.removeprefix(_ERROR_START).removesuffix(_ERROR_END)
    return text


def todos_of(given: JsonObject) -> TodosUpdated:
    """Read the whole list out of the input of `TodoWrite`."""
    todos = objects_of(given, "todos")
    return TodosUpdated(tuple((text_of(t, "content"), text_of(t, "status")) for t in todos))


def _diff(structured: JsonObject) -> str | None:
    """Build a unified diff; a new file, which has no hunks, is shown as added lines."""
    path = text_of(structured, "filePath")
    hunks = objects_of(structured, "structuredPatch")
    if not path or "structuredPatch" not in structured:
        return None
    if not hunks:
        return _new_file(path, structured)
    lines = [f"--- {path}", f"+++ {path}"]
    for hunk in hunks:
        old, new = (
            f"{int(number_of(hunk, f'{side}Start'))},{int(number_of(hunk, f'{side}Lines'))}"
            for side in ("old", "new")
        )
        lines += [f"@@ -{old} +{new} @@", *texts_of(hunk, "lines")]
    return "\n".join(lines) + "\n"


def _new_file(path: str, structured: JsonObject) -> str | None:
    content = text_of(structured, "content")
    if text_of(structured, "type") != "create" or not content:
        return None
    added = content.split("\n")
    ends = added[-1] == ""
    added = added[:-1] if ends else added
    head = ["--- /dev/null", f"+++ {path}", f"@@ -0,0 +1,{len(added)} @@"]
    last = [] if ends else ["\\ No newline at end of file"]
    return "\n".join([*head, *(f"+{line}" for line in added), *last]) + "\n"


def _parse_read(structured: JsonObject) -> JsonObject | None:
    file = object_of(structured, "file")
    if text_of(structured, "type") != "text" or not text_of(file, "filePath"):
        return None
    first = int(number_of(file, "startLine")) or 1
    texts = text_of(file, "content").split("\n") if number_of(file, "numLines") else []
    lines: list[Json] = [{"n": n, "text": text} for n, text in enumerate(texts, first)]
    return {
        "path": text_of(file, "filePath"),
        "fileType": "file",
        "lines": lines,
        "totalLines": int(number_of(file, "totalLines")) or len(lines),
    }


def _parse_glob(structured: JsonObject) -> JsonObject | None:
    if not isinstance(structured.get("filenames"), list):
        return None
    paths: list[Json] = [*texts_of(structured, "filenames")]
    return {"paths": paths}


_PARSERS: Final[Mapping[str, Callable[[JsonObject], JsonObject | None]]] = {
    "read": _parse_read,
    "glob": _parse_glob,
}
