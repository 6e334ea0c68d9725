"""`make harness-drift`: what changes with another version of a harness.

    python -m tests.harness_bench.drift --harness opencode --version 1.18.32 [--scenario NAME]…

Installs that version in a folder of its own, runs the bench's scenarios with the pinned one and
then with that one, and prints what differs: outcomes, events that no translator knows, fields that
are gone or new. Ends with 1 where anything does.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cattery.harnesses.manifest import Manifest, load_manifests
from tests.bench.tables import describe_run
from tests.harness_bench.__main__ import run_harness, scenarios_of
from tests.harness_bench.observed import Observations, Version, as_json, compare, listen
from tests.harness_bench.repin import CLONE, MANIFESTS, RepinError, repin
from tests.harness_bench.scenario import Scenario
from tests.harness_bench.site import running_place

FOLDER = CLONE / ".drift"
"""Where other versions are installed; what is there is not fetched again."""


async def run_version(
    manifest: Manifest, env: Mapping[str, str], scenarios: Sequence[Scenario]
) -> Version:
    """Run the scenarios with one version."""
    print(f"\n{manifest.id} {manifest.version}", flush=True)
    seen: Observations = {}
    with tempfile.TemporaryDirectory(prefix="cattery-harness-drift-") as folder:
        async with running_place(Path(folder), env) as place:
            cells = await run_harness(place, manifest, listen(scenarios, seen))
    return Version(manifest.version, cells, seen)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness_bench.drift", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--harness", required=True, help="its type")
    parser.add_argument("--version", required=True, help="the version to compare with the pinned")
    parser.add_argument("--scenario", action="append", help="only this row (may be repeated)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to install it")
    return parser.parse_args(arguments)


def main() -> int:
    """Compare; 1 where something differs."""
    arguments = parse()
    manifest = load_manifests(MANIFESTS)[arguments.harness]
    print(describe_run())
    folder = arguments.folder.absolute() / f"{manifest.id}-{arguments.version}"
    began = time.perf_counter()
    try:
        repinned = repin(manifest, arguments.version, folder)
        repinned.install()
    except RepinError as error:
        sys.exit(f"{manifest.id} {arguments.version} cannot be installed: {error}")
    print(f"{manifest.id} {arguments.version} is there, {time.perf_counter() - began:.0f} s")
    scenarios = [
        scenario
        for scenario in scenarios_of(manifest)
        if not arguments.scenario or scenario.name in arguments.scenario
    ]
    env = {"CATTERY_HARNESS_TYPES": ",".join(repinned.types)}
    pinned = asyncio.run(run_version(manifest, env, scenarios))
    moved = load_manifests(repinned.manifests)[manifest.id]
    other = asyncio.run(run_version(moved, repinned.environment(), scenarios))
    for version in (pinned, other):
        (folder / f"{version.version}.json").write_text(as_json(version))
    changes = list(compare(pinned, other))
    print(f"\n{manifest.id} {pinned.version} → {other.version}, {len(scenarios)} scenarios")
    print("\n".join(changes) or "nothing differs")
    print(f"\nAll that was seen is in {folder}.")
    return 1 if changes else 0


if __name__ == "__main__":
    raise SystemExit(main())
