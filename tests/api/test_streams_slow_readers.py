"""Readers that take nothing: they are let go, hold up nobody, and come back where they were."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from cattery.events.hub import StreamHub
from cattery.events.model import EventType, NewEvent
from tests.api.site import API, Person, Site
from tests.api.watching import Watchers, tell, until, word

LONG = NewEvent(EventType.TOOL_START, {"toolId": "t", "tool": "x", "input": "x" * 200_000})


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("api.streams", "api.socket"):
        monkeypatch.setattr(f"{module}.MAX_BLOCKED", 0.5)


@asynccontextmanager
async def reader_that_reads_nothing(
    watchers: Watchers, path: str, *headers: str
) -> AsyncIterator[socket.socket]:
    """Send a request over a small window, and take nothing of the answer."""
    host, port = watchers.host.split(":")
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(reader, (host, int(port)))
        lines = [f"GET {API}{path} HTTP/1.1", f"Host: {watchers.host}", *headers, "", ""]
        await asyncio.get_running_loop().sock_sendall(reader, "\r\n".join(lines).encode())
        yield reader
    finally:
        reader.close()


async def test_an_event_stream_that_nobody_reads_is_given_up_and_disturbs_no_other(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    hub: StreamHub = site.app.state.parts.hub
    await tell(site, session_id, 1, *[LONG] * 60)  # far more than all buffers between us
    path = f"/sessions/{session_id}/events"
    token = f"Authorization: Bearer {ada.token}"
    async with reader_that_reads_nothing(watchers, path, token):
        await until(lambda: UUID(session_id) in hub._channels, "the stream to be open")
        async with watchers.stream(ada, path) as other:
            assert [number for number, _ in await other.take(60)] == list(range(1, 61))
            await until(
                lambda: len(hub._channels[UUID(session_id)].watchers) == 1,
                "the reader to be given up",
            )
            await tell(site, session_id, 1, word(1))
            assert [number for number, _ in await other.take(1)] == [61]
    async with watchers.stream(ada, f"{path}?after=59") as again:
        assert [number for number, _ in await again.take(2)] == [60, 61]


async def test_a_tab_that_reads_nothing_is_closed_with_all_its_subscriptions(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    hub: StreamHub = site.app.state.parts.hub
    await tell(site, session_id, 1, *[LONG] * 60)
    async with watchers.tab(ada) as tab:
        await tab.say("subscribe", session_id=session_id, after=0)
        transport = tab.socket.get_extra_info("socket")
        assert transport is not None
        tab.socket._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        await until(lambda: UUID(session_id) in hub._channels, "the tab to be served")
        await until(lambda: not hub._channels, "the tab to be given up")
