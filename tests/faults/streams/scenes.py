"""Sessions in which something is said while somebody watches, for a fault to come into."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.faults.streams.checks import assert_invariants, until
from tests.faults.streams.people import People, Turn
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher, Way, watching

TALK = "stamp deltas=80 rate=20 size=24 parts=2 tools=1 think"
"""Twelve seconds of reasoning, text, a tool and text."""
LONG_TALK = "stamp deltas=200 rate=20 size=24 parts=2 tools=1 think"
"""Half a minute of it."""


@dataclass(eq=False)
class Scene:
    """What goes on, and who watches."""

    people: People
    sessions: list[str]
    watchers: list[Watcher]
    turns: list[Turn] = field(default_factory=list)

    async def prompt_all(self, text: str, *, apart: float = 0.0) -> None:
        """Prompt in each session, with so many seconds between two."""
        for session in self.sessions:
            self.turns.append(await self.people.prompt(session, text))
            await asyncio.sleep(apart)

    async def until_talking(self, pieces: int = 10, seconds: float = 60.0) -> None:
        """Wait until every watcher has got more pieces, or all of its turn."""
        wanted = {each.number: len(each.delays) + pieces for each in self.watchers}
        await until(
            lambda: all(w.is_idle or len(w.delays) >= wanted[w.number] for w in self.watchers),
            "pieces for every watcher",
            seconds,
        )

    async def until_idle(self, seconds: float = 120.0) -> None:
        """Wait until every watcher has seen the end of the last turn of its session."""
        heads = {turn.session_id: turn.turn_no for turn in self.turns}
        await until(
            lambda: all(w.idle_after >= heads.get(w.session_id, 0) for w in self.watchers),
            "the ends of the turns",
            seconds,
        )

    async def finish(self, *, all_complete: bool = True) -> Report:
        """Wait for the end of all of it, and check that nothing is wrong."""
        return await assert_invariants(
            self.people.installation, self.turns, self.watchers, all_complete=all_complete
        )


@asynccontextmanager
async def scene(
    people: People,
    harness_id: str,
    *,
    sessions: int = 4,
    ways: Sequence[Way] = (Way.SSE, Way.SOCKET),
    text: str | None = TALK,
    apart: float = 0.0,
) -> AsyncIterator[Scene]:
    """Open sessions, watch each in some ways, and prompt in each where there is a text."""
    opened = await people.open_sessions(harness_id, sessions)
    watchers = [
        Watcher(people.installation, session, way, number)
        for number, (session, way) in enumerate((s, w) for s in opened for w in ways)
    ]
    async with watching(people.installation, watchers):
        made = Scene(people, opened, watchers)
        if text:
            await made.prompt_all(text, apart=apart)
            if not apart:
                await made.until_talking()
        yield made
