"""`make bench-starts`: from asking for a harness to its sandbox being ready, on this machine.

    python -m tests.bench.starts [--harness TYPE]… [--rounds N] [--json FILE]

The whole product (`cattery up`), each type's real program, one after the other. A first start of
each fills the caches and does not count. Ends with 1 where the median is above what is allowed.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp

from cattery.harnesses.manifest import Manifest, Transport, load_manifests
from cattery.settings import HarnessSettings
from tests.bench.tables import describe_run
from tests.e2e.client import Client
from tests.e2e.site import Site
from tests.harness_bench.site import model_for

ALLOWED = {Transport.HTTP: 5.0, Transport.ACP: 5.0, Transport.TERMINAL: 3.0}
"""Seconds until a harness is ready, by its transport."""
WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Starts:
    """What one type took, in seconds."""

    harness: str
    first: float
    seconds: list[float]
    load: float
    allowed: float

    @property
    def is_met(self) -> bool:
        return statistics.median(self.seconds) <= self.allowed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--harness", action="append", help="only this type (may be repeated)")
    parser.add_argument("--rounds", type=int, default=3, help="that count (3)")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    given = parser.parse_args()
    print(f"{describe_run()}\n")
    known = load_manifests(HarnessSettings().folder).values()
    manifests = [one for one in known if not given.harness or one.id in given.harness]
    rows = asyncio.run(_run(manifests, given.rounds))
    if given.json:
        given.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    sys.exit(0 if all(row.is_met for row in rows) else 1)


async def _run(manifests: Sequence[Manifest], rounds: int) -> list[Starts]:
    rows: list[Starts] = []
    with tempfile.TemporaryDirectory(prefix="cattery-starts-") as folder:
        site = Site(Path(folder))
        site.start()
        try:
            async with aiohttp.ClientSession() as http:
                client = await Client(http, site.url).sign_in("admin", site.password)
                project_id = await client.create_project("Starts")
                print(f"{'':14} {'first':>7} {'median':>7} {'worst':>7} {'allowed':>8} {'load':>5}")
                for manifest in manifests:
                    rows.append(await _measure(client, project_id, manifest, rounds))
                    print(_line(rows[-1]), flush=True)
        finally:
            site.stop()
    return rows


async def _measure(client: Client, project_id: str, manifest: Manifest, rounds: int) -> Starts:
    seconds = [await _start(client, project_id, manifest) for _ in range(rounds + 1)]
    allowed = ALLOWED[manifest.transport]
    return Starts(manifest.id, seconds[0], seconds[1:], os.getloadavg()[0], allowed)


async def _start(client: Client, project_id: str, manifest: Manifest) -> float:
    began = time.perf_counter()
    harness_id = await client.create_harness(
        project_id, "Starter", manifest.id, model_for(manifest)
    )
    took = time.perf_counter() - began
    await client.ask("DELETE", f"/harnesses/{harness_id}")
    await _wait_until_gone(client, harness_id)
    return took


async def _wait_until_gone(client: Client, harness_id: str) -> None:
    async with asyncio.timeout(WITHIN):
        while (await client.ask("GET", f"/harnesses/{harness_id}")).status != 404:
            await asyncio.sleep(0.1)


def _line(row: Starts) -> str:
    median = statistics.median(row.seconds)
    verdict = "met" if row.is_met else "MISSED"
    return (
        f"{row.harness:14} {row.first:7.2f} {median:7.2f} {max(row.seconds):7.2f} "
        f"{row.allowed:8.1f} {row.load:5.1f}   {verdict}"
    )


if __name__ == "__main__":
    main()
