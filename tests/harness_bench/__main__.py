"""`make harness-bench`: every harness, the real program, through the same scenarios.

    python -m tests.harness_bench [--harness TYPE]… [--scenario NAME]… [--write] [--json FILE]

Starts a `cattery up` of its own with a scripted model behind its gateway, makes one harness of each
type, and prints a table. Ends with 1 where a cell is worse than in the committed table;
`--write` makes what came the committed table.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cattery.harnesses.manifest import Manifest, Transport, load_manifests
from tests.bench.tables import describe_run
from tests.harness_bench import table as tables
from tests.harness_bench.chat_faults import CHAT_FAULTS
from tests.harness_bench.chats import CHATS
from tests.harness_bench.limits import LIMITS
from tests.harness_bench.scenario import Scenario, Subject
from tests.harness_bench.site import Place, running_place
from tests.harness_bench.table import Cell, Outcome, Table
from tests.harness_bench.terminals import TERMINAL_SCENARIOS

MANIFESTS = Path(__file__).parents[2] / "harness_images"
HARNESSES_AT_ONCE = 2
SCENARIOS_AT_ONCE = 3
_DETAIL_LETTERS = 4_000
_SHORT_LETTERS = 160
CHAT_SCENARIOS = (*CHATS, *CHAT_FAULTS)


def scenarios_of(manifest: Manifest) -> tuple[Scenario, ...]:
    """Return the rows that are meant for a harness of this transport."""
    return TERMINAL_SCENARIOS if manifest.transport is Transport.TERMINAL else CHAT_SCENARIOS


async def run_scenario(subject: Subject, scenario: Scenario) -> Cell:
    """Run one scenario and judge it."""
    manifest = subject.manifest
    if scenario.needs and not getattr(manifest.capabilities, scenario.needs):
        return Cell(Outcome.NOT_OFFERED, detail=f"capabilities.{scenario.needs} = false")
    began = time.perf_counter()
    try:
        async with asyncio.timeout(scenario.within):
            await scenario.run(subject)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}"[:_DETAIL_LETTERS]
        outcome = Outcome.LIMIT if (manifest.id, scenario.name) in LIMITS else Outcome.FAILED
        return Cell(outcome, time.perf_counter() - began, detail)
    if (manifest.id, scenario.name) in LIMITS:
        print(f"{manifest.id} · {scenario.name} passes: take it out of limits.py", flush=True)
    return Cell(Outcome.PASSED, time.perf_counter() - began)


async def run_harness(
    place: Place, manifest: Manifest, scenarios: Sequence[Scenario]
) -> dict[str, Cell]:
    """Run what is meant for a harness: a few at a time, then those that disturb, alone.

    What failed is tried once more: a crowded machine is no news of the harness. It is printed.
    """
    began = time.perf_counter()
    try:
        subject = await place.make_subject(manifest)
    except AssertionError as error:
        print(f"{manifest.id:<12} did not start: {error}", flush=True)
        failed = Cell(Outcome.FAILED, time.perf_counter() - began, f"did not start: {error}")
        return {scenario.name: failed for scenario in scenarios}
    cells: dict[str, Cell] = {}
    slots = asyncio.Semaphore(SCENARIOS_AT_ONCE)

    async def run(scenario: Scenario) -> None:
        async with slots:
            cell = await run_scenario(subject, scenario)
        cells[scenario.name] = cell
        said = f"{cell.outcome} {cell.seconds:.1f} s"
        print(f"{manifest.id:<12} {scenario.name:<20} {said}", flush=True)
        if cell.outcome is Outcome.FAILED:
            print(f"    {cell.detail}", flush=True)

    together = [one for one in scenarios if not one.alone]
    await asyncio.gather(*(run(scenario) for scenario in together))
    for scenario in scenarios:
        if scenario.alone:
            await run(scenario)
    for scenario in scenarios:
        if cells[scenario.name].outcome is Outcome.FAILED:
            print(
                f"{manifest.id:<12} {scenario.name:<20} again, with nothing beside it", flush=True
            )
            await run(scenario)
    await subject.client.ask("DELETE", f"/harnesses/{subject.harness_id}")
    return cells


async def run_all(arguments: argparse.Namespace) -> Table:
    """Run everything that was asked for."""
    manifests = [
        manifest
        for manifest in load_manifests(MANIFESTS).values()
        if not arguments.harness or manifest.id in arguments.harness
    ]
    slots = asyncio.Semaphore(HARNESSES_AT_ONCE)
    table: Table = {}

    async def run(place: Place, manifest: Manifest) -> None:
        wanted = [
            scenario
            for scenario in scenarios_of(manifest)
            if not arguments.scenario or scenario.name in arguments.scenario
        ]
        async with slots:
            if wanted:
                table[manifest.id] = await run_harness(place, manifest, wanted)

    with tempfile.TemporaryDirectory(prefix="cattery-harness-bench-") as folder:
        async with running_place(Path(folder)) as place:
            await asyncio.gather(*(run(place, manifest) for manifest in manifests))
    return table


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness_bench", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--harness", action="append", help="only this type (may be repeated)")
    parser.add_argument("--scenario", action="append", help="only this row (may be repeated)")
    parser.add_argument("--write", action="store_true", help="commit to what came")
    parser.add_argument("--json", type=Path, help="write everything that is known to this file")
    return parser.parse_args(arguments)


def main() -> int:
    """Run the bench; 1 where something is worse than before."""
    arguments = parse()
    print(describe_run())
    began = time.perf_counter()
    table = asyncio.run(run_all(arguments))
    for rows in (CHAT_SCENARIOS, TERMINAL_SCENARIOS):
        print(f"\n{tables.show(table, rows)}")
    print(f"\n{time.perf_counter() - began:.0f} seconds")
    if arguments.json:
        arguments.json.write_text(tables.as_json(table))
    kept = tables.read_kept()
    worse = tables.find_regressions(kept, table)
    if arguments.write:
        versions = {name: one.version for name, one in load_manifests(MANIFESTS).items()}
        merged = {name: kept.get(name, {}) | table.get(name, {}) for name in {*kept, *table}}
        tables.keep(merged, versions, [CHAT_SCENARIOS, TERMINAL_SCENARIOS])
    for line in worse:
        print(f"WORSE  {line}")
    # Once more in short, since of a long output often the end alone is kept.
    if worse:
        print(f"\n{len(worse)} worse than in {tables.KEPT.name}:")
    for line in worse:
        print(f"  {line.strip().splitlines()[0][:_SHORT_LETTERS]}")
    sys.stdout.flush()
    return 1 if worse else 0


if __name__ == "__main__":
    raise SystemExit(main())
