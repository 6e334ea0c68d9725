"""`make bench`: the platform beside a null relay, in one run, on this machine.

    python -m tests.bench [--loads 1,50,200,200x500] [--seconds 30] [--rate 20] [--runs 1]
                          [--replicas 1] [--writers 1] [--only idle,first,streams,reconnect]
                          [--json FILE]
    python -m tests.bench --only hour [--minutes 60] [--turn-seconds 60]

Prints prompt → first event, delays of events at rising loads (`200x500`: 200 sessions that talk,
500 watchers), what 2,000 idle streams cost, and how long 500 watchers take to catch up with 1,000
events each. `hour` runs only where it is named: 100 sessions and 250 watchers for so long, and what
the processes grow by. The difference to the null relay is the platform's own; absolute figures
depend on the machine. Every piece that is missing, doubled or out of order counts, and ends the run
with 1. A run in which the load's own process is the bottleneck is marked.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import uvloop

from tests.bench import relay
from tests.bench.crowds import measure_idle, measure_reconnect
from tests.bench.hour import SESSIONS, measure_hour
from tests.bench.load import Target, first_event_times, platform_target, relay_target, stream_load
from tests.bench.processor import Meter
from tests.bench.rig import Rig, running_rig
from tests.bench.tables import describe_run, judge, quantile
from tests.processes import free_port

FIRST_ROUNDS = 40
SETTLE_SECONDS = 10.0
"""After hundreds of sessions were opened, for what follows that: histories, titles, checkpoints."""
FIRST_P50, FIRST_P99 = 30.0, 100.0
ADDED_P50, ADDED_P99 = 2.0, 20.0
L1_P50, L1_P99 = 20.0, 100.0
PARTS = ("idle", "first", "streams", "reconnect")
LONG_PART = "hour"


@dataclass(frozen=True)
class Shape:
    """How many sessions talk, and how many watch."""

    sessions: int
    watchers: int


@dataclass
class Row:
    """One row of the table; times in milliseconds."""

    target: str
    sessions: int
    watchers: int
    rate: int
    delivered: int
    lost: int
    disorder: int
    p50: float
    p95: float
    p99: float
    p999: float
    worst: float
    cores: dict[str, float]
    """How much of a core each process used while it was measured."""
    cpu_us: float
    """Of the platform's processes, a piece that the harness sent, microseconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument(
        "--loads", default="1,50,200,200x500", help="sessions, or SESSIONSxWATCHERS"
    )
    parser.add_argument("--seconds", type=int, default=30, help="measured of each load (30)")
    parser.add_argument("--rate", type=int, default=20, help="pieces a second and session (20)")
    parser.add_argument("--runs", type=int, default=1, help="of each load (1)")
    parser.add_argument("--replicas", type=int, default=1, help="APIs and workers (1)")
    parser.add_argument("--writers", type=int, default=1, help="connections of a worker (1)")
    parser.add_argument(
        "--only", default=",".join(PARTS), help="some of " + ",".join((*PARTS, LONG_PART))
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="of the part `hour` (60)")
    parser.add_argument("--turn-seconds", type=int, default=60, help="of a turn of it (60)")
    parser.add_argument("--json", type=Path, help="write the raw figures to a file")
    given = parser.parse_args()
    gc.disable()  # a pause of the load's own would be measured as the platform's
    sys.exit(1 if uvloop.run(_run(given)) else 0)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


async def _run(given: argparse.Namespace) -> bool:
    print(f"{describe_run()}, {given.replicas} API and worker, {given.writers} writer\n")
    shapes = [_shape(text) for text in given.loads.split(",")]
    parts = given.only.split(",")
    figures: dict[str, object] = {
        "machine": describe_run(),
        "replicas": given.replicas,
        "writers": given.writers,
    }
    rows: list[Row] = []
    async with running_rig(replicas=given.replicas, writers=given.writers) as rig:
        count = max(*(shape.sessions for shape in shapes), SESSIONS)
        ours = platform_target(rig)
        sessions = await _open(ours, count)
        hour = {"lost": 0.0, "disorder": 0.0}
        if LONG_PART in parts:
            figures["hour"] = hour = await measure_hour(
                rig, ours, sessions, given.rate, given.minutes, given.turn_seconds
            )
        if "idle" in parts:  # first: an API that has grown under load takes no more for streams
            figures["idle"] = await measure_idle(rig, sessions)
        timeout = aiohttp.ClientTimeout(total=None)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            with _relay_process(rig) as relay_url:
                null = relay_target(rig, relay_url, http)
                await _wait_for(http, relay_url)
                relayed = await _open(null, count)
                if "first" in parts:
                    await asyncio.sleep(SETTLE_SECONDS)
                    figures["first"] = await _print_first(ours, null, sessions[0], relayed[0])
                if "streams" in parts:
                    print(_HEAD)
                    for shape in shapes * given.runs:
                        for target, ids in ((null, relayed), (ours, sessions)):
                            row = await _measure(
                                rig, target, ids[: shape.sessions], shape.watchers, given
                            )
                            rows.append(row)
                            print(_line(row), flush=True)
        if rows:
            _print_added(rows)
        if "reconnect" in parts:
            figures["reconnect"] = await measure_reconnect(rig, sessions)
    if given.json:
        given.json.write_text(json.dumps(figures | {"rows": [asdict(r) for r in rows]}, indent=1))
    return any(row.lost or row.disorder for row in rows) or bool(hour["lost"] or hour["disorder"])


def _shape(text: str) -> Shape:
    sessions, _, watchers = text.partition("x")
    return Shape(int(sessions), int(watchers or sessions))


async def _open(target: Target, count: int) -> list[str]:
    """Open sessions, ten at a time."""
    opened: list[str] = []
    while len(opened) < count:
        wave = min(10, count - len(opened))
        opened += await asyncio.gather(*(target.open_session() for _ in range(wave)))
    return opened


async def _print_first(ours: Target, null: Target, mine: str, theirs: str) -> dict[str, float]:
    figures: dict[str, float] = {}
    print(f"prompt → first event, {FIRST_ROUNDS} prompts one after the other, ms:")
    for target, session in ((null, theirs), (ours, mine)):
        await first_event_times(target, session, 5)  # warm
        times = await first_event_times(target, session, FIRST_ROUNDS)
        p50, p99 = statistics.median(times), quantile(times, 0.99)
        figures |= {f"{target.name} p50": p50, f"{target.name} p99": p99}
        print(f"  {target.name:10}  p50 {p50:6.1f}   p99 {p99:6.1f}")
    added = figures["cattery p50"] - figures["null relay p50"]
    print(f"  added p50 {added:.1f} ms  {judge(added, FIRST_P50)}")
    print(f"  p99 {figures['cattery p99']:.1f} ms  {judge(figures['cattery p99'], FIRST_P99)}\n")
    return figures


async def _measure(
    rig: Rig, target: Target, sessions: Sequence[str], watchers: int, given: argparse.Namespace
) -> Row:
    meter = Meter(rig)
    load = await stream_load(
        target,
        sessions,
        watchers=watchers,
        rate=given.rate,
        seconds=given.seconds,
        at_begin=meter.begin,
        at_end=meter.end,
    )
    checks = [watched.check(load.expected) for watched in load.watched]
    delays = load.delays()
    gc.collect()
    cores = meter.cores()
    platform = sum(used for name, used in cores.items() if name not in ("harness", "load"))
    return Row(
        target=target.name,
        sessions=len(sessions),
        watchers=watchers,
        rate=given.rate,
        delivered=len(delays),
        lost=sum(lost for lost, _ in checks),
        disorder=sum(disorder for _, disorder in checks),
        p50=quantile(delays, 0.5),
        p95=quantile(delays, 0.95),
        p99=quantile(delays, 0.99),
        p999=quantile(delays, 0.999),
        worst=delays[-1],
        cores=cores,
        cpu_us=platform / (len(sessions) * given.rate) * 1e6,
    )


@contextmanager
def _relay_process(rig: Rig) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", f"{relay.__name__}:create_relay"]
    command += ["--port", str(port), "--log-level", "error", "--loop", "uvloop"]
    environment = {
        **os.environ,
        relay.HARNESS_URL: rig.harness_url,
        relay.HARNESS_PASSWORD: rig.harness_password,
    }
    process = subprocess.Popen(command, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def _wait_for(http: aiohttp.ClientSession, url: str) -> None:
    while True:
        try:
            async with http.get(f"{url}/openapi.json") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)


_HEAD = (
    f"{'':10} {'sessions':>8} {'watchers':>8} {'in/s':>6} {'delivered':>9} {'lost':>5} "
    f"{'disorder':>8} {'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7} {'p99.9':>7} {'max ms':>7}"
    "   cores used"
)
_BUSY = 0.7
"""Share of a core above which the load's own process may be what is slow."""


def _line(row: Row) -> str:
    busy = "  (the load's process is busy: invalid)" if row.cores["load"] > _BUSY else ""
    cores = " ".join(f"{name} {value:.2f}" for name, value in row.cores.items())
    return (
        f"{row.target:10} {row.sessions:8} {row.watchers:8} {row.sessions * row.rate:6} "
        f"{row.delivered:9} {row.lost:5} {row.disorder:8} {row.p50:7.2f} {row.p95:7.2f} "
        f"{row.p99:7.2f} {row.p999:7.1f} {row.worst:7.1f}   {cores}{busy}"
    )


def _print_added(rows: Sequence[Row]) -> None:
    print("\nadded by the platform over the null relay:")
    judged: Callable[[float, float], str] = judge
    for null, ours in zip(rows[::2], rows[1::2], strict=True):
        p50, p99 = ours.p50 - null.p50, ours.p99 - null.p99
        print(
            f"  {ours.sessions:4} sessions, {ours.watchers:4} watchers: "
            f"p50 {p50:6.2f} ms {judged(p50, ADDED_P50)}   p99 {p99:7.2f} ms "
            f"{judged(p99, ADDED_P99)}   {ours.cpu_us:.0f} µs of processor a piece"
        )
        if ours.watchers > ours.sessions:
            print(
                f"       in all: p50 {ours.p50:.2f} ms {judged(ours.p50, L1_P50)}   "
                f"p99 {ours.p99:.2f} ms {judged(ours.p99, L1_P99)}"
            )


if __name__ == "__main__":
    main()
