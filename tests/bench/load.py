"""The load: watchers that read streams, and prompts that make the harness talk.

Times are the machine's monotonic clock: the harness writes it into each piece of text as it sends
it (`@<ns> `), and the watcher reads the same clock when it has the piece. The harness sends by the
clock, whatever the platform does, so a slow platform is measured, not waited for.
"""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.bench.rig import Rig

_STAMP = re.compile(rb"@(\d{12,}) ")
_PIECE = re.compile(rb'"type":"message(?:\.part)?\.delta"')
OPENCODE_USER = "opencode"


@dataclass
class Watched:
    """What one watcher saw: for each piece when it was sent and how long it took, in seconds."""

    stamps: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    def take(self, frames: bytes) -> None:
        """Take whole frames. Only pieces count, not the summaries that harnesses send of them."""
        now = time.monotonic_ns()
        for frame in frames.split(b"\n\n"):
            if _PIECE.search(frame):
                for match in _STAMP.finditer(frame):
                    sent = int(match.group(1))
                    self.stamps.append(sent)
                    self.delays.append((now - sent) / 1e9)

    def steady(self, warm_up: float) -> list[float]:
        """Return the delays of the pieces that were sent after the first seconds."""
        since = (self.stamps[0] if self.stamps else 0) + warm_up * 1e9
        return [d for s, d in zip(self.stamps, self.delays, strict=True) if s >= since]

    def check(self, expected: int) -> tuple[int, int]:
        """Return how many pieces are missing, and how many came twice or out of order."""
        disorder = sum(b <= a for a, b in zip(self.stamps, self.stamps[1:], strict=False))
        return expected - len(set(self.stamps)), disorder


@dataclass(frozen=True)
class Target:
    """One way to a session's events: through the platform, or through the null relay."""

    name: str
    watch_url: Callable[[str], Awaitable[str]]
    prompt: Callable[[str, str], Awaitable[None]]
    open_session: Callable[[], Awaitable[str]]
    http: aiohttp.ClientSession


def platform_target(rig: Rig) -> Target:
    """Go through the platform: prompts to the API, events from its stream."""

    async def prompt(session: str, text: str) -> None:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        await rig.post(f"/sessions/{session}/prompts", {"text": text}, **key)

    async def watch_url(session: str) -> str:
        head = (await rig.get(f"/sessions/{session}"))["last_seq"]
        return f"{rig.base_url}/api/v1/sessions/{session}/events?after={head}"

    return Target("cattery", watch_url, prompt, rig.open_session, rig.http)


def relay_target(rig: Rig, relay_url: str, http: aiohttp.ClientSession) -> Target:
    """Go past the platform: prompts to the harness, events from the null relay."""
    auth = aiohttp.BasicAuth(OPENCODE_USER, rig.harness_password)

    async def open_session() -> str:
        async with http.post(f"{rig.harness_url}/session", json={}, auth=auth) as answer:
            session: str = (await answer.json())["id"]
            return session

    async def prompt(session: str, text: str) -> None:
        url = f"{rig.harness_url}/session/{session}/prompt_async"
        body = {"parts": [{"type": "text", "text": text}]}
        async with http.post(url, json=body, auth=auth) as answer:
            assert answer.status == 204, await answer.text()

    async def watch_url(session: str) -> str:
        return f"{relay_url}/events/{session}"

    return Target("null relay", watch_url, prompt, open_session, http)


@asynccontextmanager
async def watching(target: Target, session: str) -> AsyncIterator[Watched]:
    """Watch a session while the body runs; entering returns once the stream is open."""
    watched = Watched()
    answer = await target.http.get(await target.watch_url(session))
    assert answer.status == 200, await answer.text()

    async def read() -> None:
        rest = b""
        async for chunk in answer.content.iter_any():
            head, separator, rest = (rest + chunk).rpartition(b"\n\n")
            watched.take(head + separator)

    reader = asyncio.create_task(read())
    try:
        yield watched
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        answer.close()


async def stream_load(
    target: Target, sessions: Sequence[str], *, rate: int, seconds: int
) -> list[Watched]:
    """Have every session talk at a rate, one watcher each; return what they saw."""
    count = rate * seconds
    async with AsyncWatchers(target, sessions) as watchers:
        text = f"stamp deltas={count} rate={rate} size=48"
        await asyncio.gather(*(target.prompt(session, text) for session in sessions))
        deadline = time.monotonic() + seconds + 20
        while time.monotonic() < deadline and any(len(w.stamps) < count for w in watchers):
            await asyncio.sleep(0.1)
        return watchers


class AsyncWatchers:
    """A watcher a session, all open before anything is said."""

    def __init__(self, target: Target, sessions: Sequence[str]) -> None:
        self._open = [watching(target, session) for session in sessions]

    async def __aenter__(self) -> list[Watched]:
        return list(await asyncio.gather(*(w.__aenter__() for w in self._open)))

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(w.__aexit__(None, None, None) for w in self._open))


async def first_event_times(target: Target, session: str, rounds: int) -> list[float]:
    """Measure, one prompt after the other, from the prompt to the first piece of its answer."""
    times = []
    for _ in range(rounds):
        async with watching(target, session) as watched:
            asked = time.monotonic()
            await target.prompt(session, "stamp deltas=1")
            while not watched.stamps:
                await asyncio.sleep(0.0005)
            times.append(watched.stamps[-1] / 1e9 + watched.delays[-1] - asked)
        await asyncio.sleep(0.25)  # people do not prompt before the last turn has ended
    return times
