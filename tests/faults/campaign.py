"""Cuts every lifecycle at every call that leaves the worker, and looks at what is left.

Each lifecycle is run once undisturbed, which tells its calls. Then it is run once for each call:
the worker is killed right after it, another one is started, and what somebody asked for must come
true; the invariants must hold, and once the user is deleted, nothing may be left.
"""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.faults.lifecycles import Lifecycle
from tests.faults.nursery import SeenCall
from tests.faults.runs import BEFORE, Cut, Outcome, count_calls, try_cut
from tests.faults.sites import Lane

LOOKS: Final = 2
"""Occurrences of a look that are cut: one repeated until something answers says no more."""
MOST_DOUBTFUL: Final = 2
"""Failed cuts of a campaign that are tried again; more of them are a fault for certain."""
TIMES_AGAIN: Final = 3


def choose_cuts(lifecycle: Lifecycle, calls: Sequence[SeenCall], room: int, seed: int) -> list[Cut]:
    """Choose the calls to cut at: those with effects first, evenly; then of the others, by chance.

    A look (a read, a statement of a transaction that does not commit) leaves everything as the call
    before it did, but for what the worker had in its memory.
    """
    numbered = list(enumerate(calls, start=1))
    chosen = [each for each in numbered if each[1].has_effect]
    looks = [each for each in numbered if not each[1].has_effect and _is_early(each[1])]
    if len(chosen) > room - 1:
        step = len(chosen) / (room - 1)
        chosen = [chosen[int(step * (place + 0.5))] for place in range(room - 1)]
    else:
        chance = random.Random(f"{seed} {lifecycle.name}")
        chosen += chance.sample(looks, min(room - 1 - len(chosen), len(looks)))
    cuts = [
        Cut(lifecycle, number, call.name) for number, call in sorted(chosen, key=lambda c: c[0])
    ]
    return [Cut(lifecycle, 0, BEFORE), *cuts]


def _is_early(call: SeenCall) -> bool:
    return int(call.name.rpartition("#")[2]) <= LOOKS


@dataclass
class Campaign:
    """All cuts of all sites.

    Attributes:
        seed: chooses among the calls that change nothing; printed, and given again to repeat.
        room: cuts of each lifecycle at each site.
        tell: hears of each outcome as it comes.
        calls: by site and lifecycle, the calls of the undisturbed run.
        outcomes: of every cut.
        doubtful: of cuts that failed among many and survived every time that they were tried alone.
        wrong: what was wrong without any cut.
    """

    lanes: Sequence[Lane]
    seed: int
    room: int
    tell: Callable[[Outcome], None] = lambda _: None
    calls: dict[tuple[str, str], list[SeenCall]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    doubtful: list[Outcome] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def run(self, lifecycles: Sequence[Lifecycle]) -> None:
        """Count the calls of all lifecycles, then try all cuts, one at a time in each lane."""
        sites = sorted({lane.site.name for lane in self.lanes})
        counts = {site: deque(lifecycles) for site in sites}
        await self._on_lanes(counts, self._count)
        cuts = {
            site: deque(
                interleave(
                    choose_cuts(each, self.calls.get((site, each.name), []), self.room, self.seed)
                    for each in lifecycles
                )
            )
            for site in sites
        }
        await self._on_lanes(cuts, self._try)
        await self._look_again()

    async def _look_again(self) -> None:
        """Try what failed again, with nothing beside it: was it the machine, or the cut?"""
        failed = [each for each in self.outcomes if each.left]
        if len(failed) > MOST_DOUBTFUL:
            return
        for outcome in failed:
            lane = next(lane for lane in self.lanes if lane.site.name == outcome.site)
            again = [await try_cut(lane, outcome.cut) for _ in range(TIMES_AGAIN)]
            for each in again:
                self.tell(each)
            if all(each.survived for each in again):
                self.outcomes[self.outcomes.index(outcome)] = again[-1]
                self.doubtful.append(outcome)

    async def _on_lanes[T](
        self, work: Mapping[str, deque[T]], do: Callable[[Lane, T], Awaitable[None]]
    ) -> None:
        async def serve(lane: Lane) -> None:
            while mine := work[lane.site.name]:
                await do(lane, mine.popleft())

        async with asyncio.TaskGroup() as tasks:
            for lane in self.lanes:
                tasks.create_task(serve(lane))

    async def _count(self, lane: Lane, lifecycle: Lifecycle) -> None:
        calls, wrong = await count_calls(lane, lifecycle)
        self.calls[lane.site.name, lifecycle.name] = calls
        self.wrong += [f"{lane.site.name}, {lifecycle.name}, without a cut: {w}" for w in wrong]

    async def _try(self, lane: Lane, cut: Cut) -> None:
        outcome = await try_cut(lane, cut)
        self.outcomes.append(outcome)
        self.tell(outcome)


def interleave[T](rows: Iterable[Sequence[T]]) -> list[T]:
    """Take the first of each, then the second of each, and so on: so that slow ones are spread."""
    found = itertools.chain.from_iterable(itertools.zip_longest(*rows))
    return [each for each in found if each is not None]
