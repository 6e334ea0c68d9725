"""People who prompt: they try again until they are told that their prompt was taken."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from cattery.jsontypes import Json, JsonObject
from tests.faults.streams.installation import Installation
from tests.faults.streams.watchers import signed_in

PATIENCE = 120.0
CALL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt that was taken."""

    session_id: str
    turn_id: str
    turn_no: int
    text: str


@dataclass(eq=False)
class People:
    """The installation as somebody who is patient uses it."""

    installation: Installation
    http: aiohttp.ClientSession
    turns: list[Turn] = field(default_factory=list)
    tries: int = 0
    _turns: int = 0

    async def prompt(self, session_id: str, text: str) -> Turn:
        """Prompt, under one Idempotency-Key however often that takes."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answer = await self.ask("POST", f"/sessions/{session_id}/prompts", {"text": text}, key)
        turn = Turn(session_id, str(answer["turn_id"]), int(str(answer["turn_no"])), text)
        self.turns.append(turn)
        self.installation.history.note(f"turn {turn.turn_no} of {session_id} was taken: {text}")
        return turn

    async def ask(
        self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None
    ) -> JsonObject:
        """Ask one API after the other until one of them answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            urls = self.installation.urls
            self.tries += 1
            url = f"{urls[self.tries % len(urls)]}/api/v1{path}"
            said = ""
            try:
                timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
                async with self.http.request(
                    method, url, json=body, headers=headers, timeout=timeout
                ) as answer:
                    if answer.status < 300:
                        given: JsonObject = await answer.json() if answer.status != 204 else {}
                        return given
                    said = f"{answer.status} {await answer.text()}"
                    assert answer.status >= 500 or answer.status == 429, f"{method} {path}: {said}"
            except (aiohttp.ClientError, ConnectionError, TimeoutError) as error:
                said = repr(error)
            assert time.monotonic() < deadline, f"{method} {path} had no answer: {said}"
            await asyncio.sleep(0.2)

    async def add_harness(self, project_id: str) -> str:
        """Make a harness and wait until it is ready."""
        wanted: Json = {"model": "gpt-5.5", "type": "opencode"}
        made = await self.ask("POST", f"/projects/{project_id}/harnesses", wanted)
        harness_id = str(made["harness_id"])
        self.installation.harness_ids.append(harness_id)
        await self.wait_for(f"/harnesses/{harness_id}", "sandbox_status", "ready")
        return harness_id

    async def link_to(self, harness_id: str) -> str:
        """Return the name of the link to a harness that runs."""
        harness = await self.ask("GET", f"/harnesses/{harness_id}")
        return f"harness:{str(harness['sandbox_url']).rpartition(':')[2]}"

    async def open_session(self, harness_id: str) -> str:
        """Make a session and wait until it is ready."""
        made = await self.ask("POST", f"/harnesses/{harness_id}/sessions", {})
        session_id = str(made["session_id"])
        await self.wait_for(f"/sessions/{session_id}", "status", "ready")
        return session_id

    async def open_sessions(self, harness_id: str, count: int) -> list[str]:
        return list(await asyncio.gather(*(self.open_session(harness_id) for _ in range(count))))

    async def wait_for(self, path: str, name: str, value: str) -> JsonObject:
        """Poll an object until a field has a value."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = await self.ask("GET", path)
            if found[name] == value:
                return found
            assert found[name] != "failed", found
            assert time.monotonic() < deadline, f"{path} stayed {found[name]}"
            await asyncio.sleep(0.1)


@asynccontextmanager
async def people_of(installation: Installation) -> AsyncIterator[People]:
    """Have people while the body runs."""
    async with signed_in(installation) as http:
        yield People(installation, http)
