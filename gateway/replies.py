"""What the gateway writes back to a sandbox, whichever model the answer comes from.

It knows how far an answer has got, and so how a failure can still be told: before the first byte
as an error response, after it as an error event at the end of the stream.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from cattery.catalog import ModelFamily
from gateway.endpoints import Endpoint
from gateway.error_shapes import error_body, error_events
from gateway.exchanges import Exchange
from gateway.failures import GatewayError

CLIENT_STALL_SECONDS = 60.0
"""A client that does not read for this long is given up, and its request to the model with it."""

MAX_LINE_BYTES = 1024 * 1024
"""A line of a stream that is longer goes out before it is complete."""

_TAIL_BYTES = 2048
_FAREWELL_SECONDS = 2.0
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_JSON: Mapping[str, str] = {"Content-Type": "application/json"}


class ClientStalledError(GatewayError):
    """The client reads nothing any more: there is nobody to tell."""

    status = 408
    code: ClassVar[str] = "client_stalled"

    def __init__(self) -> None:
        super().__init__("The client stopped reading the answer.")


class Reply:
    """The answer to one request: either `send` once, or `start`, `write`…, `finish`."""

    def __init__(self, request: web.Request, endpoint: Endpoint, exchange: Exchange) -> None:
        self._request = request
        self._endpoint = endpoint
        self._exchange = exchange
        self._stream: web.StreamResponse | None = None
        self.response: web.StreamResponse | None = None
        """The answer, as far as there is one."""
        self.tail = b""
        """The last bytes written to the stream."""
        self._unfinished = b""
        self.bytes_written = 0

    def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer with a whole body."""
        self.bytes_written = len(body)
        self.response = web.Response(status=status, headers=headers, body=body)

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begin an event stream; every `write` goes out at once."""
        self._stream = self.response = web.StreamResponse(status=status, headers=headers)
        self._stream.headers["X-Accel-Buffering"] = "no"
        await self._stream.prepare(self._request)

    async def write(self, chunk: bytes) -> None:
        """Pass a chunk of an event stream on, all but a last line that is not complete yet.

        Half a line is of no use to a client, and should the stream break there, no error event
        could follow it: opencode repeats the request for ever on JSON that it cannot parse.
        Waits for a client that reads slowly.
        """
        pending = self._unfinished + chunk if self._unfinished else chunk
        end = max(pending.rfind(b"\n"), pending.rfind(b"\r")) + 1
        if len(pending) - end > MAX_LINE_BYTES:
            end = len(pending)
        self._unfinished = pending[end:]
        if end:
            await self._write_out(pending[:end])

    async def finish(self) -> None:
        """Pass on what is left of a stream that ended in good order."""
        if self._unfinished:
            await self._write_out(self._unfinished)
            self._unfinished = b""

    async def fail(self, error: GatewayError) -> None:
        """Tell the client of a failure in the way that is still open.

        Never raises for a client that is gone; a client that reads nothing is cut off.
        """
        if self._stream is None:
            self.response = error_response(self._endpoint.family, error)
            return
        if isinstance(error, ClientStalledError):
            self._cut_off()
            return
        mid_event = bool(self.tail) and not self.tail.endswith(_EVENT_ENDS)
        events = error_events(self._endpoint.operation, error, mid_event=mid_event)
        try:
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await self._stream.write(events)
                await self._stream.write_eof()
        except (TimeoutError, ConnectionError):
            self._cut_off()

    async def _write_out(self, chunk: bytes) -> None:
        if self._stream is None:
            raise RuntimeError("write() before start()")
        self._exchange.expect(CLIENT_STALL_SECONDS, ClientStalledError())
        await self._stream.write(chunk)
        self.bytes_written += len(chunk)
        self.tail = (self.tail + chunk)[-_TAIL_BYTES:]

    def _cut_off(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


def error_response(family: ModelFamily | None, error: GatewayError) -> web.Response:
    """Build the response of a failure before the first byte.

    `x-should-retry` is what the providers' own SDKs obey before any rule of theirs.
    """
    headers = dict(_JSON)
    if error.permanent:
        headers["x-should-retry"] = "false"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return web.Response(status=error.status, headers=headers, body=error_body(family, error))
