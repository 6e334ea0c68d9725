"""The demo model behind the model port: reads a call, follows the script, streams the answer."""

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import timedelta

import orjson

from cattery.catalog import ALWAYS_KNOWN, ModelFamily, family_of
from cattery.clock import utc_now
from cattery.jsontypes import Json, JsonObject
from gateway.demo import anthropic_messages, openai_chat, openai_responses
from gateway.demo.conversation import as_text
from gateway.demo.parts import AnswerHead, Frame, count_tokens
from gateway.demo.script import decide
from gateway.endpoints import Operation
from gateway.failures import BadBodyError
from gateway.model_port import ModelCall
from gateway.replies import Reply

_JSON_HEADERS = {"Content-Type": "application/json", "X-Cattery-Model": "demo"}
_STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Cattery-Model": "demo",
}
_DEMO_MODEL_ID = "demo"


class DemoModel:
    """Answers both families' calls from a script, without network or key."""

    def __init__(self, pause: timedelta) -> None:
        self._pause = pause.total_seconds()

    async def answer(self, call: ModelCall, reply: Reply) -> None:
        """Write the script's answer in the call's wire format.

        Raises:
            BadBodyError: the body is not a JSON object.
        """
        operation = call.endpoint.operation
        if operation is Operation.MODELS:
            _send(reply, _models(call.endpoint.family, call.endpoint.model_id))
            return
        body = _parse(call.body)
        tokens = count_tokens(call.body.decode(errors="replace"))
        if operation is Operation.COUNT_TOKENS:
            _send(reply, {"input_tokens": tokens})
            return
        head = AnswerHead(
            model=as_text(body.get("model")) or _DEMO_MODEL_ID,
            key=hashlib.sha256(call.body).hexdigest(),
            created=int(utc_now().timestamp()),
            input_tokens=tokens,
        )
        if body.get("stream") is True:
            await self._stream(_frames(operation, body, head), reply)
        else:
            _send(reply, _whole(operation, body, head))

    async def _stream(self, frames: Iterator[Frame], reply: Reply) -> None:
        await reply.start(200, _STREAM_HEADERS)
        for frame in frames:
            if frame.is_delta:
                await asyncio.sleep(self._pause)
            await reply.write(frame.data)


def _frames(operation: Operation, body: JsonObject, head: AnswerHead) -> Iterator[Frame]:
    match operation:
        case Operation.CHAT:
            parts = decide(openai_chat.read_conversation(body))
            with_usage = openai_chat.wants_usage(body)
            return openai_chat.stream_answer(parts, head, with_usage=with_usage)
        case Operation.RESPONSES:
            parts = decide(openai_responses.read_conversation(body))
            return openai_responses.stream_answer(parts, head)
        case _:
            parts = decide(anthropic_messages.read_conversation(body))
            return anthropic_messages.stream_answer(parts, head)


def _whole(operation: Operation, body: JsonObject, head: AnswerHead) -> JsonObject:
    match operation:
        case Operation.CHAT:
            return openai_chat.whole_answer(decide(openai_chat.read_conversation(body)), head)
        case Operation.RESPONSES:
            parts = decide(openai_responses.read_conversation(body))
            return openai_responses.whole_answer(parts, head)
        case _:
            parts = decide(anthropic_messages.read_conversation(body))
            return anthropic_messages.whole_answer(parts, head)


def _parse(body: bytes) -> JsonObject:
    try:
        parsed: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadBodyError from None
    if not isinstance(parsed, dict):
        raise BadBodyError
    return parsed


def _models(family: ModelFamily, one: str | None) -> JsonObject:
    """List the models, or tell of one: every id is fine, as all of them are the same script."""
    if one is not None:
        return _model(one)
    ids = [_DEMO_MODEL_ID, *(m for m in ALWAYS_KNOWN if family_of(m) is family)]
    data: list[Json] = [_model(model_id) for model_id in ids]
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "first_id": ids[0],
        "last_id": ids[-1],
    }


def _model(model_id: str) -> JsonObject:
    """Describe a model in one object that both providers' clients read."""
    return {
        "id": model_id,
        "type": "model",
        "object": "model",
        "display_name": f"{model_id} (demo)",
        "created": 1_767_225_600,
        "created_at": "2026-01-01T00:00:00Z",
        "owned_by": "cattery",
    }


def _send(reply: Reply, body: JsonObject) -> None:
    reply.send(200, _JSON_HEADERS, orjson.dumps(body))
