"""Runs the nemesis for a given time, or soaks the system without one, and prints what came of it.

python -m tests.faults.streams --minutes 10 --seed 7
python -m tests.faults.streams --minutes 10 --seed 7 --only 'worker killed'
python -m tests.faults.streams --minutes 60 --soak
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.faults.streams.checks import explain
from tests.faults.streams.installation import open_installation
from tests.faults.streams.misfortunes import MISFORTUNES, Misfortune
from tests.faults.streams.nemesis import Nemesis
from tests.faults.streams.people import People, people_of
from tests.faults.streams.soak import soak

HARNESSES = 2


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None, help="repeats the plan of a run")
    parser.add_argument("--only", action="append", default=[], help="only faults whose name has it")
    parser.add_argument("--soak", action="store_true", help="no faults: look for leaks")
    parser.add_argument("--history", type=Path, help="writes the history to a file in any case")
    given = parser.parse_args()
    seed = secrets.randbelow(10_000) if given.seed is None else given.seed
    with tempfile.TemporaryDirectory(prefix="cattery-nemesis-") as folder:
        sys.exit(asyncio.run(_run(given, seed, Path(folder))))


async def _run(given: argparse.Namespace, seed: int, folder: Path) -> int:
    print(f"seed {seed}", flush=True)
    async with _people(folder) as people:
        if given.soak:
            print(await soak(people, given.minutes * 60))
            return 0
        nemesis = Nemesis(people, seed, _choose(given.only))
        history = people.installation.history
        try:
            report = await nemesis.run(given.minutes * 60)
        except BaseException:
            print(f"seed {seed}\n{history}", flush=True)
            raise
        if given.history:
            given.history.write_text(f"{history}\n")
        if report.violations:
            print(f"seed {seed}\n{explain(people.installation, report)}")
            return 1
        print(f"seed {seed}, {given.minutes:g} minutes\n\n{report}")
        return 0


def _choose(only: Sequence[str]) -> list[Misfortune]:
    return [each for each in MISFORTUNES if not only or any(word in each.name for word in only)]


@asynccontextmanager
async def _people(folder: Path) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(open_installation(folder))
        people = await stack.enter_async_context(people_of(made))
        project = await people.ask("POST", "/projects", {"project_name": "nemesis"})
        for _ in range(HARNESSES):
            await people.add_harness(str(project["project_id"]))
        yield people


if __name__ == "__main__":
    main()
