"""A viewer's terminal socket: relays the bridge of a session's sandbox, and wakes what sleeps.

The socket outlives a restart of the sandbox: it connects anew and the bridge sends the whole
screen. It ends with one of the codes below when somebody stops the sandbox, when it cannot be
started, and within about a second of a change of rights.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

import aiohttp
import orjson
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.dependencies import Parts
from api.terminal_lease import attached
from api.terminal_output import OutputFilter
from cattery.auth.access import SessionGrant
from cattery.db.sandbox_rows import HarnessFacts, find_harness
from cattery.db.states import HarnessStatus, SessionStatus
from cattery.db.turns import SessionFacts, find_session
from cattery.errors import CatteryError
from cattery.harnesses.bridged.client import basic_auth
from cattery.jsontypes import Json

log = structlog.get_logger(__name__)

SIGNED_OUT: Final = 4401
NO_ACCESS: Final = 4404
STOPPED: Final = 4409
FAILED: Final = 4500
GOING_AWAY: Final = 1012

LOOK_EVERY = 0.5
"""Seconds between looks at a sandbox that is awaited."""
ASK_EVERY = 5.0
"""Seconds after which a session that is still not there is asked for again."""
LOST_SECONDS = 15.0
"""For which a bridge may be away before the sandbox is asked for: one that is being stopped says
so in its row only at the end, and must not be started again."""
HANDSHAKE_SECONDS = 5.0
HEARTBEAT_SECONDS = 20.0
MAX_FRAME = 8 * 1024 * 1024
MAX_REASON = 120
"""Bytes of a close frame's reason; the protocol has room for 123."""


class TerminalEndedError(Exception):
    """The socket is to be closed with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(slots=True)
class TerminalSocket:
    """One viewer."""

    socket: WebSocket
    parts: Parts
    access: SessionGrant
    _upstream: aiohttp.ClientWebSocketResponse | None = None
    _frames: dict[str, str] = field(default_factory=dict)
    """The last `resize` and `theme`, for a bridge that is connected to later."""
    _asked_at: float = float("-inf")
    _lost_at: float | None = None

    async def serve(self) -> None:
        """Serve until the viewer goes or the terminal ends for them."""
        access = self.access
        async with attached(self.parts.database, access.harness_id, access.user.user_id):
            await self._serve()

    async def _serve(self) -> None:
        work = [
            asyncio.create_task(self._read_viewer(), name="terminal-viewer"),
            asyncio.create_task(self._relay(), name="terminal-relay"),
            asyncio.create_task(self._guard(), name="terminal-guard"),
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        for task in done:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                await self._close(error)

    async def _close(self, error: BaseException) -> None:
        code, reason = 1011, "The terminal's connection failed. Open it again."
        if isinstance(error, TerminalEndedError):
            code, reason = error.code, error.reason
        elif not isinstance(error, (WebSocketDisconnect, RuntimeError)):
            log.warning("terminal_socket_failed", error=repr(error))
        with suppress(RuntimeError, WebSocketDisconnect):
            await self.socket.close(code, _cut(reason))

    async def _read_viewer(self) -> None:
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            if data is not None:
                await self._pass_on(data)
            else:
                frame = _read_frame(message.get("text") or "")
                if frame is not None:
                    self._frames[frame[0]] = frame[1]
                    await self._pass_on(frame[1])

    async def _pass_on(self, data: bytes | str) -> None:
        """Send to the bridge. What is typed while there is none is not typed later."""
        upstream = self._upstream
        if upstream is None or upstream.closed:
            return
        with suppress(ConnectionError, aiohttp.ClientError):
            await (upstream.send_str(data) if isinstance(data, str) else upstream.send_bytes(data))

    async def _relay(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_SECONDS)
        has_run = False
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as http:
            while True:
                session, harness = await self._find_running(may_start=not has_run)
                try:
                    async with asyncio.timeout(HANDSHAKE_SECONDS):
                        upstream = await _connect(http, session, harness)
                except aiohttp.WSServerHandshakeError as error:
                    if error.status == 404:  # the sandbox was made anew: so is its session
                        await self._ask()
                    await asyncio.sleep(LOOK_EVERY)
                    continue
                except (aiohttp.ClientError, OSError, TimeoutError):
                    await self._check_running(may_start=not has_run)
                    await asyncio.sleep(LOOK_EVERY)
                    continue
                # What fails from here on is another failure, which asking anew may mend.
                has_run, self._lost_at, self._asked_at = True, None, float("-inf")
                await self._follow(upstream)
                await self._check_running(may_start=False)

    async def _follow(self, upstream: aiohttp.ClientWebSocketResponse) -> None:
        output = OutputFilter()
        async with upstream:
            for frame in self._frames.values():
                await upstream.send_str(frame)
            self._upstream = upstream
            try:
                async for message in upstream:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        shown = output.feed(message.data)
                        if shown:
                            await self.socket.send_bytes(shown)
            finally:
                self._upstream = None

    async def _find_running(self, *, may_start: bool) -> tuple[SessionFacts, HarnessFacts]:
        """Wait for a sandbox that runs and has the session; ask for both."""
        while True:
            session, harness = await self._read_rows()
            is_there = harness.status is HarnessStatus.READY and harness.endpoint is not None
            if is_there and session.harness_session_id is not None:
                return session, harness
            if not may_start and harness.status is HarnessStatus.IDLE:
                raise TerminalEndedError(STOPPED, "The sandbox was stopped.")
            if self._asked_at > 0 and self._has_failed(session, harness):
                raise TerminalEndedError(FAILED, "The sandbox could not be started.")
            if harness.status in (HarnessStatus.IDLE, HarnessStatus.FAILED) or is_there:
                await self._ask()
            await asyncio.sleep(LOOK_EVERY)

    def _has_failed(self, session: SessionFacts, harness: HarnessFacts) -> bool:
        has_waited = monotonic() - self._asked_at > ASK_EVERY
        is_failed = harness.status is HarnessStatus.FAILED or session.status is SessionStatus.FAILED
        return is_failed and has_waited

    async def _check_running(self, *, may_start: bool) -> None:
        """Ask for the session where its sandbox stays away, unless it was stopped on purpose."""
        _, harness = await self._read_rows()
        if not may_start and harness.status is HarnessStatus.IDLE:
            raise TerminalEndedError(STOPPED, "The sandbox was stopped.")
        if self._lost_at is None:
            self._lost_at = monotonic()
        if monotonic() - self._lost_at > LOST_SECONDS:
            await self._ask()

    async def _ask(self) -> None:
        """Have the sandbox and the session, at most every few seconds."""
        if monotonic() - self._asked_at > ASK_EVERY:
            self._asked_at = monotonic()
            with suppress(CatteryError):  # the orchestrator may be away: it is asked again
                await self.parts.lifecycles.open_session(self.access.session_id)

    async def _read_rows(self) -> tuple[SessionFacts, HarnessFacts]:
        session = await find_session(self.parts.database, self.access.session_id)
        async with self.parts.database.read() as rows:
            harness = await find_harness(rows, self.access.harness_id)
        if session is None or session.deleting or harness is None or harness.deleting:
            raise TerminalEndedError(NO_ACCESS, "The session is being deleted.")
        return session, harness

    async def _guard(self) -> None:
        """End the socket when its reader may no longer see it, or the sandbox was stopped."""
        hub = self.parts.hub
        grant = self.parts.rights.grant(self.access.user, session_id=self.access.session_id)
        while not hub.closing:
            await asyncio.sleep(1.0)
            if not grant.is_due():
                continue
            standing = await grant.check()
            if not standing.signed_in:
                raise TerminalEndedError(SIGNED_OUT, "You are signed out.")
            if not standing.may_see:
                raise TerminalEndedError(NO_ACCESS, "You may not see this session any more.")
        raise TerminalEndedError(GOING_AWAY, "The server restarts. Open the terminal again.")


async def _connect(
    http: aiohttp.ClientSession, session: SessionFacts, harness: HarnessFacts
) -> aiohttp.ClientWebSocketResponse:
    if harness.endpoint is None:
        raise ConnectionError
    base, password = harness.endpoint.base_url.rstrip("/"), harness.endpoint.password
    return await http.ws_connect(
        f"{base}/session/{session.harness_session_id}/term",
        headers={"Authorization": basic_auth(password)} if password else {},
        heartbeat=HEARTBEAT_SECONDS,
        max_msg_size=MAX_FRAME,
        compress=0,
    )


def _read_frame(text: str) -> tuple[str, str] | None:
    """Read a text frame of the contract and write it anew; anything else is nothing."""
    if len(text) > 1_000:
        return None
    try:
        frame: Json = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    match frame:
        case {"type": "resize", "cols": int() as cols, "rows": int() as rows}:
            if not 0 < cols <= 10_000 or not 0 < rows <= 10_000:
                return None
            body: Json = {"type": "resize", "cols": int(cols), "rows": int(rows)}
            return "resize", orjson.dumps(body).decode()
        case {"type": "theme", "theme": "light" | "dark" as theme}:
            return "theme", orjson.dumps({"type": "theme", "theme": theme}).decode()
        case _:
            return None


def _cut(reason: str) -> str:
    return reason.encode()[:MAX_REASON].decode("utf-8", "ignore")
