"""The multiplexed socket: one WebSocket a browser tab that carries everything live.

A browser allows six HTTP/1.1 connections a host, so that tab seven of a page with an event stream
each could not even load. Text frames of JSON, each an object with `op`:

client → server: `subscribe {session_id, after}`, `unsubscribe {session_id}`, `feed`, `ping`, `pong`
server → client: `events {session_id, events}`, `live {session_id, seq}`, `reset {session_id,
floor_seq}`, `feed {kind, id, project_id}`, `error {code, message, session_id?}`, `ping`, `pong`

A subscription begins with what the log has after `after`, in pages, then `live` says once that all
of that was sent. A second `subscribe` of a session replaces the first.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.dependencies import Parts
from api.rights import StandingGrant
from api.streams import MAX_BLOCKED, PING_EVERY
from cattery.auth.access import Caller
from cattery.db.event_log import read_head
from cattery.db.feed import FeedItem
from cattery.errors import BadRequestError, CatteryError, NotFoundError
from cattery.events.frames import STREAM_RESET, Frame
from cattery.ids import ProjectId, SessionId, parse_id
from cattery.jsontypes import Json, JsonObject

log = structlog.get_logger(__name__)

SIGNED_OUT = 4401
GOING_AWAY = 1012
BROKEN = 1011
MAX_SUBSCRIPTIONS = 200
MAX_MESSAGE = 64 * 1024
RECENT_PROJECTS = 32


@dataclass(slots=True)
class TabSocket:
    """One tab's socket: its subscriptions are tasks, its sends are one at a time."""

    socket: WebSocket
    parts: Parts
    user: Caller
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _subscriptions: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)
    _feed: asyncio.Task[None] | None = None
    _recent: deque[StandingGrant] = field(default_factory=lambda: deque(maxlen=RECENT_PROJECTS))
    """Of the feed's latest items: while held, their answers serve the next item too."""
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _broken: bool = False

    async def serve(self) -> None:
        """Serve the tab until it goes, its reader is signed out, or the process stops.

        Where anything fails that should not, the socket ends as well: the tab comes back and goes
        on after its last event, while a subscription that died in silence would look like live.
        """
        for task in (
            self._start(self._guard(), "socket-guard"),
            self._start(self._read_commands(), "socket-reader"),
        ):
            task.add_done_callback(lambda _: self._over.set())
        try:
            await self._over.wait()
            if self._broken:
                await self._close(BROKEN)
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not isinstance(error, _GONE):
            log.warning("socket_task_failed", task=task.get_name(), error=repr(error))
            self._broken = True
        self._over.set()

    async def _read_commands(self) -> None:
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                await self._obey(_parse(message.get("text")))
            except CatteryError as error:
                await self._send({"op": "error", "code": error.code, "message": error.message})

    async def _obey(self, command: JsonObject) -> None:
        match command.get("op"):
            case "subscribe":
                await self._subscribe(command)
            case "unsubscribe":
                self._unsubscribe(_session_of(command))
            case "feed":
                if self._feed is None:
                    self._feed = self._start(self._follow_feed(), "socket-feed")
            case "ping":
                await self._send({"op": "pong"})
            case "pong":
                pass
            case _:
                raise BadRequestError(
                    "The socket takes subscribe, unsubscribe, feed, ping and pong as op."
                )

    async def _subscribe(self, command: JsonObject) -> None:
        session_id = _session_of(command)
        after = command.get("after", 0)
        if not isinstance(after, int) or isinstance(after, bool) or after < 0:
            raise BadRequestError("after takes the number of an event, 0 for the beginning.")
        self._unsubscribe(session_id)
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise BadRequestError(f"One socket watches at most {MAX_SUBSCRIPTIONS} sessions.")
        following = self._start(self._follow_session(session_id, after), "socket-session")
        self._subscriptions[session_id] = following
        following.add_done_callback(partial(self._forget, session_id))

    def _unsubscribe(self, session_id: SessionId) -> None:
        running = self._subscriptions.pop(session_id, None)
        if running:
            running.cancel()

    def _forget(self, session_id: SessionId, ended: asyncio.Task[None]) -> None:
        if self._subscriptions.get(session_id) is ended:
            del self._subscriptions[session_id]

    async def _follow_session(self, session_id: SessionId, after: int) -> None:
        """Send a session's events; ends with an `error` where the reader may not see it."""
        hub = self.parts.hub
        try:
            grant = self.parts.rights.grant(self.user, session_id=session_id)
            if not (await grant.check()).may_see:
                raise NotFoundError("session")
            head = await read_head(self.parts.database, session_id)
            if after > head:  # the log is another one than the tab knows: begin anew
                await self._reset(session_id, 0)
                after = 0
            async with hub.subscribe(session_id, after) as subscription:
                while frames := await subscription.next_frames(wait=0):
                    await self._send_events(session_id, frames)
                live: JsonObject = {"session_id": str(session_id), "seq": subscription.cursor}
                await self._send({"op": "live", **live})
                while not hub.closing:
                    frames = await subscription.next_frames(wait=PING_EVERY)
                    if grant.is_due() and not (await grant.check()).may_see:
                        raise NotFoundError("session")
                    if frames:
                        await self._send_events(session_id, frames)
        except CatteryError as error:
            failure: JsonObject = {"code": error.code, "message": error.message}
            await self._send({"op": "error", "session_id": str(session_id), **failure})

    async def _follow_feed(self) -> None:
        """Pass on the changes of objects that the reader may see."""
        async with self.parts.hub.follow_feed() as items:
            while True:
                item = await self._as_reader_may_know(await items.get())
                if item is not None:
                    await self._send(
                        {
                            "op": "feed",
                            "kind": item.kind,
                            "id": str(item.id) if item.id else None,
                            "project_id": str(item.project_id) if item.project_id else None,
                        }
                    )

    async def _as_reader_may_know(self, item: FeedItem) -> FeedItem | None:
        """Return what the reader may hear of a change.

        Who is not in a project hears only that some project changed: it may be theirs no longer.
        """
        if item.kind == "user":
            concerns = self.user.is_admin or item.id == self.user.user_id
            return item if concerns else None
        if item.project_id is None:
            return item if item.kind == "lost" else None
        grant = self.parts.rights.grant(self.user, project_id=ProjectId(item.project_id))
        self._recent.append(grant)
        if (await grant.check()).may_see:
            return item
        return FeedItem("project") if item.kind == "project" else None

    async def _guard(self) -> None:
        """Ping, and end the socket when its reader is signed out or the process stops."""
        hub = self.parts.hub
        grant = self.parts.rights.grant(self.user)
        waited = 0.0
        while not hub.closing:
            await asyncio.sleep(1.0)
            waited += 1.0
            if grant.is_due() and not await grant.holds():
                await self._close(SIGNED_OUT)
                return
            if waited >= PING_EVERY:
                waited = 0.0
                await self._send({"op": "ping"})
        await self._close(GOING_AWAY)

    async def _send_events(self, session_id: SessionId, frames: list[Frame]) -> None:
        if frames[0].type == STREAM_RESET:
            data = orjson.loads(frames[0].full)["data"]
            await self._reset(session_id, data["floorSeq"])
            return
        events = b",".join(frame.full for frame in frames)
        await self._send_raw(
            b'{"op":"events","session_id":"%b","events":[%b]}' % (str(session_id).encode(), events)
        )

    async def _reset(self, session_id: SessionId, floor_seq: int) -> None:
        await self._send({"op": "reset", "session_id": str(session_id), "floor_seq": floor_seq})

    async def _send(self, message: JsonObject) -> None:
        await self._send_raw(orjson.dumps(message))

    async def _send_raw(self, message: bytes) -> None:
        async with self._sending, asyncio.timeout(MAX_BLOCKED):
            await self.socket.send_text(message.decode())

    async def _close(self, code: int) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):
            await self.socket.close(code)


def _parse(text: str | None) -> JsonObject:
    if text is None or len(text) > MAX_MESSAGE:
        raise BadRequestError("The socket takes text frames of JSON, at most 64 KiB each.")
    try:
        command: Json = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequestError("A frame of the socket must be JSON.") from error
    if not isinstance(command, dict):
        raise BadRequestError("A frame of the socket must be a JSON object.")
    return command


def _session_of(command: JsonObject) -> SessionId:
    session_id = parse_id(str(command.get("session_id", "")))
    if session_id is None:
        raise NotFoundError("session")
    return SessionId(session_id)


_GONE = (WebSocketDisconnect, RuntimeError, TimeoutError)
"""What a send raises once the tab has gone, or takes nothing any more."""
