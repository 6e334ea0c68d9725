"""The event stream: server-sent events of all sessions, with ids that a client can go on from."""

import asyncio
import json

from aiohttp import web

from bridges.contract.ring import BehindError, EventRing

HEARTBEAT_SECONDS = 8.0
"""The platform takes a stream for dead after 30 s of silence."""
BATCH = 256


async def serve_events(request: web.Request, ring: EventRing) -> web.StreamResponse:
    """Send `server.connected` at once, then events as they come; ends when the client goes.

    With `Last-Event-ID` of an event that is still kept, what followed it comes first, and
    `server.connected` says `replayed: true`. A client that falls behind what is kept is cut off:
    it has to compare with the history anyway.
    """
    wanted = request.headers.get("Last-Event-ID")
    known = ring.find(wanted) if wanted else None
    position = ring.last if known is None else known
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    try:
        await response.write(_own({"type": "server.connected", "replayed": known is not None}))
        while True:
            events = await ring.read_after(position, limit=BATCH, timeout=HEARTBEAT_SECONDS)
            if not events:
                await response.write(_own({"type": "server.heartbeat"}))
                continue
            lines = [
                b"id: " + ring.name(number).encode() + b"\ndata: " + data + b"\n\n"
                for number, data in enumerate(events, position + 1)
            ]
            position += len(events)
            await response.write(b"".join(lines))
    except (BehindError, ConnectionError, asyncio.IncompleteReadError):
        return response


def _own(frame: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(frame).encode() + b"\n\n"
