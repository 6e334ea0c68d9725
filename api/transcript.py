"""Renders a session's history as Markdown that reads well. Pure."""

import re
from collections.abc import Iterator, Sequence

from cattery.db.harnesses import HarnessRecord
from cattery.db.sessions import SessionRecord
from cattery.events.history import HistoryMessage
from cattery.events.model import EventType, join_labels
from cattery.jsontypes import Json, JsonObject

MAX_OUTPUT = 4_000
"""Letters of a tool's output that a transcript shows."""


def render_transcript(
    session: SessionRecord, harness: HarnessRecord, messages: Sequence[HistoryMessage]
) -> str:
    """Write the head (which session, harness, model, when) and then every message."""
    title = " ".join((session.title or "Session").split())
    head = [
        f"# {title}",
        "",
        f"- Session: `{session.session_id}`",
        f"- Harness: {harness.harness_name or harness.harness_id} ({harness.type})",
        f"- Model: `{harness.model}`",
        f"- Begun: {session.created_at:%Y-%m-%d %H:%M} UTC",
    ]
    blocks = ["\n".join(head)]
    for message in messages:
        blocks.append("## You" if message.role == "user" else "## Agent")
        blocks.extend(block for event in message.events for block in _render(event))
    return "\n\n".join(blocks) + "\n"


def _render(event: JsonObject) -> Iterator[str]:
    data = event["data"]
    if not isinstance(data, dict):
        return
    match event["type"]:
        case EventType.MESSAGE_DELTA:
            yield str(data["text"]).strip()
        case EventType.MESSAGE_THINKING:
            yield _quote(str(data["text"]).strip())
        case EventType.TOOL_START:
            yield f"**Tool: {data['tool']}**\n\n{_fence(str(data['input']), 'json')}"
        case EventType.TOOL_DONE:
            yield from _render_output(data)
        case EventType.QUESTION_ASKED:
            yield from (f"**Question:** {_field(q, 'question')}" for q in _items(data, "questions"))
        case EventType.QUESTION_ANSWERED:
            yield from (_render_answer(answer) for answer in _items(data, "answers"))
        case EventType.SESSION_ERROR:
            yield f"**Error:** {data['message']}"
        case EventType.HARNESS_UNKNOWN:
            yield f"Unknown event `{data['frameType']}`:\n\n{_fence(str(data['preview']), 'json')}"
        case _:
            return


def _render_output(data: JsonObject) -> Iterator[str]:
    output = str(data["output"])
    if not output:
        return
    if len(output) > MAX_OUTPUT:
        output = f"{output[:MAX_OUTPUT]}\n… ({len(output) - MAX_OUTPUT:,} more characters)"
    label = "Failed" if data.get("ok") is False else "Output"
    yield f"{label}:\n\n{_fence(output, '')}"


def _render_answer(answer: JsonObject) -> str:
    labels = answer.get("selectedLabels")
    chosen = join_labels([str(label) for label in labels] if isinstance(labels, list) else [])
    notes = answer.get("notes")
    return f"**Answer:** {chosen}" + (f" — {notes}" if notes else "")


def _items(data: JsonObject, name: str) -> Iterator[JsonObject]:
    values: Json = data.get(name)
    if isinstance(values, list):
        yield from (value for value in values if isinstance(value, dict))


def _field(data: JsonObject, name: str) -> str:
    return str(data.get(name, ""))


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _fence(text: str, language: str) -> str:
    """Fence code with more backticks than the code itself has in a row."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"
