"""`make bench-history`: pages of history and lists, over a log of ten million events.

    python -m tests.bench.history [--sessions 10000] [--events 10000000] [--seconds 20] [--explain]

Fills a real PostgreSQL (`tests.bench.filled_log`), starts the real HTTP process on it and reads, in
an open loop over random sessions, each with its owner's rights: whole conversations (`history`),
the newest five hundred events of a stream (`events?after=`), and lists of projects, harnesses and
sessions. Where the lists do not stay within their target at their rate, lower ones are tried.
Ends with 1 where an answer did not come or did not hold what the database holds.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import uvloop

from tests.bench.filled_log import fill
from tests.bench.filled_site import FilledSite, Reader, reading
from tests.bench.open_loop import HEAD, Loop, line, send_in_loop, verdict
from tests.bench.slow_statements import explain_the_slowest, recording
from tests.bench.tables import describe_run
from tests.conftest import fresh_database
from tests.postgres_server import running_postgres

TARGET_MS = 50.0
LOWER_RATES = (200, 100, 50)
GIB = 2**30
SERVER = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "4GB"}
_SETTLED = 3.0
"""Seconds of each load before it that do not count: connections are made, caches fill."""


@dataclass(frozen=True)
class Load:
    """What is asked, and how often."""

    name: str
    send: Callable[[int], Awaitable[None]]
    rate: float


async def _run(given: argparse.Namespace) -> bool:
    print(f"{describe_run()}\n", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="cattery-bench-") as folder,
        running_postgres(_made(Path(folder) / "postgres"), SERVER | recording()) as server,
        fresh_database(server, "filled") as url,
    ):
        site = await _fill(url, given)
        async with reading(site, Path(folder)) as reader:
            loops = await _measure(reader, given)
            if given.explain:
                await _explain(reader, url, Path(folder) / "postgres" / "data")
    _print_costs(loops)
    failures = [failure for loop in loops.values() for failure in loop.failures]
    for failure in failures[:5]:
        print(f"\nWRONG: {failure}")
    if failures:
        print(f"\nWRONG: {len(failures):,} of the answers")
    else:
        print("\nevery answer held what the database holds")
    if given.json:
        raw = {name: loop.figures() for name, loop in loops.items()}
        content = json.dumps({"machine": describe_run(), "loads": raw}, indent=1)
        await asyncio.to_thread(given.json.write_text, content)
    return bool(failures)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _fill(url: str, given: argparse.Namespace) -> FilledSite:
    site = FilledSite(url)
    await asyncio.to_thread(site.migrate)
    began = time.monotonic()
    filled = await asyncio.to_thread(fill, url, sessions=given.sessions, events=given.events)
    took = time.monotonic() - began
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    events = sum(each.last_seq for each in filled)
    print(
        f"{len(filled):,} sessions, {events:,} events: {row[0] / GIB:.2f} GiB, "
        f"filled in {took:.0f} s\n",
        flush=True,
    )
    await site.read(filled)
    return site


async def _measure(reader: Reader, given: argparse.Namespace) -> dict[str, Loop]:
    print(HEAD, flush=True)
    loops: dict[str, Loop] = {}
    pages = (
        Load("history of a session", reader.read_history, given.rate),
        Load("newest 500 events of a stream", reader.read_events, given.rate),
    )
    for load in pages:
        loops[load.name] = await _load(reader, load, given.seconds)
    lists = Load("lists", reader.read_list, given.list_rate)
    loops["lists"] = await _load(reader, lists, given.seconds)
    if loops["lists"].p(0.99) > TARGET_MS:
        for rate in LOWER_RATES:
            if rate >= given.list_rate:
                continue
            name = f"lists at {rate}/s"
            lower = Load("lists", reader.read_list, rate)
            loops[name] = await _load(reader, lower, given.seconds)
            if loops[name].p(0.99) <= TARGET_MS:
                break
    return loops


async def _load(reader: Reader, load: Load, seconds: float) -> Loop:
    reader.chance = random.Random(load.name)
    await send_in_loop(load.send, rate=load.rate, seconds=_SETTLED, processes=reader.processes)
    reader.by_kind.clear()
    loop = await send_in_loop(
        load.send, rate=load.rate, seconds=seconds, processes=reader.processes
    )
    title = f"{load.name}, {load.rate:g}/s"
    print(line(title, loop.delays, target_ms=TARGET_MS, is_valid=loop.is_valid), flush=True)
    for kind, took in sorted(reader.by_kind.items()):
        print(line(f"  of them {kind}, from sending", took, target_ms=None, is_valid=True))
    return loop


def _print_costs(loops: dict[str, Loop]) -> None:
    print("\nCPU ms a request:")
    for name, loop in loops.items():
        cpu = "  ".join(f"{part} {ms:.2f}" for part, ms in loop.cpu_ms.items())
        print(f"  {name:32} {cpu}   client's share of a core {loop.client_share:.2f}")
    lists = [loop for name, loop in loops.items() if name.startswith("lists")]
    best = max((loop.rate for loop in lists if _meets(loop)), default=0)
    print(f"\nhighest rate of lists within {TARGET_MS:g} ms, of those tried: {best:g}/s")


def _meets(loop: Loop) -> bool:
    return loop.is_valid and verdict(loop.p(0.99), TARGET_MS) == "met"


async def _explain(reader: Reader, url: str, data: Path) -> None:
    async def read_everything() -> None:
        for number in range(60):
            await reader.read_history(number)
            await reader.read_events(number)
            await reader.read_list(number)

    print()
    await explain_the_slowest(url, data, read_everything)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=10_000_000, help="in all, about")
    parser.add_argument("--seconds", type=float, default=20, help="length of each load (20)")
    parser.add_argument("--rate", type=float, default=20, help="pages a second (20)")
    parser.add_argument("--list-rate", type=float, default=300, help="lists a second (300)")
    parser.add_argument("--explain", action="store_true", help="show the slowest statement's plan")
    parser.add_argument("--json", type=Path, help="write the raw figures to a file")
    sys.exit(1 if uvloop.run(_run(parser.parse_args())) else 0)


if __name__ == "__main__":
    main()
