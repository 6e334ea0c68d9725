"""The Anthropic Messages format: reading a request, writing an answer, streamed or whole."""

from collections.abc import Iterator, Sequence

import orjson

from cattery.jsontypes import Json, JsonObject
from gateway.demo.conversation import (
    Conversation,
    ConversationReader,
    as_object,
    as_objects,
    as_text,
)
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

_SIGNATURE = "ZGVtbw=="
"""Thinking must be signed; this model has nothing to prove."""


def read_conversation(body: JsonObject) -> Conversation:
    """Read a request of `POST /v1/messages`."""
    reader = ConversationReader()
    reader.add_system(as_text(body.get("system")))
    for tool in as_objects(body.get("tools")):
        reader.add_tool(as_text(tool.get("name")), tool.get("input_schema"))
    for message in as_objects(body.get("messages")):
        if message.get("role") == "assistant":
            _read_calls(reader, message.get("content"))
        else:
            _read_user(reader, message.get("content"))
    return reader.finish()


def stream_answer(parts: Sequence[Part], head: AnswerHead) -> Iterator[Frame]:
    """Yield the answer's events, from `message_start` to `message_stop`."""
    yield _event("message_start", {"message": _message(head, [], stop_reason=None, output=1)})
    output = 0
    for index, part in enumerate(parts):
        block = _empty_block(part, head, index)
        yield _event("content_block_start", {"index": index, "content_block": block})
        for delta in _deltas(part):
            output += count_tokens(orjson.dumps(delta).decode())
            yield _event("content_block_delta", {"index": index, "delta": delta}, is_delta=True)
        yield _event("content_block_stop", {"index": index})
    stop: JsonObject = {"stop_reason": _stop_reason(parts), "stop_sequence": None}
    yield _event("message_delta", {"delta": stop, "usage": {"output_tokens": output}})
    yield _event("message_stop", {})


def whole_answer(parts: Sequence[Part], head: AnswerHead) -> JsonObject:
    """Return the answer of a request without `stream`."""
    blocks: list[Json] = [_full_block(part, head, index) for index, part in enumerate(parts)]
    output = count_tokens(orjson.dumps(blocks).decode())
    return _message(head, blocks, stop_reason=_stop_reason(parts), output=output)


def _read_calls(reader: ConversationReader, content: Json) -> None:
    for block in as_objects(content):
        if block.get("type") == "tool_use":
            reader.add_call(
                as_text(block.get("id")), as_text(block.get("name")), as_object(block.get("input"))
            )


def _read_user(reader: ConversationReader, content: Json) -> None:
    """Read a user's message: words, results of tools, or both.

    After a turn that was stopped in a tool, the result and the next prompt come in one message;
    a harness's own remark beside results is taken away by the reader.
    """
    blocks = as_objects(content)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    for block in results:
        reader.add_result(
            as_text(block.get("tool_use_id")),
            as_text(block.get("content")),
            is_error=block.get("is_error") is True,
        )
    if isinstance(content, str):
        reader.add_prompt(content)
    else:
        reader.add_prompt(as_text([b for b in blocks if b.get("type") == "text"]))


def _message(
    head: AnswerHead, content: list[Json], *, stop_reason: str | None, output: int
) -> JsonObject:
    usage: JsonObject = {
        "input_tokens": head.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
    return {
        "id": f"msg_{head.key[:24]}",
        "type": "message",
        "role": "assistant",
        "model": head.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }


def _stop_reason(parts: Sequence[Part]) -> str:
    return "tool_use" if any(isinstance(part, ToolUse) for part in parts) else "end_turn"


def _empty_block(part: Part, head: AnswerHead, index: int) -> JsonObject:
    match part:
        case Text():
            return {"type": "text", "text": ""}
        case Thinking():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolUse(name=name):
            return {"type": "tool_use", "id": _tool_id(head, index), "name": name, "input": {}}


def _full_block(part: Part, head: AnswerHead, index: int) -> JsonObject:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Thinking(text=text):
            return {"type": "thinking", "thinking": text, "signature": _SIGNATURE}
        case ToolUse(arguments=arguments):
            return {**_empty_block(part, head, index), "input": arguments}


def _deltas(part: Part) -> Iterator[JsonObject]:
    match part:
        case Text(text=text):
            for piece in split_words(text):
                yield {"type": "text_delta", "text": piece}
        case Thinking(text=text):
            for piece in split_words(text):
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": _SIGNATURE}
        case ToolUse(arguments=arguments):
            for piece in split_arguments(orjson.dumps(arguments).decode()):
                yield {"type": "input_json_delta", "partial_json": piece}


def _tool_id(head: AnswerHead, index: int) -> str:
    return f"toolu_{head.key[:20]}{index:02}"


def _event(name: str, data: JsonObject, *, is_delta: bool = False) -> Frame:
    payload = orjson.dumps({"type": name, **data})
    return Frame(b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n", is_delta)
