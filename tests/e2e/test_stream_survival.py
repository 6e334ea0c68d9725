"""The API dies in the middle of a turn and comes back: whoever watches has every event once."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import pytest

from cattery.db.engine import Database
from cattery.db.event_log import read_events, read_head
from cattery.ids import SessionId, parse_id
from cattery.jsontypes import JsonObject
from tests.processes import System, running_system, running_temporal

DELTAS = 250
PROMPT = f"deltas={DELTAS} rate=50 size=1 tools=1"
"""Five seconds of text."""
PATIENCE = 30.0


@pytest.fixture
async def system(database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    async with running_temporal(tmp_path) as temporal:
        address = temporal.client.service_client.config.target_host
        async with running_system(tmp_path, database_url, address) as made:
            yield made


@dataclass
class Follower:
    """Somebody who watches a session until a turn ended, over any number of connections."""

    system: System
    session_id: str
    events: list[JsonObject] = field(default_factory=list)
    connections: int = 0

    async def follow(self, connect: Callable[["Follower"], Awaitable[None]]) -> list[JsonObject]:
        """Connect again and again, as a browser does, until the turn's end was seen."""
        while not self.is_over():
            try:
                await connect(self)
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
        return self.events

    def is_over(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] == "session.idle"

    @property
    def last(self) -> int:
        return int(str(self.events[-1]["seq"])) if self.events else 0

    def begin(self) -> None:
        self.connections += 1


async def by_event_source(follower: Follower) -> None:
    """Read the stream of server-sent events after the id that came last."""
    url = f"{follower.system.base_url}/api/v1/sessions/{follower.session_id}/events"
    headers = {"Last-Event-ID": str(follower.last)} if follower.last else {}
    async with follower.system.http.get(url, headers=headers) as stream:
        assert stream.status == 200, await stream.text()
        follower.begin()
        async for line in stream.content:
            if line.startswith(b"data: "):
                follower.events.append(orjson.loads(line.removeprefix(b"data: ")))
                if follower.is_over():
                    return


async def by_socket(follower: Follower) -> None:
    """Subscribe on the multiplexed socket after the event that came last."""
    system = follower.system
    async with system.http.ws_connect(f"{system.base_url}/api/v1/ws") as socket:
        follower.begin()
        wanted = {"session_id": follower.session_id, "after": follower.last}
        await socket.send_json({"op": "subscribe", **wanted})
        async for message in socket:
            frame = orjson.loads(message.data)
            assert frame["op"] != "error", frame
            follower.events += frame.get("events", [])
            if follower.is_over():
                return


async def test_an_api_that_is_killed_in_a_turn_and_started_again_costs_no_watcher_an_event(
    system: System, database: Database
) -> None:
    session_id = await system.open_session()
    followers = [Follower(system, session_id) for _ in range(3)]
    ways = (by_event_source, by_event_source, by_socket)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        following = [
            tasks.create_task(follower.follow(way))
            for follower, way in zip(followers, ways, strict=True)
        ]
        key = {"Idempotency-Key": "the only one"}
        first = await system.post(f"/sessions/{session_id}/prompts", {"text": PROMPT}, **key)
        await until(lambda: all(f.last > 20 for f in followers), "the first events")
        assert all(not f.is_over() for f in followers)

        system.api_process.kill()
        await log_grows(database, session_id)  # the turn goes on while nobody serves it
        system.api_process.start()
        await system.wait_until_ready()
        again = await system.post(f"/sessions/{session_id}/prompts", {"text": PROMPT}, **key)
        seen = [await each for each in following]

    assert again == first
    logged = await read_events(database, as_session(session_id))
    assert [event.seq for event in logged] == list(range(1, len(logged) + 1))
    expected: list[JsonObject] = [
        {"seq": e.seq, "turn_no": e.turn_no, "type": e.type, "data": e.data} for e in logged
    ]
    for follower, events in zip(followers, seen, strict=True):
        assert follower.connections > 1
        assert events == expected
    assert said(expected) == "".join(f"word{n} " for n in range(DELTAS))
    assert [event["data"] for event in expected if event["type"] == "session.idle"] == [
        {"outcome": "completed"}
    ]
    assert len(system.posted_prompts()) == 1


async def log_grows(database: Database, session_id: str) -> None:
    head = await read_head(database, as_session(session_id))
    for _ in itertools.count():
        if await read_head(database, as_session(session_id)) > head + 10:
            return
        await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


def as_session(session_id: str) -> SessionId:
    parsed = parse_id(session_id)
    assert parsed is not None
    return SessionId(parsed)


def said(events: list[JsonObject]) -> str:
    texts = [e["data"] for e in events if e["type"] == "message.delta"]
    return "".join(str(data["text"]) for data in texts if isinstance(data, dict))
