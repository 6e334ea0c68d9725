"""`make bench`: the platform beside a null relay, in one run, on this machine.

    python -m tests.bench [--seconds N] [--sessions 1,50,200] [--rate 20] [--json FILE]

Prints prompt → first event, per-event delay (after a warm-up), losses, CPU seconds per 1,000
events and memory per stream. The difference to the null relay is the platform's own; absolute
figures depend on the machine. A run in which the load's own process is the bottleneck is marked.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import aiohttp
import psutil
import uvloop

from tests.bench import relay
from tests.bench.load import (
    AsyncWatchers,
    Target,
    first_event_times,
    platform_target,
    relay_target,
    stream_load,
)
from tests.bench.rig import Rig, _free_port, running_rig
from tests.bench.tables import describe_run, quantile

FIRST_ROUNDS = 30
IDLE_STREAMS = 200
WARM_UP = 5.0
"""Seconds at the beginning of a load whose delays do not count, for all turns start at once then;
their events do count, as delivered or lost."""
BUSY = 0.9
"""Share of one core above which the load's own process may be what is slow."""


@dataclass
class Delays:
    """One row of the table; times in milliseconds."""

    target: str
    sessions: int
    rate: int
    events: int
    lost: int
    disorder: int
    p50: float
    p95: float
    p99: float
    worst: float
    generator_load: float
    cpu_s_per_1000: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--seconds", type=int, default=20, help="length of each load (20)")
    parser.add_argument("--sessions", default="1,50,200", help="sessions at once (1,50,200)")
    parser.add_argument("--rate", type=int, default=20, help="events a second and session (20)")
    parser.add_argument("--json", help="write the raw figures to a file")
    given = parser.parse_args()
    counts = [int(n) for n in given.sessions.split(",")]
    failed = uvloop.run(_run(counts, given.rate, given.seconds, given.json))
    sys.exit(1 if failed else 0)


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


async def _run(counts: Sequence[int], rate: int, seconds: int, raw: str | None) -> bool:
    print(f"{describe_run()}\n")
    async with running_rig() as rig:
        sessions = await _open(platform_target(rig), max(counts))
        with _relay_process(rig) as relay_url:
            timeout = aiohttp.ClientTimeout(total=None)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
                ours, null = platform_target(rig), relay_target(rig, relay_url, http)
                await _wait_for(http, relay_url)
                relayed = await _open(null, max(counts))
                first = await _print_first(ours, null, sessions[0], relayed[0])
                rows = []
                print(_HEAD)
                for count in counts:
                    for target, ids in ((null, relayed), (ours, sessions)):
                        row = await _measure(rig, target, ids[:count], rate, seconds)
                        rows.append(row)
                        print(_line(row), flush=True)
                memory = await _memory_per_stream(rig, ours, sessions[-1])
    _print_summary(rows, memory)
    if raw:
        figures = {"machine": describe_run(), "first": first, "rows": [asdict(r) for r in rows]}
        with open(raw, "w") as file:  # noqa: PTH123 - nothing else runs any more
            json.dump(figures | {"kib_per_stream": memory}, file, indent=1)
    return any(row.lost or row.disorder for row in rows)


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
        await first_event_times(target, session, 3)  # warm
        times = [t * 1000 for t in await first_event_times(target, session, FIRST_ROUNDS)]
        p50, p99 = statistics.median(times), quantile(times, 0.99)
        figures |= {f"{target.name} p50": p50, f"{target.name} p99": p99}
        print(f"  {target.name:10}  p50 {p50:6.1f}   p99 {p99:6.1f}")
    print()
    return figures


async def _measure(
    rig: Rig, target: Target, sessions: Sequence[str], rate: int, seconds: int
) -> Delays:
    parts = {
        "api": rig.api,
        "worker": rig.worker,
        "postgres": rig.postgres,
        "temporal": rig.temporal,
    }
    before = {name: _cpu(process) for name, process in parts.items()}
    own, started = _cpu(psutil.Process(os.getpid()), children=False), time.monotonic()
    seen = await stream_load(target, sessions, rate=rate, seconds=seconds)
    elapsed = time.monotonic() - started
    own = _cpu(psutil.Process(os.getpid()), children=False) - own
    used = {name: _cpu(process) - before[name] for name, process in parts.items()}
    expected = rate * seconds
    checks = [watched.check(expected) for watched in seen]
    delays = sorted(d * 1000 for watched in seen for d in watched.steady(WARM_UP))
    events = sum(len(watched.delays) for watched in seen)
    return Delays(
        target=target.name,
        sessions=len(sessions),
        rate=rate,
        events=events,
        lost=sum(lost for lost, _ in checks),
        disorder=sum(disorder for _, disorder in checks),
        p50=quantile(delays, 0.5),
        p95=quantile(delays, 0.95),
        p99=quantile(delays, 0.99),
        worst=delays[-1],
        generator_load=own / elapsed,
        cpu_s_per_1000={name: cpu / events * 1000 for name, cpu in used.items()},
    )


async def _memory_per_stream(rig: Rig, target: Target, session: str) -> float:
    """Return how much the API grows by a stream that is open and silent, in KiB."""
    before = rig.api.memory_info().rss
    async with AsyncWatchers(target, [session] * IDLE_STREAMS):
        await asyncio.sleep(2)
        after: int = rig.api.memory_info().rss
    return (after - before) / IDLE_STREAMS / 1024


@contextmanager
def _relay_process(rig: Rig) -> Iterator[str]:
    port = _free_port()
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
    f"{'':10} {'sessions':>8} {'ev/s':>6} {'events':>7} {'lost':>5} {'disorder':>8} "
    f"{'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7} {'max ms':>7}   CPU s per 1,000 events"
)


def _line(row: Delays) -> str:
    busy = "  (generator busy: invalid)" if row.generator_load > BUSY else ""
    cpu = " ".join(f"{name} {value:.2f}" for name, value in row.cpu_s_per_1000.items())
    return (
        f"{row.target:10} {row.sessions:8} {row.sessions * row.rate:6} {row.events:7} {row.lost:5} "
        f"{row.disorder:8} {row.p50:7.2f} {row.p95:7.2f} {row.p99:7.2f} {row.worst:7.1f}   "
        f"{cpu if row.target == 'cattery' else '-'}{busy}"
    )


def _print_summary(rows: Sequence[Delays], memory: float) -> None:
    print("\nadded by the platform over the null relay:")
    for null, ours in zip(rows[::2], rows[1::2], strict=True):
        print(
            f"  {ours.sessions:4} sessions: p50 {ours.p50 - null.p50:6.2f} ms   "
            f"p99 {ours.p99 - null.p99:6.2f} ms   lost {ours.lost}"
        )
    print(f"memory of the API per open stream: {memory:.0f} KiB ({IDLE_STREAMS} streams)")


def _cpu(process: psutil.Process, *, children: bool = True) -> float:
    """Return the CPU seconds that a process and its children have used."""
    family = [process, *(process.children(recursive=True) if children else [])]
    total = 0.0
    for member in family:
        times = member.cpu_times()
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
