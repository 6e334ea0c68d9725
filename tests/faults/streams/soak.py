"""Half an eye on memory and open files for hours: what grows without an end is a leak."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import override

from tests.faults.streams.checks import check, settle
from tests.faults.streams.people import People
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher, Way, watching

SAMPLE_SECONDS = 10.0
WARM_UP = 0.2
"""Share of the samples that do not count: caches fill."""
SESSIONS = 10
TALK = "stamp deltas=200 rate=20 size=24 parts=1 tools=1"
MIB = 1024 * 1024


@dataclass
class Samples:
    """What one process used, by time."""

    at: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    fds: list[float] = field(default_factory=list)

    def slope(self, values: list[float]) -> float:
        """Return the growth an hour of the least-squares line after the warm-up."""
        skip = int(len(self.at) * WARM_UP)
        xs, ys = self.at[skip:], values[skip:]
        if len(xs) < 2:
            return 0.0
        middle, mean = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - middle) ** 2 for x in xs)
        return sum((x - middle) * (y - mean) for x, y in zip(xs, ys, strict=True)) / spread * 3600


@dataclass
class Soaked:
    """The samples of every process, and what was checked meanwhile."""

    samples: dict[str, Samples]
    report: Report

    @override
    def __str__(self) -> str:
        lines = [
            f"{'process':<12} {'RSS MiB':>8} {'MiB an hour':>12} {'FDs':>5} {'FDs an hour':>12}"
        ]
        for name, each in self.samples.items():
            lines.append(
                f"{name:<12} {each.rss[-1] / MIB:>8.1f} {each.slope(each.rss) / MIB:>12.2f} "
                f"{each.fds[-1]:>5.0f} {each.slope(each.fds):>12.2f}"
            )
        return "\n".join([*lines, "", str(self.report), *self.report.violations])


async def soak(people: People, seconds: float) -> Soaked:
    """Have sessions talk one turn after the other for so long, and measure."""
    installation = people.installation
    nodes = (*installation.apis, *installation.workers)
    samples = {node.name: Samples() for node in nodes}
    ends_at = time.monotonic() + seconds
    talking = [asyncio.create_task(_talk(people, number, ends_at)) for number in range(SESSIONS)]
    while time.monotonic() < ends_at:
        for node in nodes:
            process, found = node.process.process, samples[node.name]
            found.at.append(time.monotonic())
            found.rss.append(process.memory_info().rss)
            found.fds.append(process.num_fds())
        await asyncio.sleep(SAMPLE_SECONDS)
    watchers = [each for found in await asyncio.gather(*talking) for each in found]
    report = await check(installation, people.turns, watchers)
    return Soaked(samples, report)


async def _talk(people: People, number: int, ends_at: float) -> list[Watcher]:
    watched: list[Watcher] = []
    harnesses = people.installation.harness_ids
    while time.monotonic() < ends_at:
        session = await people.open_session(harnesses[number % len(harnesses)])
        watchers = [Watcher(people.installation, session, way, number) for way in Way]
        watched += watchers
        async with watching(people.installation, watchers):
            for _ in range(5):
                turn = await people.prompt(session, TALK)
                await settle(people.installation, [turn], watchers)
    return watched
