"""Watchers that come back where they were cut off, to any API, and keep all that they received."""

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

import aiohttp
import orjson

from cattery.jsontypes import JsonObject
from tests.faults.streams.installation import Installation

SILENCE = 40.0
"""Seconds of silence after which a watcher takes its connection for dead: two pings."""
CONNECT_SECONDS = 10.0
_STAMP = re.compile(rb"@(\d{12,}) ")
_FAILURES = (aiohttp.ClientError, ConnectionError, TimeoutError, ValueError)
"""What a cut connection looks like; the last is a frame that was cut off in its middle."""


class Way(StrEnum):
    """How a watcher watches."""

    SSE = "sse"
    SOCKET = "ws"


@dataclass(frozen=True, slots=True)
class Received:
    """One event as it came."""

    seq: int
    body: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Delay:
    """How late one piece came: when the harness sent it, and when it was here; monotonic."""

    sent_at: float
    received_at: float


@dataclass(eq=False)
class Watcher:
    """Somebody who watches a session for as long as they are let."""

    installation: Installation
    session_id: str
    way: Way
    number: int
    events: list[Received] = field(default_factory=list)
    delays: list[Delay] = field(default_factory=list)
    connections: int = 0
    resets: int = 0
    refused: list[str] = field(default_factory=list)
    """Answers that a watcher should never get."""
    url_of: Callable[["Watcher"], str] | None = None
    is_idle: bool = False
    """The turn that it saw last has ended."""
    idle_after: int = 0
    """The number of that turn."""
    pause: float = 0.3
    """Seconds at most before it comes back."""

    @property
    def last(self) -> int:
        return self.events[-1].seq if self.events else 0

    async def run(self, http: aiohttp.ClientSession) -> None:
        """Watch for ever."""
        while True:
            with suppress(*_FAILURES):
                await (self._read_stream(http) if self.way is Way.SSE else self._read_socket(http))
            await asyncio.sleep(random.uniform(0.02, self.pause))

    def base(self) -> str:
        """Return the API to go to: another one each time."""
        if self.url_of:
            return self.url_of(self)
        urls = self.installation.urls
        return urls[(self.number + self.connections) % len(urls)]

    async def _read_stream(self, http: aiohttp.ClientSession) -> None:
        url = f"{self.base()}/api/v1/sessions/{self.session_id}/events"
        self.connections += 1
        headers = {"Last-Event-ID": str(self.last)} if self.events else {}
        timeout = aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=SILENCE)
        async with http.get(url, headers=headers, timeout=timeout) as stream:
            if stream.status != 200:
                self._note_refusal(stream.status, await stream.text())
                return
            number = b""
            async for line in stream.content:
                if line.startswith(b"id: "):
                    number = line[4:].strip()
                elif line.startswith(b"data: ") and line.endswith(b"\n"):
                    self._take(orjson.loads(line[6:]), number)

    async def _read_socket(self, http: aiohttp.ClientSession) -> None:
        url = f"{self.base()}/api/v1/ws"
        self.connections += 1
        timeout = aiohttp.ClientWSTimeout(ws_close=1.0)
        async with asyncio.timeout(CONNECT_SECONDS):
            opening = await http.ws_connect(url, timeout=timeout)
        async with opening as socket:
            wanted = {"session_id": self.session_id, "after": self.last}
            await socket.send_str(orjson.dumps({"op": "subscribe", **wanted}).decode())
            while True:
                message = await socket.receive(timeout=SILENCE)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                frame = orjson.loads(message.data)
                if frame["op"] == "error":
                    self._note_refusal(0, message.data)
                    return
                self.resets += frame["op"] == "reset"
                for event in frame.get("events", []):
                    self._take(event, None)

    def _take(self, event: JsonObject, number: bytes | None) -> None:
        now = time.monotonic()
        seq = event["seq"]
        assert isinstance(seq, int)
        if number is not None and number != str(seq).encode():
            self.refused.append(f"event {seq} came under the id {number.decode()}")
        body = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
        turn_no = event["turn_no"]
        assert isinstance(turn_no, int)
        if event["type"] == "session.idle":
            self.idle_after = max(self.idle_after, turn_no)
        self.is_idle = 0 < self.idle_after >= turn_no  # a title may come after the end
        self.events.append(Received(seq, body, now))
        if event["type"] == "message.delta" and (stamp := _STAMP.search(body)):
            self.delays.append(Delay(int(stamp.group(1)) / 1e9, now))

    def _note_refusal(self, status: int, said: str) -> None:
        """Keep what is no sign of something that is away for a moment."""
        if status in (0, 400, 401, 403, 404):
            self.refused.append(f"{status} after {self.last}: {said[:200]}")


@asynccontextmanager
async def watching(
    installation: Installation, watchers: list[Watcher]
) -> AsyncIterator[list[Watcher]]:
    """Have watchers watch while the body runs."""
    async with signed_in(installation) as http:
        tasks = [asyncio.create_task(each.run(http)) for each in watchers]
        try:
            yield watchers
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            broken = [e for e in ended if not isinstance(e, asyncio.CancelledError)]
            assert not broken, broken


@asynccontextmanager
async def signed_in(installation: Installation) -> AsyncIterator[aiohttp.ClientSession]:
    """Have a client with the installation's token."""
    async with aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {installation.token}"},
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=4 * 1024 * 1024,
    ) as http:
        yield http
