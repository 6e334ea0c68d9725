"""Half an eye on memory and open files for hours: what grows without an end is a leak."""

import asyncio
import time
from dataclasses import dataclass
from typing import override

from tests.faults.streams.checks import check, settle
from tests.faults.streams.people import People
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher, Way, watching
from tests.growth import SAMPLE_SECONDS, Samples, tell_growth

SESSIONS = 10
TALK = "stamp deltas=200 rate=20 size=24 parts=1 tools=1"


@dataclass
class Soaked:
    """The samples of every process, and what was checked meanwhile."""

    samples: dict[str, Samples]
    report: Report

    @override
    def __str__(self) -> str:
        return "\n".join([tell_growth(self.samples), "", str(self.report), *self.report.violations])


async def soak(people: People, seconds: float) -> Soaked:
    """Have sessions talk one turn after the other for so long, and measure."""
    installation = people.installation
    nodes = (*installation.apis, *installation.workers)
    samples = {node.name: Samples() for node in nodes}
    ends_at = time.monotonic() + seconds
    talking = [asyncio.create_task(_talk(people, number, ends_at)) for number in range(SESSIONS)]
    while time.monotonic() < ends_at:
        for node in nodes:
            samples[node.name].take(node.process.process)
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
