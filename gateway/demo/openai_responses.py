"""The OpenAI Responses format: reading a request, writing an answer, streamed or whole."""

from collections.abc import Iterator, Sequence

import orjson

from cattery.jsontypes import Json, JsonObject
from gateway.demo.conversation import (
    Conversation,
    ConversationReader,
    as_objects,
    as_text,
)
from gateway.demo.openai_chat import parse_arguments
from gateway.demo.parts import (
    AnswerHead,
    Frame,
    Part,
    Text,
    Thinking,
    ToolUse,
    count_tokens,
    split_arguments,
    split_words,
)


def read_conversation(body: JsonObject) -> Conversation:
    """Read a request of `POST /v1/responses`."""
    reader = ConversationReader()
    reader.add_system(as_text(body.get("instructions")))
    for tool in as_objects(body.get("tools")):
        reader.add_tool(as_text(tool.get("name")), tool.get("parameters"))
    given = body.get("input")
    if isinstance(given, str):
        reader.add_prompt(given)
    for item in as_objects(given):
        _read_item(reader, item)
    return reader.finish()


def stream_answer(parts: Sequence[Part], head: AnswerHead) -> Iterator[Frame]:
    """Yield the answer's events, from `response.created` to `response.completed`."""
    events = _Events()
    yield events.make("response.created", {"response": _response(head, "in_progress", [])})
    yield events.make("response.in_progress", {"response": _response(head, "in_progress", [])})
    for index, part in enumerate(parts):
        added: JsonObject = {"output_index": index, "item": _item(part, head, index, done=False)}
        yield events.make("response.output_item.added", added)
        yield from _inner_events(events, part, head, index)
        done: JsonObject = {"output_index": index, "item": _item(part, head, index, done=True)}
        yield events.make("response.output_item.done", done)
    yield events.make("response.completed", {"response": whole_answer(parts, head)})


def whole_answer(parts: Sequence[Part], head: AnswerHead) -> JsonObject:
    """Return the answer of a request without `stream`."""
    items: list[Json] = [_item(part, head, index, done=True) for index, part in enumerate(parts)]
    output = count_tokens(orjson.dumps(items).decode())
    usage: JsonObject = {
        "input_tokens": head.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": head.input_tokens + output,
    }
    return {**_response(head, "completed", items), "usage": usage}


class _Events:
    """Numbers the events of one stream."""

    def __init__(self) -> None:
        self._number = 0

    def make(self, name: str, data: JsonObject, *, is_delta: bool = False) -> Frame:
        payload = orjson.dumps({"type": name, "sequence_number": self._number, **data})
        self._number += 1
        return Frame(b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n", is_delta)


def _read_item(reader: ConversationReader, item: JsonObject) -> None:
    kind = as_text(item.get("type")) or "message"
    if kind == "message" and item.get("role") == "user":
        reader.add_prompt(as_text(item.get("content")))
    elif kind == "message" and item.get("role") in {"developer", "system"}:
        reader.add_system(as_text(item.get("content")))
    elif kind == "function_call":
        arguments = parse_arguments(as_text(item.get("arguments")))
        reader.add_call(as_text(item.get("call_id")), as_text(item.get("name")), arguments)
    elif kind.endswith("_output"):
        reader.add_result(as_text(item.get("call_id")), as_text(item.get("output")))


def _response(head: AnswerHead, status: str, output: list[Json]) -> JsonObject:
    return {
        "id": f"resp_{head.key[:24]}",
        "object": "response",
        "created_at": head.created,
        "model": head.model,
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tools": [],
        "error": None,
        "incomplete_details": None,
    }


def _inner_events(events: _Events, part: Part, head: AnswerHead, index: int) -> Iterator[Frame]:
    match part:
        case Text():
            return _text_events(events, part, head, index)
        case Thinking():
            return _thinking_events(events, part, head, index)
        case ToolUse():
            return _call_events(events, part, head, index)


def _text_events(events: _Events, part: Text, head: AnswerHead, index: int) -> Iterator[Frame]:
    at: JsonObject = {"item_id": _id("msg", head, index), "output_index": index, "content_index": 0}
    yield events.make("response.content_part.added", {**at, "part": _output_text("")})
    for piece in split_words(part.text):
        yield events.make("response.output_text.delta", {**at, "delta": piece}, is_delta=True)
    yield events.make("response.output_text.done", {**at, "text": part.text})
    yield events.make("response.content_part.done", {**at, "part": _output_text(part.text)})


def _thinking_events(
    events: _Events, part: Thinking, head: AnswerHead, index: int
) -> Iterator[Frame]:
    at: JsonObject = {"item_id": _id("rs", head, index), "output_index": index, "summary_index": 0}
    prefix = "response.reasoning_summary_"
    yield events.make(f"{prefix}part.added", {**at, "part": _summary_text("")})
    for piece in split_words(part.text):
        yield events.make(f"{prefix}text.delta", {**at, "delta": piece}, is_delta=True)
    yield events.make(f"{prefix}text.done", {**at, "text": part.text})
    yield events.make(f"{prefix}part.done", {**at, "part": _summary_text(part.text)})


def _call_events(events: _Events, part: ToolUse, head: AnswerHead, index: int) -> Iterator[Frame]:
    at: JsonObject = {"item_id": _id("fc", head, index), "output_index": index}
    arguments = orjson.dumps(part.arguments).decode()
    name = "response.function_call_arguments"
    for piece in split_arguments(arguments):
        yield events.make(f"{name}.delta", {**at, "delta": piece}, is_delta=True)
    yield events.make(f"{name}.done", {**at, "arguments": arguments})


def _item(part: Part, head: AnswerHead, index: int, *, done: bool) -> JsonObject:
    """Return an output item, empty when it is added and full when it is done."""
    status = "completed" if done else "in_progress"
    match part:
        case Text(text=text):
            return {
                "id": _id("msg", head, index),
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": [_output_text(text)] if done else [],
            }
        case Thinking(text=text):
            return {
                "id": _id("rs", head, index),
                "type": "reasoning",
                "summary": [_summary_text(text)] if done else [],
                "encrypted_content": None,
            }
        case ToolUse(name=name, arguments=arguments):
            return {
                "id": _id("fc", head, index),
                "type": "function_call",
                "status": status,
                "call_id": _id("call", head, index),
                "name": name,
                "arguments": orjson.dumps(arguments).decode() if done else "",
            }


def _output_text(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": []}


def _summary_text(text: str) -> JsonObject:
    return {"type": "summary_text", "text": text}


def _id(kind: str, head: AnswerHead, index: int) -> str:
    return f"{kind}_{head.key[:20]}{index:02}"
