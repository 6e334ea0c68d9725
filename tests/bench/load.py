"""The load: prompts that make the harness talk, and whoever watches what it says.

The load is open: the harness sends by the clock, whatever the platform does, so a slow platform is
measured, not waited for. Turns begin one after the other during a warm-up; what is sent after it is
measured, for everybody at the same time.
"""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

import aiohttp

from tests.bench.rig import Rig
from tests.bench.watchers import Watched, Watcher

OPENCODE_USER = "opencode"
BEGIN_SECONDS = 0.15
"""Between the beginnings of two turns: a beginning costs as much as hundreds of events."""
MIN_WARM_UP = 5.0
PATIENCE = 20.0
"""Seconds after the last piece was sent in which it has to come; later is lost."""


class Watch(Protocol):
    """Opens a stream of a session, from now on, or from where `seen` ended."""

    async def __call__(self, session: str, seen: Watched | None = None) -> Watcher: ...


@dataclass(frozen=True)
class Target:
    """One way to a session's events: through the platform, or through the null relay."""

    name: str
    watch: Watch
    prompt: Callable[[str, str], Coroutine[None, None, None]]
    open_session: Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Load:
    """What a load was: who saw what, and when it was measured (monotonic nanoseconds)."""

    watched: list[Watched]
    expected: int
    """Pieces that each watcher should have seen."""
    begin: int
    end: int

    def delays(self) -> list[float]:
        """Return all delays of the measured time in milliseconds, sorted."""
        return sorted(d for each in self.watched for d in each.delays(self.begin, self.end))


def platform_target(rig: Rig) -> Target:
    """Go through the platform: prompts to the API, events from its stream."""
    headers = {"Authorization": f"Bearer {rig.token}"}

    async def prompt(session: str, text: str) -> None:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        await rig.post(f"/sessions/{session}/prompts", {"text": text}, **key)

    urls = cycle(rig.urls)

    async def watch(session: str, seen: Watched | None = None) -> Watcher:
        if seen is None:
            head = (await rig.get(f"/sessions/{session}"))["last_seq"]
            seen = Watched(last_id=int(head))
        url = f"{next(urls)}/api/v1/sessions/{session}/events?after={seen.last_id}"
        return await Watcher.open(url, headers, seen)

    return Target("cattery", watch, prompt, rig.open_session)


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

    async def watch(session: str, seen: Watched | None = None) -> Watcher:
        return await Watcher.open(f"{relay_url}/events/{session}", {}, seen)

    return Target("null relay", watch, prompt, open_session)


@asynccontextmanager
async def watching(target: Target, sessions: Sequence[str]) -> AsyncIterator[list[Watcher]]:
    """Watch sessions, a watcher each time that one is named; all are open when the body runs."""
    watchers: list[Watcher] = []
    try:
        for begin in range(0, len(sessions), 20):
            wave = sessions[begin : begin + 20]
            watchers += await asyncio.gather(*(target.watch(session) for session in wave))
        yield watchers
    finally:
        for watcher in watchers:
            watcher.close()


async def stream_load(
    target: Target,
    sessions: Sequence[str],
    *,
    watchers: int,
    rate: int,
    seconds: int,
    at_begin: Callable[[], None],
    at_end: Callable[[], None],
) -> Load:
    """Have every session talk at a rate; return what the watchers saw.

    Args:
        target: which way.
        sessions: one turn each.
        watchers: at least one a session; more are spread over them.
        rate: pieces a second and session.
        seconds: how long is measured, after the warm-up.
        at_begin: called when the measured time begins, for what else is measured.
        at_end: called when it ends.
    """
    warm_up = max(MIN_WARM_UP, len(sessions) * BEGIN_SECONDS)
    count = int(rate * (warm_up + seconds))
    text = f"stamp deltas={count} rate={rate} size=48"
    watched = [sessions[number % len(sessions)] for number in range(watchers)]
    async with watching(target, watched) as open_watchers:
        seen = [watcher.seen for watcher in open_watchers]
        started = time.monotonic()
        prompts = asyncio.create_task(_prompt_all(target, sessions, text, started))
        await asyncio.sleep(max(0.0, started + warm_up - time.monotonic()))
        begin = time.monotonic_ns()
        at_begin()
        await asyncio.sleep(seconds)
        at_end()
        end = time.monotonic_ns()
        await prompts
        deadline = started + 2 * warm_up + seconds + PATIENCE
        while time.monotonic() < deadline and any(len(w.stamps) < count for w in seen):
            await asyncio.sleep(0.1)
    return Load(seen, count, begin, end)


async def _prompt_all(target: Target, sessions: Sequence[str], text: str, started: float) -> None:
    """Begin the turns at their times, whether or not those before have been accepted."""
    tasks: list[asyncio.Task[None]] = []
    for number, session in enumerate(sessions):
        await asyncio.sleep(max(0.0, started + number * BEGIN_SECONDS - time.monotonic()))
        tasks.append(asyncio.create_task(target.prompt(session, text), name="prompt"))
    await asyncio.gather(*tasks)


async def first_event_times(target: Target, session: str, rounds: int) -> list[float]:
    """Measure, one prompt after the other, from the prompt to the first piece of its answer."""
    times = []
    for _ in range(rounds):
        async with watching(target, [session]) as (watcher,):
            asked = time.monotonic_ns()
            await target.prompt(session, "stamp deltas=1")
            while not watcher.seen.stamps:
                await asyncio.sleep(0.01)  # it notes itself when; looking more often costs a core
            times.append((watcher.seen.arrivals[0] - asked) / 1e6)
        await asyncio.sleep(0.25)  # people do not prompt before the last turn has ended
    return times
