"""An hour at half the highest load: whether anything grows that should not, or is lost.

Sessions talk one turn (of a minute) after the other, each beginning at its own moment, and more
watch than talk. What was seen is checked after each turn and then forgotten, so that the load's own
memory does not grow.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tests.bench.load import PATIENCE, Target, watching
from tests.bench.rig import Rig
from tests.bench.tables import judge
from tests.bench.watchers import Watched
from tests.growth import MIB, SAMPLE_SECONDS, Samples, tell_growth

SESSIONS, WATCHERS = 100, 250
GROWTH_MIB = 16.0
"""An hour, of an API or worker, that passes for none: a hundredth of what one may take."""


@dataclass
class Checked:
    """What was found of the turns that have ended."""

    turns: int = 0
    delivered: int = 0
    lost: int = 0
    disorder: int = 0


async def measure_hour(
    rig: Rig, target: Target, sessions: Sequence[str], rate: int, minutes: float, turn: int
) -> dict[str, float]:
    """Have sessions talk and be watched for so long; print what grew, and what was lost.

    `turn` is how many seconds one takes. A worker keeps what Temporal knows of a session's turns
    until its workflow begins anew, after about 90 of them: an hour of short turns sees that.
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
        seen: dict[str, list[Watched]] = {each: [] for each in talking}
        for name, watcher in zip(names, watchers, strict=True):
            seen[name].append(watcher.seen)
        ends_at = time.monotonic() + minutes * 60
        talks = [
            asyncio.create_task(
                _talk(
                    target,
                    session,
                    seen[session],
                    checked,
                    rate,
                    ends_at,
                    turn,
                    delay=number * turn / SESSIONS,
                )
            )
            for number, session in enumerate(talking)
        ]
        while time.monotonic() < ends_at:
            for name, process in processes.items():
                samples[name].take(process)
            await asyncio.sleep(SAMPLE_SECONDS)
        await asyncio.gather(*talks)
    growth = max(each.slope(each.rss) / MIB for each in samples.values())
    print(f"\n{minutes:g} minutes, {len(talking)} sessions x {rate}/s, {WATCHERS} watchers:")
    print(tell_growth(samples))
    print(
        f"  {checked.turns:,} turns, {checked.delivered:,} pieces delivered, lost {checked.lost}, "
        f"doubled or out of order {checked.disorder}"
    )
    print(f"  grows by {growth:.1f} MiB an hour at most  {judge(growth, GROWTH_MIB)}")
    found = {"lost": checked.lost, "disorder": checked.disorder, "turns": checked.turns}
    return found | {"growth_mib": growth, "delivered": checked.delivered}


async def _talk(
    target: Target,
    session: str,
    seen: Sequence[Watched],
    checked: Checked,
    rate: int,
    ends_at: float,
    turn: int,
    *,
    delay: float,
) -> None:
    """Have one session talk one turn after the other, and check what its watchers saw of each."""
    await asyncio.sleep(delay)
    count = turn * rate
    while time.monotonic() < ends_at:
        await target.prompt(session, f"stamp deltas={count} rate={rate} size=48")
        with suppress(TimeoutError):
            async with asyncio.timeout(turn + PATIENCE):
                while any(len(each.stamps) < count for each in seen):
                    await asyncio.sleep(0.5)
        checked.turns += 1
        for each in seen:
            lost, disorder = each.check(count)
            checked.delivered += len(each.stamps)
            checked.lost += lost
            checked.disorder += disorder
            each.forget()
        await asyncio.sleep(1)
