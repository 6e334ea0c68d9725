"""One connection a harness: a client, and one reader of its events shared by all of its turns.

A harness sends the events of all its sessions to whoever listens; a listener a turn would parse
each event as often as there are turns. The reader parses once and hands each frame to the turn
that watches its session. One of a session that nobody watches is a sub-agent's, or of a turn that
another worker runs; it goes to all but those turns to which it is certain to be no news.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from cattery.db.sandbox_rows import HarnessFacts
from cattery.errors import SandboxError
from cattery.harnesses.port import HarnessClient, HarnessEndpoint, HarnessFrame, HarnessType
from cattery.ids import HarnessId, HarnessSessionId

log = structlog.get_logger(__name__)

QUEUE_FRAMES = 1_024
"""Frames that a turn may have unread. Full means that the reader stops reading, and TCP holds the
harness back."""
LINGER = 30.0
"""Seconds that a connection stays open after its last turn."""


class StreamLostError(SandboxError):
    """The harness's event stream broke off or never opened."""

    code = "stream_lost"


class Watch:
    """The frames of one session: put in by the reader, taken out by one turn.

    A queue with a time-out does the same; it costs more than everything else that is done to a
    piece of text, since each wait makes a timer. Here one timer follows the deadline as it moves.
    """

    def __init__(self) -> None:
        self.follows: Callable[[HarnessSessionId], bool] = lambda _: True
        """Whether pieces of another session are of this turn; its taker says so."""
        self._frames: deque[HarnessFrame] = deque()
        self._lost: StreamLostError | None = None
        self._is_over = False
        self._taker: asyncio.Future[None] | None = None
        self._putter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def put(self, frame: HarnessFrame) -> None:
        """Hand over a frame; waits while the turn is far behind.

        After a loss nothing is taken any more: what was missed is found in the harness's history,
        which is read after every loss, and nothing that came later must be taken in before it.
        """
        while len(self._frames) >= QUEUE_FRAMES and not (self._lost or self._is_over):
            self._putter = asyncio.get_running_loop().create_future()
            await self._putter
        if not (self._lost or self._is_over):
            self._frames.append(frame)
            _release(self._taker)

    def is_no_news(self, session: HarnessSessionId) -> bool:
        """Tell whether a piece of another session can be left out.

        Only while the turn has taken in all that came before it, and waits: until then it may be
        about to learn that the session is its sub-agent's.
        """
        waits = self._taker is not None and not self._taker.done() and not self._frames
        return waits and not self.follows(session)

    def lose(self, error: StreamLostError) -> None:
        """Say that nothing more will come."""
        self._lost = self._lost or error
        _release(self._taker)
        _release(self._putter)

    def end(self) -> None:
        """Say that nobody will take what comes, so that nobody waits for it."""
        self._is_over = True
        _release(self._putter)
        if self._timer:
            self._timer.cancel()

    async def take(self, timeout: float) -> list[HarnessFrame]:
        """Return what has come, at least one frame; nothing when the time was up first.

        Raises:
            StreamLostError: the stream broke off, and every frame before that was taken.
        """
        if not self._frames and not self._lost:
            loop = asyncio.get_running_loop()
            self._deadline = loop.time() + timeout
            if self._timer is None or self._timer.when() > self._deadline:
                self._set_timer(loop)
            self._taker = loop.create_future()
            await self._taker
        frames = list(self._frames)
        self._frames.clear()
        _release(self._putter)
        if self._lost and not frames:
            raise self._lost
        return frames

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = loop.call_at(self._deadline, self._time_is_up, loop)

    def _time_is_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if loop.time() < self._deadline:
            self._set_timer(loop)  # something came meanwhile, and moved it
        else:
            _release(self._taker)


def _release(waiter: asyncio.Future[None] | None) -> None:
    if waiter and not waiter.done():
        waiter.set_result(None)


class HarnessConnection:
    """A harness that answers, as the turns of one worker use it."""

    def __init__(self, kind: HarnessType, client: HarnessClient) -> None:
        self.kind = kind
        self.client = client
        self._watches: dict[HarnessSessionId, Watch] = {}
        self._reader: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def watch(self, session: HarnessSessionId) -> AsyncIterator[Watch]:
        """Watch a session's frames. Entering returns once nothing can be missed any more.

        Raises:
            StreamLostError: the stream could not be opened.
        """
        watch = Watch()
        self._watches[session] = watch
        try:
            await self._open_reader()
            yield watch
        finally:
            watch.end()
            if self._watches.get(session) is watch:
                del self._watches[session]

    async def close(self) -> None:
        """End the reader and the client."""
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        await self.client.close()

    async def _open_reader(self) -> None:
        async with self._opening:
            if self._reader is None or self._reader.done():
                self._opened = asyncio.get_running_loop().create_future()
                self._reader = asyncio.create_task(self._read(self._opened), name="harness-reader")
        if self._opened:
            await asyncio.shield(self._opened)

    async def _read(self, opened: asyncio.Future[None]) -> None:
        reason = "the harness closed it"
        try:
            async with self.client.open_events() as frames:
                opened.set_result(None)
                async for frame in frames:
                    await self._route(frame)
        except SandboxError as error:
            reason = error.message
        except asyncio.CancelledError:
            reason = "the worker let it go"
            raise
        finally:
            lost = StreamLostError(f"The event stream of the harness was lost: {reason}")
            if not opened.done():
                opened.set_exception(lost)
                opened.exception()  # whoever waits gets it; nobody waiting is no fault
            for watch in list(self._watches.values()):
                watch.lose(lost)

    async def _route(self, frame: HarnessFrame) -> None:
        session = self.kind.session_of(frame)
        watch = self._watches.get(session) if session else None
        if watch:
            await watch.put(frame)
            return
        piece_of = session if session and self.kind.is_piece(frame) else None
        for each in tuple(self._watches.values()):
            if piece_of is None or not each.is_no_news(piece_of):
                await each.put(frame)


type _Key = tuple[HarnessId, int, HarnessEndpoint]


class HarnessConnections:
    """The connections of one worker, one an endpoint: kept while used, and for a while after.

    A harness whose stream is open already answers the next prompt sooner.
    """

    def __init__(self, registry: Mapping[str, HarnessType]) -> None:
        self._registry = registry
        self._open: dict[_Key, HarnessConnection] = {}
        self._users: dict[_Key, int] = {}
        self._closing: dict[_Key, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def use(self, harness: HarnessFacts) -> AsyncIterator[HarnessConnection]:
        """Use the connection to a harness that runs.

        Raises:
            SandboxError: the harness has no address; start it first.
        """
        kind = self._registry.get(harness.type)
        if harness.endpoint is None or kind is None:
            raise SandboxError(f"The sandbox of harness {harness.harness_id} does not run.")
        key = (harness.harness_id, harness.generation, harness.endpoint)
        connection = self._open.get(key)
        if connection is None:
            connection = self._open[key] = HarnessConnection(kind, kind.client(harness.endpoint))
        if closing := self._closing.pop(key, None):
            closing.cancel()
        self._users[key] = self._users.get(key, 0) + 1
        try:
            yield connection
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                self._closing[key] = asyncio.create_task(self._close_later(key))

    async def close(self) -> None:
        """Close every connection."""
        for closing in self._closing.values():
            closing.cancel()
        for connection in list(self._open.values()):
            await connection.close()

    async def _close_later(self, key: _Key) -> None:
        await asyncio.sleep(LINGER)
        del self._closing[key], self._users[key]
        await self._open.pop(key).close()
