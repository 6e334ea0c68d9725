"""The site on a socket in this very loop, and clients that watch its streams as browsers do."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI

from cattery.db.event_log import append_in_transaction
from cattery.events.model import EventType, NewEvent
from cattery.ids import SessionId
from cattery.jsontypes import Json, JsonObject
from tests.api.site import API, Person, Site

PATIENCE = 15.0


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[str]:
    """Serve an app until the block ends; gives the host and port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve(sockets=[listener]))
    await until(lambda: server.started, "the server to listen")
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    listener.close()


@dataclass
class EventStream:
    """One open event stream, read block by block."""

    response: aiohttp.ClientResponse
    comments: int = 0

    async def block(self) -> bytes | None:
        """Read the next block, up to its blank line; `None` at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            block = await self.response.content.readuntil(b"\n\n")
        assert not block or block.endswith(b"\n\n"), "the stream ended within an event"
        return block or None

    async def next(self) -> tuple[int, JsonObject] | None:
        """Read the next event and its id, past the comments; `None` at the end."""
        while (block := await self.block()) is not None:
            lines = block.decode().splitlines()
            if lines[0].startswith(":"):
                self.comments += 1
            elif lines[0].startswith("id: "):
                number, data = lines[0].removeprefix("id: "), lines[1].removeprefix("data: ")
                assert lines == [f"id: {number}", f"data: {data}", ""]
                return int(number), orjson.loads(data)
        return None

    async def take(self, count: int) -> list[tuple[int, JsonObject]]:
        found = [await self.next() for _ in range(count)]
        assert None not in found, "the stream ended early"
        return [each for each in found if each is not None]

    async def rest(self) -> list[tuple[int, JsonObject]]:
        """Read to the end of the stream."""
        found: list[tuple[int, JsonObject]] = []
        while (each := await self.next()) is not None:
            found.append(each)
        return found


@dataclass
class Tab:
    """One open multiplexed socket."""

    socket: aiohttp.ClientWebSocketResponse
    heard: list[JsonObject] = field(default_factory=list)

    async def say(self, op: str, **fields: Json) -> None:
        await self.socket.send_str(orjson.dumps({"op": op, **fields}).decode())

    async def next(self) -> JsonObject:
        """Read the next frame that is no ping."""
        while True:
            frame: JsonObject = orjson.loads(await self.socket.receive_str(timeout=PATIENCE))
            if frame["op"] != "ping":
                self.heard.append(frame)
                return frame

    async def events(self, session_id: str, last: int) -> list[JsonObject]:
        """Read a session's events up to a number, past its `live`."""
        found: list[JsonObject] = []
        while not found or found[-1]["seq"] != last:
            frame = await self.next()
            assert frame["op"] in ("events", "live")
            assert frame["session_id"] == session_id
            events = frame.get("events", [])
            assert isinstance(events, list)
            found += [each for each in events if isinstance(each, dict)]
        return found

    async def closed(self) -> int | None:
        """Read on until the server closes; gives its code."""
        async with asyncio.timeout(PATIENCE):
            async for _ in self.socket:
                pass
        return self.socket.close_code


@dataclass
class Watchers:
    """Opens streams and sockets for people of a site."""

    site: Site
    host: str
    http: aiohttp.ClientSession

    @asynccontextmanager
    async def stream(
        self,
        person: Person,
        path: str,
        *,
        json: JsonObject | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[EventStream]:
        """Open a stream that is expected to be one: GET, or POST where there is a body."""
        async with self.http.request(
            "GET" if json is None else "POST",
            f"http://{self.host}{API}{path}",
            json=json,
            headers={"Authorization": f"Bearer {person.token}", **(headers or {})},
        ) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield EventStream(response)

    @asynccontextmanager
    async def tab(self, person: Person) -> AsyncIterator[Tab]:
        url = f"http://{self.host}{API}/ws?token={person.token}"
        async with self.http.ws_connect(url) as socket:
            yield Tab(socket)


@asynccontextmanager
async def watching(site: Site) -> AsyncIterator[Watchers]:
    async with (
        listening(site.app) as host,
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60), read_bufsize=4 * 1024 * 1024
        ) as http,
    ):
        yield Watchers(site, host, http)


async def tell(site: Site, session_id: str, turn_no: int, *events: NewEvent) -> None:
    """Append events to a session's log, as the platform does in a transaction of its own."""
    for event in events:
        async with site.database.write() as rows:
            await append_in_transaction(rows, SessionId(UUID(session_id)), turn_no, event)


def word(number: int, part_id: str = "p") -> NewEvent:
    return NewEvent(EventType.MESSAGE_DELTA, {"partId": part_id, "text": f"{number} "})


def words(count: int, part_id: str = "p") -> list[NewEvent]:
    return [word(number, part_id) for number in range(1, count + 1)]


def idle(turn_no: int) -> NewEvent:
    return NewEvent(EventType.SESSION_IDLE, {"outcome": "completed"}, f"idle:{turn_no}")


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that happens in this loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


async def open_session(person: Person) -> str:
    project = await person.make_project()
    harness = await person.make_harness(project)
    return str((await person.make_session(harness))["session_id"])


async def share(owner: Person, session_id: str, member: Person) -> str:
    """Make somebody a member of a session's project; gives the project's id."""
    session = (await owner.get(f"/sessions/{session_id}")).json()
    project_id = (await owner.get(f"/harnesses/{session['harness_id']}")).json()["project_id"]
    answer = await owner.post(f"/projects/{project_id}/members", {"username": member.name})
    assert answer.status_code == 201
    return str(project_id)
