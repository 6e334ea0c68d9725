"""A seeded nemesis: misfortunes one after the other and at once, while people prompt and watch.

The seed chooses the faults, their order, their lengths and what is prompted; what they meet depends
on the clock. So a seed repeats the plan of a run, not every interleaving of it.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from tests.faults.streams.checks import check, settle
from tests.faults.streams.delays import stall_between
from tests.faults.streams.misfortunes import MISFORTUNES, Misfortune
from tests.faults.streams.people import People, Turn
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher, Way, watching

TURNS_A_SESSION = 12
SESSIONS = 6
WATCHERS_A_SESSION = 3
LAST_SETTLE_SECONDS = 400.0
AT_ONCE = 2
"""Misfortunes that may overlap."""


@dataclass(eq=False)
class Struck:
    """A misfortune that came, and the times between which it was felt."""

    kind: Misfortune
    began_at: float
    ended_at: float = 0.0


@dataclass(eq=False)
class Nemesis:
    """One run."""

    people: People
    seed: int
    misfortunes: Sequence[Misfortune] = field(default_factory=lambda: MISFORTUNES)
    struck: list[Struck] = field(default_factory=list)
    watchers: list[Watcher] = field(default_factory=list)
    _is_over: bool = False
    _watching: AsyncExitStack = field(default_factory=AsyncExitStack)
    _busy: list[Misfortune] = field(default_factory=list)
    _restarts: int = 0

    async def run(self, seconds: float) -> Report:
        """Strike for so long, let everything come to rest, and check it all."""
        self._note(f"seed {self.seed}")
        async with self._watching:
            return await self._run(seconds)

    async def _run(self, seconds: float) -> Report:
        talking = [asyncio.create_task(self._talk(number)) for number in range(SESSIONS)]
        striking = [asyncio.create_task(self._strike(number)) for number in range(AT_ONCE)]
        tending = asyncio.create_task(self._tend())
        tasks = [*talking, *striking, tending]
        try:
            await self._wait(seconds, tasks)
            self._is_over = True
            await asyncio.gather(*striking)
            await asyncio.gather(*talking)
        finally:  # none may start anything again once the installation is taken down
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return await self._conclude()

    async def _wait(self, seconds: float, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the time to be up; whatever fails fails the run at once."""
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def _talk(self, number: int) -> None:
        """Have a session prompted again and again, then another one. Watchers stay to the end."""
        random = Random(f"{self.seed} talk {number}")
        people = self.people
        while not self._is_over:
            harness = people.installation.harness_ids[number % len(people.installation.harness_ids)]
            session = await people.open_session(harness)
            watchers = [
                Watcher(people.installation, session, random.choice(tuple(Way)), 10 * number + each)
                for each in range(WATCHERS_A_SESSION)
            ]
            self.watchers += watchers
            await self._watching.enter_async_context(watching(people.installation, watchers))
            turns: list[Turn] = []
            while len(turns) < TURNS_A_SESSION and not self._is_over:
                turns.append(await people.prompt(session, _choose_script(random)))
                await asyncio.sleep(random.uniform(0, 8))
            await settle(people.installation, turns, watchers)

    async def _strike(self, number: int) -> None:
        random = Random(f"{self.seed} strike {number}")
        await asyncio.sleep(3)
        while not self._is_over:
            kind = random.choice(self.misfortunes)
            if kind in self._busy or kind.victim in {each.victim for each in self._busy} - {""}:
                continue
            self._busy.append(kind)
            struck = Struck(kind, time.monotonic())
            self.struck.append(struck)
            self._note(f"+ {kind.name}")
            await kind.act(self.people.installation, random)
            self._note(f"- {kind.name}")
            self._busy.remove(kind)
            struck.ended_at = time.monotonic()
            await asyncio.sleep(random.uniform(0.5, 4))

    async def _tend(self) -> None:
        """Start again what ended by itself."""
        installation = self.people.installation
        while True:
            for node in (*installation.apis, *installation.workers):
                self._restarts += installation.restart_if_ended(node)
            await asyncio.sleep(0.5)

    async def _conclude(self) -> Report:
        installation = self.people.installation
        await settle(installation, self.people.turns, self.watchers, seconds=LAST_SETTLE_SECONDS)
        report = await check(installation, self.people.turns, self.watchers)
        report.restarts = self._restarts
        for each in self.struck:
            report.faults[each.kind.name] += 1
            stall = stall_between(self.watchers, each.began_at, each.ended_at)
            report.stalls[each.kind.name] = max(report.stalls[each.kind.name], stall)
        failed = set(report.outcomes) - {"completed"}
        if failed and not any(each.kind.hurts_turns for each in self.struck):
            report.violations.append("turns failed, though nothing happened to their harnesses")
        if failed - {"failed"}:
            report.violations.append(f"turns ended as nobody asked: {sorted(failed)}")
        return report

    def _note(self, what: str) -> None:
        self.people.installation.history.note(what)


def _choose_script(random: Random) -> str:
    deltas, rate = random.choice(((10, 20), (60, 20), (100, 40), (300, 0)))
    tools, parts = random.randrange(3), random.randint(1, 3)
    think = random.choice(("", " think"))
    return f"stamp deltas={deltas} rate={rate} size=24 parts={parts} tools={tools}{think}"
