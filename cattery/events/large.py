"""Keeps events small: long texts in pieces, and what a tool took or gave stored whole beside it.

Each event is sent to every watcher, and read again by everybody who comes later; one of megabytes
would hold all of them up. A text over the limit is several events. Of a tool call's input or
output the event has the beginning, and `large` says where the whole is: `{digest, bytes}`, the
digest of its JSON, so that the same is stored once. Pure.
"""

from collections.abc import Sequence
from hashlib import sha256

import orjson

from cattery.events.model import EventType, NewEvent
from cattery.jsontypes import Json, JsonObject

MAX_BYTES = 256 * 1024
"""Of an event's data as JSON, over which it is stored beside the log."""
PREVIEW = 32 * 1024
"""Letters of each text that the event keeps."""
PIECE = 64 * 1024
"""Letters of a text that one event carries at most."""

_TOOLS = frozenset({EventType.TOOL_START, EventType.TOOL_DONE})
_TEXTS = frozenset({EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING, EventType.MESSAGE_RESET})


def keep_small(events: Sequence[NewEvent]) -> list[NewEvent]:
    """Return the same events, each small enough for every watcher."""
    kept: list[NewEvent] = []
    for event in events:
        if event.type in _TEXTS:
            kept += _in_pieces(event)
        elif event.type in _TOOLS:
            kept.append(_with_preview(event))
        else:
            kept.append(event)
    return kept


def digest_if_large(data: JsonObject) -> str | None:
    """Return the digest under which an event's data is stored; `None` where it is small.

    An event as the log has it gives the same as the whole that it stands for.
    """
    match data.get("large"):
        case {"digest": str() as digest}:
            return digest
    try:
        encoded = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None  # no JSON: the writer refuses it, with words
    return sha256(encoded).hexdigest() if len(encoded) > MAX_BYTES else None


def _in_pieces(event: NewEvent) -> list[NewEvent]:
    """Cut a long text: the first piece is of the event's own type, what follows is appended."""
    text = str(event.data["text"])
    if len(text) <= PIECE:
        return [event]
    start = event.data.get("offset", 0)
    first = start if isinstance(start, int) else 0
    pieces = [NewEvent(event.type, {**event.data, "text": text[:PIECE]}, event.dedupe_key)]
    kind, data = event.type, dict(event.data)
    if kind is EventType.MESSAGE_RESET:
        thinking = data.pop("thinking", False)
        kind = EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA
    for at in range(PIECE, len(text), PIECE):
        more = {**data, "text": text[at : at + PIECE], "offset": first + at}
        pieces.append(NewEvent(kind, more))
    return pieces


def _with_preview(event: NewEvent) -> NewEvent:
    digest = digest_if_large(event.data)
    if digest is None or "large" in event.data:
        return event
    preview: dict[str, Json] = {}
    for name, value in event.data.items():
        if isinstance(value, str):
            preview[name] = value[:PREVIEW]
        elif len(orjson.dumps(value)) <= PREVIEW:
            preview[name] = value
    preview["large"] = {"digest": digest, "bytes": len(orjson.dumps(event.data))}
    return NewEvent(event.type, preview, event.dedupe_key, whole=event.data)
