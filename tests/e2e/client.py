"""The API as a program uses it: calls, and a watcher that comes back where it was cut off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import aiohttp
import orjson

from cattery.jsontypes import Json, JsonObject

MODEL = "claude-sonnet-4-6"
_WITHIN = 60.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said to one request."""

    status: int
    body: Json

    @property
    def message(self) -> str:
        """The sentence of a refusal."""
        assert isinstance(self.body, dict), self
        return str(self.body["message"])


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a session's log."""

    seq: int
    type: str
    data: JsonObject


class Client:
    """A signed-in program."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self.http = http
        self.url = f"{url}/api/v1"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def sign_in(self, username: str, password: str) -> Self:
        """Return a client of this user."""
        body: Json = {"username": username, "password": password}
        token = text_of(await self.post("/auth/login", body), "token")
        return type(self)(self.http, self.url.removesuffix("/api/v1"), token)

    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        query: dict[str, str] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> Answer:
        """Send a request and return what came, whatever it is."""
        async with self.http.request(
            method, self.url + path, json=body, data=form, params=query, headers=self.headers
        ) as response:
            raw = await response.read()
        is_json = response.content_type == "application/json"
        return Answer(response.status, orjson.loads(raw) if is_json and raw else raw.decode())

    async def post(self, path: str, body: Json = None) -> Json:
        """Send something that must succeed."""
        answer = await self.ask("POST", path, body)
        assert answer.status < 300, (path, answer)
        return answer.body

    async def get(self, path: str, query: dict[str, str] | None = None) -> Json:
        """Read something that must be there."""
        answer = await self.ask("GET", path, query=query)
        assert answer.status == 200, (path, answer)
        return answer.body

    async def create_user(self, username: str, password: str) -> Self:
        """Make a user, as an administrator, and return them signed in."""
        body: Json = {"username": username, "password": password, "is_admin": False}
        await self.post("/admin/users", body)
        return await self.sign_in(username, password)

    async def create_project(self, name: str) -> str:
        return text_of(await self.post("/projects", {"project_name": name}), "project_id")

    async def create_harness(
        self, project_id: str, name: str, harness_type: str = "opencode", model: str = MODEL
    ) -> str:
        """Make a harness and wait until its sandbox is ready."""
        body: Json = {"harness_name": name, "model": model, "type": harness_type, "env_vars": {}}
        created = await self.post(f"/projects/{project_id}/harnesses", body)
        harness_id = text_of(created, "harness_id")
        await self.wait_for_sandbox(harness_id)
        return harness_id

    async def wait_for_sandbox(self, harness_id: str) -> None:
        """Wait until a harness's sandbox is ready.

        Raises:
            AssertionError: it failed.
        """
        async with asyncio.timeout(_WITHIN):
            while True:
                harness = await self.get(f"/harnesses/{harness_id}")
                status = text_of(harness, "sandbox_status")
                assert status != "failed", harness
                if status == "ready":
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def create_session(self, harness_id: str) -> str:
        return text_of(await self.post(f"/harnesses/{harness_id}/sessions", {}), "session_id")

    async def prompt(self, session_id: str, text: str) -> None:
        await self.post(f"/sessions/{session_id}/prompts", {"text": text})

    async def history(self, session_id: str) -> list[JsonObject]:
        """Return a session's messages as the contract shows them."""
        return objects_of(await self.get(f"/sessions/{session_id}/history"))

    @asynccontextmanager
    async def watch(self, session_id: str) -> AsyncIterator["Watcher"]:
        """Follow a session from its beginning until the block ends."""
        watcher = Watcher(self, session_id)
        task = asyncio.create_task(watcher.run())
        try:
            yield watcher
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Watcher:
    """Reads a session's events as a browser's EventSource does, across every cut connection."""

    def __init__(self, client: Client, session_id: str) -> None:
        self.events: list[Event] = []
        self.connections = 0
        self._client = client
        self._path = f"/sessions/{session_id}/events"
        self._news = asyncio.Condition()

    async def run(self) -> None:
        """Read for ever; after a cut, come back with the number of the last event that came."""
        while True:
            try:
                await self._read()
            except aiohttp.ClientError:
                await asyncio.sleep(_POLL_SECONDS)

    async def until(self, condition: Callable[[Event], bool], *, after: int = 0) -> Event:
        """Return the first event past a number that fits, once it has come."""
        found: Event | None = None

        def look() -> bool:
            nonlocal found
            found = next((e for e in self.events if e.seq > after and condition(e)), None)
            return found is not None

        try:
            async with asyncio.timeout(_WITHIN), self._news:
                await self._news.wait_for(look)
        except TimeoutError:
            said = "\n".join(f"{e.seq} {e.type} {e.data}" for e in self.events[-40:])
            raise AssertionError(f"the event did not come; these did:\n{said}") from None
        assert found is not None
        return found

    def said(self, *, after: int = 0) -> str:
        """Return the answer's text past a number as a client shows it, part by part."""
        parts: dict[str, str] = {}
        for event in self.events:
            if event.seq <= after or event.data.get("thinking"):
                continue
            if event.type == "message.delta":
                part_id = str(event.data["partId"])
                parts[part_id] = parts.get(part_id, "") + str(event.data["text"])
            elif event.type == "message.reset":
                parts[str(event.data["partId"])] = str(event.data["text"])
        return "\n".join(parts.values())

    async def _read(self) -> None:
        last = {"Last-Event-ID": str(self.events[-1].seq)} if self.events else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WITHIN)
        async with self._client.http.get(
            self._client.url + self._path, headers=self._client.headers | last, timeout=timeout
        ) as response:
            response.raise_for_status()
            self.connections += 1
            async for line in response.content:
                if line.startswith(b"data: "):
                    await self._take(orjson.loads(line.removeprefix(b"data: ")))

    async def _take(self, event: JsonObject) -> None:
        data = event["data"]
        assert isinstance(data, dict)
        assert isinstance(event["seq"], int)
        async with self._news:
            self.events.append(Event(event["seq"], str(event["type"]), data))
            self._news.notify_all()


def text_of(body: Json, key: str) -> str:
    """Return a string of a JSON object."""
    assert isinstance(body, dict), body
    value = body[key]
    assert isinstance(value, str), (key, body)
    return value


def objects_of(body: Json) -> list[JsonObject]:
    """Return a JSON list of objects."""
    assert isinstance(body, list), body
    found = [one for one in body if isinstance(one, dict)]
    assert len(found) == len(body), body
    return found
