"""Renders a failure as the provider's own clients expect it, as a response or inside a stream."""

from typing import Final

import orjson

from cattery.catalog import ModelFamily
from cattery.jsontypes import JsonObject
from gateway.endpoints import Operation
from gateway.failures import GatewayError

_END_PARTIAL_EVENT: Final = b"\n\n"


def error_body(family: ModelFamily | None, error: GatewayError) -> bytes:
    """Render an error response's body.

    Anthropic's is `{"type": "error", "error": {…}}`, OpenAI's `{"error": {…}}` with a code. On a
    path that belongs to neither, one body serves both.
    """
    return orjson.dumps(_anthropic(error) if family is ModelFamily.ANTHROPIC else _openai(error))


def error_events(operation: Operation, error: GatewayError, *, mid_event: bool) -> bytes:
    """Render the event(s) that end a stream which has already begun.

    Args:
        operation: decides the wire format of the stream.
        error: what ended it.
        mid_event: whether the lines so far stop inside an event, which must be closed first.
    """
    lead = _END_PARTIAL_EVENT if mid_event else b""
    match operation:
        case Operation.CHAT:
            return lead + _event(None, _openai(error))
        case Operation.RESPONSES:
            return lead + _responses_events(error)
        case _:
            return lead + _event("error", _anthropic(error))


def _anthropic(error: GatewayError) -> JsonObject:
    return {"type": "error", "error": {"type": error.kind, "message": error.message}}


def _openai(error: GatewayError) -> JsonObject:
    details: JsonObject = {
        "message": error.message,
        "type": error.kind,
        "param": None,
        "code": error.code,
    }
    return {"error": details}


def _responses_events(error: GatewayError) -> bytes:
    """End a Responses stream twice over: some clients read `error`, others `response.failed`.

    The published `error` event has its fields at the top; clients in use look for them under
    `error` as well, so they stand in both places.
    """
    failed: JsonObject = {
        "id": "resp_gateway",
        "object": "response",
        "status": "failed",
        "output": [],
        "error": {"code": error.code, "message": error.message},
        "incomplete_details": None,
    }
    return _event(
        "error",
        {
            "type": "error",
            "sequence_number": _LAST,
            "code": error.code,
            "message": error.message,
            "param": None,
            **_openai(error),
        },
    ) + _event(
        "response.failed",
        {"type": "response.failed", "sequence_number": _LAST + 1, "response": failed},
    )


_LAST: Final = 1_000_000_000
"""A sequence number after every one that a model may have sent."""


def _event(name: str | None, data: JsonObject) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + orjson.dumps(data) + b"\n\n"
