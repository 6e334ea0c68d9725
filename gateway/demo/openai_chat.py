"""The OpenAI Chat Completions format: reading a request, writing an answer, streamed or whole."""

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


def read_conversation(body: JsonObject) -> Conversation:
    """Read a request of `POST /v1/chat/completions`."""
    reader = ConversationReader()
    for tool in as_objects(body.get("tools")):
        function = as_object(tool.get("function"))
        reader.add_tool(as_text(function.get("name")), function.get("parameters"))
    for message in as_objects(body.get("messages")):
        _read_message(reader, message)
    return reader.finish()


def wants_usage(body: JsonObject) -> bool:
    """Tell whether a stream shall end with a chunk that counts tokens."""
    return as_object(body.get("stream_options")).get("include_usage") is True


def stream_answer(
    parts: Sequence[Part], head: AnswerHead, *, with_usage: bool = False
) -> Iterator[Frame]:
    """Yield the answer's chunks, the last of them `[DONE]`."""
    yield _chunk(head, {"role": "assistant", "content": ""})
    output = 0
    tool_index = 0
    for index, part in enumerate(parts):
        for delta in _deltas(part, head, index, tool_index):
            output += count_tokens(orjson.dumps(delta).decode())
            yield _chunk(head, delta, is_delta=True)
        tool_index += isinstance(part, ToolUse)
    yield _chunk(head, {}, finish_reason=_finish_reason(parts))
    if with_usage:
        yield _data({**_frame_of(head), "choices": [], "usage": _usage(head, output)})
    yield Frame(b"data: [DONE]\n\n")


def whole_answer(parts: Sequence[Part], head: AnswerHead) -> JsonObject:
    """Return the answer of a request without `stream`."""
    message: JsonObject = {
        "role": "assistant",
        "content": "".join(part.text for part in parts if isinstance(part, Text)),
    }
    thinking = "".join(part.text for part in parts if isinstance(part, Thinking))
    if thinking:
        message["reasoning_content"] = thinking
    calls: list[Json] = [
        _call(part, head, index) for index, part in enumerate(parts) if isinstance(part, ToolUse)
    ]
    if calls:
        message["tool_calls"] = calls
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": _finish_reason(parts)}
    return {
        **_frame_of(head),
        "object": "chat.completion",
        "choices": [choice],
        "usage": _usage(head, count_tokens(orjson.dumps(message).decode())),
    }


def _read_message(reader: ConversationReader, message: JsonObject) -> None:
    text = as_text(message.get("content"))
    match message.get("role"):
        case "system" | "developer":
            reader.add_system(text)
        case "user":
            reader.add_prompt(text)
        case "assistant":
            for call in as_objects(message.get("tool_calls")):
                function = as_object(call.get("function"))
                arguments = parse_arguments(as_text(function.get("arguments")))
                reader.add_call(as_text(call.get("id")), as_text(function.get("name")), arguments)
        case "tool":
            reader.add_result(as_text(message.get("tool_call_id")), text)


def parse_arguments(text: str) -> JsonObject:
    """Read a tool call's arguments, which travel as JSON inside of a string."""
    try:
        return as_object(orjson.loads(text))
    except orjson.JSONDecodeError:
        return {}


def _deltas(part: Part, head: AnswerHead, index: int, tool_index: int) -> Iterator[JsonObject]:
    match part:
        case Text(text=text):
            for piece in split_words(text):
                yield {"content": piece}
        case Thinking(text=text):
            for piece in split_words(text):
                yield {"reasoning_content": piece}
        case ToolUse(arguments=arguments):
            opening = _call(part, head, index, arguments="")
            yield {"tool_calls": [{"index": tool_index, **opening}]}
            for piece in split_arguments(orjson.dumps(arguments).decode()):
                yield {"tool_calls": [{"index": tool_index, "function": {"arguments": piece}}]}


def _call(part: ToolUse, head: AnswerHead, index: int, arguments: str | None = None) -> JsonObject:
    text = orjson.dumps(part.arguments).decode() if arguments is None else arguments
    return {
        "id": f"call_{head.key[:20]}{index:02}",
        "type": "function",
        "function": {"name": part.name, "arguments": text},
    }


def _finish_reason(parts: Sequence[Part]) -> str:
    return "tool_calls" if any(isinstance(part, ToolUse) for part in parts) else "stop"


def _usage(head: AnswerHead, output: int) -> JsonObject:
    return {
        "prompt_tokens": head.input_tokens,
        "completion_tokens": output,
        "total_tokens": head.input_tokens + output,
    }


def _frame_of(head: AnswerHead) -> JsonObject:
    return {
        "id": f"chatcmpl-{head.key[:24]}",
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
    }


def _chunk(
    head: AnswerHead,
    delta: JsonObject,
    *,
    finish_reason: str | None = None,
    is_delta: bool = False,
) -> Frame:
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _data({**_frame_of(head), "choices": [choice]}, is_delta=is_delta)


def _data(data: JsonObject, *, is_delta: bool = False) -> Frame:
    return Frame(b"data: " + orjson.dumps(data) + b"\n\n", is_delta)
