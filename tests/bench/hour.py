"""An hour at half the highest load: whether anything grows that should not, or is lost.

Sessions talk one turn (of a minute) after the other, each beginning at its own moment, and more
watch than talk. What was seen is checked after each turn and then forgotten, so that the load's own
memory does not grow. A turn is over when all who watch it have all of it, however late; only what
has not come after minutes is lost. A stream that is closed is opened again after its last event, as
any watcher does.
"""

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load import Target, watching
from tests.bench.rig import Rig
from tests.bench.tables import judge, quantile
from tests.bench.watchers import Watcher
from tests.growth import MIB, SAMPLE_SECONDS, Samples, tell_growth

SESSIONS, WATCHERS = 100, 250
GROWTH_MIB = 16.0
"""An hour, of an API or worker, that passes for none: a hundredth of what one may take."""
LOST_AFTER = 300.0
"""Seconds after a turn should have ended: what has not come by then is lost."""


@dataclass
class Checked:
    """What was found of the turns that have ended."""

    turns: int = 0
    delivered: int = 0
    lost: int = 0
    disorder: int = 0
    returns: int = 0
    """How often a watcher opened its stream again."""
    extra: list[float] = field(default_factory=list)
    """Seconds of each turn over those that the harness talks, until the last watcher had all."""


@dataclass(frozen=True)
class Talk:
    """One session that talks, and who watches it."""

    target: Target
    session: str
    watchers: list[Watcher]
    rate: int
    turn: int
    """Seconds."""

    async def go_on(self, ends_at: float, checked: Checked) -> None:
        """Talk one turn after the other, and check what was seen of each."""
        count = self.turn * self.rate
        while time.monotonic() < ends_at:
            began = time.monotonic()
            text = f"stamp deltas={count} rate={self.rate} size=48"
            await self.target.prompt(self.session, text)
            while any(len(each.seen.stamps) < count for each in self.watchers):
                if time.monotonic() - began > self.turn + LOST_AFTER:
                    ends_at = 0.0  # what comes later would be taken for the next turn's
                    break
                await asyncio.sleep(0.5)
                await self._come_back(checked)
            checked.turns += 1
            checked.extra.append(time.monotonic() - began - self.turn)
            for each in self.watchers:
                lost, disorder = each.seen.check(count)
                checked.delivered += len(each.seen.stamps)
                checked.lost += lost
                checked.disorder += disorder
                each.seen.forget()
            await asyncio.sleep(1)

    async def _come_back(self, checked: Checked) -> None:
        for number, watcher in enumerate(self.watchers):
            if watcher.ended:
                checked.returns += 1
                self.watchers[number] = await self.target.watch(self.session, watcher.seen)


async def measure_hour(
    rig: Rig, target: Target, sessions: Sequence[str], rate: int, minutes: float, turn: int
) -> dict[str, float]:
    """Have sessions talk and be watched for so long; print what grew, and what was lost.

    `turn` is how many seconds one takes. A worker keeps what Temporal knows of a session's turns
    until its workflow begins anew, after about 20 of them.
    """
    talking = sessions[:SESSIONS]
    names = [talking[number % len(talking)] for number in range(WATCHERS)]
    checked, samples = Checked(), defaultdict[str, Samples](Samples)
    parts = {"api": rig.apis, "worker": rig.workers}
    processes = {
        f"{kind}-{number}": process
        for kind, some in parts.items()
        for number, process in enumerate(some)
    }
    async with watching(target, names) as watchers:
        of_session: dict[str, list[Watcher]] = {each: [] for each in talking}
        for name, watcher in zip(names, watchers, strict=True):
            of_session[name].append(watcher)
        ends_at = time.monotonic() + minutes * 60

        async def talk(number: int, session: str) -> None:
            await asyncio.sleep(number * turn / SESSIONS)
            talk = Talk(target, session, of_session[session], rate, turn)
            await talk.go_on(ends_at, checked)

        async with asyncio.TaskGroup() as talks:
            for number, session in enumerate(talking):
                talks.create_task(talk(number, session))
            while time.monotonic() < ends_at:
                for name, process in processes.items():
                    samples[name].take(process)
                await asyncio.sleep(SAMPLE_SECONDS)
        for some in of_session.values():
            for watcher in some:
                watcher.close()
    growth = max(each.slope(each.rss) / MIB for each in samples.values())
    print(f"\n{minutes:g} minutes, {len(talking)} sessions x {rate}/s, {WATCHERS} watchers:")
    print(tell_growth(samples))
    print(
        f"  {checked.turns:,} turns, {checked.delivered:,} pieces delivered, lost {checked.lost}, "
        f"doubled or out of order {checked.disorder}; streams opened again: {checked.returns}"
    )
    p50, p99, worst = (quantile(checked.extra, share) for share in (0.5, 0.99, 1.0))
    print(
        f"  the last watcher had all of a turn {p50:.1f} s after its {turn} s (p50), "
        f"{p99:.1f} s (p99), {worst:.1f} s (worst)"
    )
    for part in (rig.api_process, rig.worker_process):
        for (level, event), times in _list_complaints(part.log).most_common(8):
            print(f"  {part.log.stem} logged {times} times: {level} {event}")
    print(f"  grows by {growth:.1f} MiB an hour at most  {judge(growth, GROWTH_MIB)}")
    found = {"lost": checked.lost, "disorder": checked.disorder, "turns": checked.turns}
    found |= {"returns": checked.returns, "delivered": checked.delivered}
    return found | {"growth_mib": growth, "extra_p50_s": p50, "extra_p99_s": p99}


def _list_complaints(log: Path) -> Counter[tuple[str, str]]:
    """Count the lines of a log that tell of something unusual, by level and event."""
    found = Counter[tuple[str, str]]()
    for line in log.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") not in {"debug", "info"}:
            found[str(entry.get("level")), str(entry.get("event"))] += 1
    return found
