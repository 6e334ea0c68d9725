"""Event streams: what the three ways of watching a session have in common.

Each holds a subscription of the hub and nothing of the database. A stream outlives the request
that opened it, so it checks again that its reader may still read whenever the hub wakes it: within
the hub's `LOOK_AGAIN` of any change of rights it has ended.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import override

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.rights import StandingGrant
from cattery.errors import BadRequestError
from cattery.events.frames import STREAM_RESET, Frame
from cattery.events.hub import StreamHub
from cattery.events.model import EventType
from cattery.ids import SessionId

log = structlog.get_logger(__name__)

PING_EVERY = 15.0
MAX_BLOCKED = 30.0
"""Seconds for which a reader may take nothing of what was sent; then its stream is closed, and it
comes back with its last event when it can."""

SSE_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_PING = b": ping\n\n"
_RETRY = b"retry: 1000\n\n"


class EventStreamResponse(StreamingResponse):
    """An event stream that ends when its reader has left, or takes nothing for too long.

    Starlette's own way makes a task group a response, which takes a tenth of an idle stream's
    memory, and knows no reader that is there and takes nothing.
    """

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        end = _EarlyEnd()

        async def send_in_time(message: Message) -> None:
            end.begin_send()
            await send(message)
            end.end_send()

        listening = asyncio.create_task(end.when_left(receive))
        try:
            await self.stream_response(send_in_time)
        except asyncio.CancelledError:
            if not end.came():
                raise
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()  # its subscription ends now, not at collection
        finally:
            end.close()
            listening.cancel()


class _EarlyEnd:
    """Cancels the task that makes it when the reader leaves, or a send blocks for `MAX_BLOCKED`.

    One timer a stream: an `asyncio.timeout` around each send costs a tenth of a delivery.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._since: float | None = None
        self._has_come = False
        self._timer = self._loop.call_later(MAX_BLOCKED, self._look)

    async def when_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end()

    def begin_send(self) -> None:
        self._since = self._loop.time()

    def end_send(self) -> None:
        self._since = None

    def came(self) -> bool:
        """Tell whether a cancellation is ours, and then take it back."""
        return self._has_come and self._task is not None and self._task.uncancel() == 0

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        blocked = 0.0 if self._since is None else self._loop.time() - self._since
        if blocked >= MAX_BLOCKED:
            log.info("stream_reader_too_slow")
            self._end()
        else:
            self._timer = self._loop.call_later(MAX_BLOCKED - blocked, self._look)

    def _end(self) -> None:
        if self._task and not self._has_come:
            self._has_come = True
            self._task.cancel()


@dataclass(frozen=True, slots=True)
class SseStream:
    """One session's events as a server-sent event stream."""

    hub: StreamHub
    grant: StandingGrant
    session_id: SessionId

    async def follow(self, after: int) -> AsyncIterator[bytes]:
        """Stream every event after a number, for as long as the reader stays."""
        yield _RETRY
        async for frames in self._pages(after):
            yield b"".join(_full(frame) for frame in frames) or _PING

    async def turn(self, after: int, turn_no: int) -> AsyncIterator[bytes]:
        """Stream the contract's events of one turn, from its first to its `session.idle`.

        While other turns run only comment lines are sent. A log that is folded meanwhile is read
        again from its beginning; the turn itself is not folded while it is new.
        """
        yield _PING
        sent = after
        async for frames in self._pages(after):
            frames = [frame for frame in frames if frame.seq > sent]
            sent = frames[-1].seq if frames else sent
            mine = [f for f in frames if f.turn_no == turn_no and f.type not in _PLATFORM_ONLY]
            async for block in self._contract_blocks(mine):
                yield block
            if not mine:
                yield _PING
            if any(_ends_turn(frame, turn_no) for frame in frames):
                return

    async def _contract_blocks(self, frames: list[Frame]) -> AsyncIterator[bytes]:
        """Write frames as the contract has them: what is large is read whole, one at a time."""
        small: list[bytes] = []
        for frame in frames:
            if not frame.is_preview:
                small.append(_contract(frame))
                continue
            yield b"".join(small)
            small.clear()
            whole = await self.hub.read_whole(self.session_id, frame.seq)
            yield _contract(whole or frame)
        yield b"".join(small)

    async def _pages(self, after: int) -> AsyncIterator[list[Frame]]:
        """Give the frames as they come; an empty list is a sign of life."""
        last_sent = monotonic()
        async with self.hub.subscribe(self.session_id, after) as subscription:
            while not self.hub.closing:
                frames = await subscription.next_frames(wait=PING_EVERY)
                if self.grant.is_due() and not await self.grant.holds():
                    return
                if frames or monotonic() - last_sent >= PING_EVERY:
                    last_sent = monotonic()
                    yield frames


def parse_cursor(text: str, head: int) -> int:
    """Read `Last-Event-ID` or `after`: the number of an event that the session has, or 0.

    Raises:
        BadRequestError: no number, or one that lies in the future.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadRequestError(
            "Last-Event-ID and after take the number of an event: 0 or the id that came last."
        )
    cursor = int(text)
    if cursor > head:
        raise BadRequestError(
            f"This session has {head} events so far; event {cursor} is not among them."
        )
    return cursor


_PLATFORM_ONLY = frozenset({EventType.PROMPT_ACCEPTED.value, EventType.PROMPT_REMOVED.value})


def _ends_turn(frame: Frame, turn_no: int) -> bool:
    return frame.turn_no == turn_no and frame.type in (
        EventType.SESSION_IDLE,
        EventType.PROMPT_REMOVED,
    )


def _full(frame: Frame) -> bytes:
    if frame.type == STREAM_RESET:  # no event of the log: whoever comes back does not ask after it
        return b"data: %b\n\n" % frame.full
    return b"id: %d\ndata: %b\n\n" % (frame.seq, frame.full)


def _contract(frame: Frame) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (frame.seq, frame.contract)
