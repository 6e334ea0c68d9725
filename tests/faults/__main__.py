"""Runs the cuts by hand, all of them or exactly one.

python -m tests.faults                                  all sites, all lifecycles
python -m tests.faults --site local --lifecycle stop    those of one
python -m tests.faults --site local --lifecycle stop --calls      its calls, and no cut
python -m tests.faults --site local --lifecycle stop --cut 'sandbox.stop: COMMIT#1'
python -m tests.faults --site local --lifecycle stop --cut 17     the 17th of its calls
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import Campaign
from tests.faults.lifecycles import LIFECYCLES, Lifecycle
from tests.faults.report import write_line, write_report
from tests.faults.rig import SITES, open_lanes
from tests.faults.runs import Cut, Outcome, count_calls, try_cut
from tests.faults.sites import Lane


async def run(given: argparse.Namespace, folder: Path) -> int:
    sites = [given.site] if given.site else SITES
    chosen = [each for each in LIFECYCLES if given.lifecycle in (None, each.name)]
    is_single = bool(given.cut or given.calls)
    began = time.monotonic()
    async with open_lanes(folder, sites, 1 if is_single else given.lanes) as lanes:
        campaign = Campaign(lanes, given.seed, given.room, tell)
        if is_single:
            for lane in lanes:
                for lifecycle in chosen:
                    await look_closer(campaign, lane, lifecycle, given.cut)
        else:
            await campaign.run(chosen)
    print(write_report(campaign))
    print(f"{time.monotonic() - began:.0f} s")
    return int(bool(campaign.wrong) or any(each.left for each in campaign.outcomes))


def tell(outcome: Outcome) -> None:
    print("\n  ".join([write_line(outcome), *outcome.left]), flush=True)


async def look_closer(
    campaign: Campaign, lane: Lane, lifecycle: Lifecycle, cut: str | None
) -> None:
    """List the calls of one lifecycle, or cut it at one of them."""
    calls, wrong = await count_calls(lane, lifecycle)
    campaign.calls[lane.site.name, lifecycle.name] = calls
    campaign.wrong += wrong
    if cut is None:
        print(f"{lane.site.name}, {lifecycle.name}")
        for number, call in enumerate(calls, start=1):
            print(f"{number:>4} {'effect' if call.has_effect else 'look':<6} {call.name}")
        return
    number = int(cut) if cut.isdigit() else 0
    name = calls[number - 1].name if number else cut
    outcome = await try_cut(lane, Cut(lifecycle, number, name))
    campaign.outcomes.append(outcome)
    tell(outcome)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", choices=SITES)
    parser.add_argument("--lifecycle", choices=[each.name for each in LIFECYCLES])
    parser.add_argument("--cut", help="name or number of the one call to die after")
    parser.add_argument("--calls", action="store_true", help="list the calls, and cut nothing")
    parser.add_argument("--lanes", type=int, default=6, help="cuts at once, of each site")
    parser.add_argument("--room", type=int, default=8, help="cuts of each lifecycle at each site")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    with tempfile.TemporaryDirectory(prefix="cattery-faults-") as folder:
        sys.exit(asyncio.run(run(parser.parse_args(), Path(folder))))


if __name__ == "__main__":
    main()
