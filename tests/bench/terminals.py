"""`make bench-terminals`: a key's echo through the platform beside a PTY of this process's own.

    python -m tests.bench.terminals [--seconds N] [--terminals 1,100] [--rounds N] [--json FILE]

The program behind both echoes what is typed and says two coloured lines a second. A key goes
viewer → API → bridge → PTY and back, with the real processes of each, and the same keys go to the
same program on a PTY that this process holds itself. Keys are typed by the clock: what is late
does not make the next one late. Ends with 1 where the platform adds more than is allowed.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
import uvloop

from tests.bench.rig import booted_system
from tests.bench.tables import describe_run, quantile
from tests.bench.terminal_ways import DirectTerminal, RelayedTerminal, Wired
from tests.processes import System

ALLOWED = {0.5: 5.0, 0.99: 20.0}
"""Milliseconds that the platform may add over a direct PTY, by quantile."""
KEYS_A_SECOND = {1: 25.0}
"""Of one terminal; a person in a burst types about five."""
KEYS_OF_MANY = 4.0
OPEN_AT_ONCE = 10
SETTLE_SECONDS = 3.0
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BUSY = 0.9
"""Share of a core above which this process may be what is slow."""


@dataclass
class Typist:
    """Types letters into one terminal and takes the time of each one's echo."""

    delays: list[float] = field(default_factory=list)
    """Milliseconds."""
    typed: int = 0
    _waiting: deque[tuple[int, int]] = field(default_factory=deque)

    def see(self, output: bytes) -> None:
        """Take output: the letters in it are echoes, in the order in which they were typed."""
        now = time.perf_counter_ns()
        for byte in output:
            if self._waiting and byte == self._waiting[0][0]:
                self.delays.append((now - self._waiting.popleft()[1]) / 1e6)

    async def work(
        self, type_key: Callable[[bytes], Awaitable[None]], rate: float, end: float
    ) -> None:
        """Type until a moment of the monotonic clock, then wait a little for the last echoes."""
        due = time.monotonic() + random.random() / rate
        while due < end:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            letter = LETTERS[self.typed % len(LETTERS)]
            self._waiting.append((letter, time.perf_counter_ns()))
            self.typed += 1
            await type_key(bytes([letter]))
            due += 1 / rate
        deadline = time.monotonic() + 5
        while self._waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)


@dataclass
class Row:
    """One line of the table; times in milliseconds."""

    way: str
    terminals: int
    keys: int
    lost: int
    p50: float
    p99: float
    worst: float
    load: float
    generator: float
    cores: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=15, help="length of each run (15)")
    parser.add_argument("--terminals", default="1,100", help="open at once (1,100)")
    parser.add_argument("--rounds", type=int, default=1, help="repeat everything (1)")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    given = parser.parse_args()
    counts = [int(count) for count in given.terminals.split(",")] * given.rounds
    sys.exit(1 if uvloop.run(_run(counts, given.seconds, given.json)) else 0)


async def _run(counts: Sequence[int], seconds: int, raw: Path | None) -> bool:
    print(f"{describe_run()}\n")
    rows: list[Row] = []
    async with booted_system("tests/bench/echo_worker.py", "codex") as system:
        sessions = await _open_sessions(system, max(counts))
        print(_HEAD)
        for count in counts:
            direct = [DirectTerminal() for _ in range(count)]
            relayed = [RelayedTerminal(system, session) for session in sessions[:count]]
            for way in (direct, relayed):
                rows.append(await _measure(system, way, seconds))
                print(_line(rows[-1]), flush=True)
    if raw:
        figures = {"machine": describe_run(), "rows": [asdict(row) for row in rows]}
        raw.write_text(json.dumps(figures, indent=1))
    return _judge(rows)


async def _open_sessions(system: System, count: int) -> list[str]:
    opened: list[str] = []
    while len(opened) < count:
        wave = min(OPEN_AT_ONCE, count - len(opened))
        opened += await asyncio.gather(*(system.open_session() for _ in range(wave)))
    return opened


async def _measure(system: System, terminals: Sequence[Wired], seconds: int) -> Row:
    parts = {"api": system.api_process.process, "bridge": _bridge_of(system), "own": _own()}
    typists = [Typist() for _ in terminals]
    async with AsyncExitStack() as stack:
        for terminal, typist in zip(terminals, typists, strict=True):
            stack.push_async_callback(terminal.close)
            await terminal.open(typist.see)
        await asyncio.sleep(SETTLE_SECONDS)
        before, began = {name: _cpu(part) for name, part in parts.items()}, time.monotonic()
        rate = KEYS_A_SECOND.get(len(terminals), KEYS_OF_MANY)
        await asyncio.gather(
            *(
                typist.work(terminal.type, rate, began + seconds)
                for terminal, typist in zip(terminals, typists, strict=True)
            )
        )
        elapsed = time.monotonic() - began
        cores = {name: (_cpu(part) - before[name]) / elapsed for name, part in parts.items()}
    delays = sorted(delay for typist in typists for delay in typist.delays)
    assert delays, "not one echo came"
    return Row(
        way=terminals[0].name,
        terminals=len(terminals),
        keys=sum(typist.typed for typist in typists),
        lost=sum(typist.typed - len(typist.delays) for typist in typists),
        p50=quantile(delays, 0.5),
        p99=quantile(delays, 0.99),
        worst=delays[-1],
        load=os.getloadavg()[0],
        generator=cores.pop("own"),
        cores=cores,
    )


def _bridge_of(system: System) -> psutil.Process:
    """Find the bridge in the harness's sandbox."""
    for process in psutil.process_iter(["cmdline"]):
        is_bridge = "tests.bench.echo_bridge" in (process.info["cmdline"] or [])
        if is_bridge and str(system.home) in process.environ().get("HOME", ""):
            return process
    raise AssertionError(f"no bridge runs below {system.home}")


def _own() -> psutil.Process:
    return psutil.Process()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


_HEAD = (
    f"{'':10} {'terminals':>9} {'keys':>6} {'lost':>5} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} "
    f"{'load':>5}   cores used"
)


def _line(row: Row) -> str:
    cores = " ".join(f"{name} {value:.2f}" for name, value in row.cores.items())
    busy = "  (generator busy: invalid)" if row.generator > BUSY else ""
    return (
        f"{row.way:10} {row.terminals:9} {row.keys:6} {row.lost:5} {row.p50:7.2f} {row.p99:7.2f} "
        f"{row.worst:7.1f} {row.load:5.1f}   {cores} this process {row.generator:.2f}{busy}"
    )


def _judge(rows: Sequence[Row]) -> bool:
    """Print what the platform adds; true where it is too much, or an echo was lost."""
    failed = False
    print("\nadded by the platform over a direct PTY:")
    for direct, ours in zip(rows[::2], rows[1::2], strict=True):
        added = {0.5: ours.p50 - direct.p50, 0.99: ours.p99 - direct.p99}
        is_met = not ours.lost and all(added[share] <= most for share, most in ALLOWED.items())
        failed |= not is_met
        print(
            f"  {ours.terminals:4} terminals: p50 {added[0.5]:6.2f} ms (≤ {ALLOWED[0.5]:.0f})   "
            f"p99 {added[0.99]:6.2f} ms (≤ {ALLOWED[0.99]:.0f})   lost {ours.lost}   "
            f"{'met' if is_met else 'MISSED'}"
        )
    return failed


if __name__ == "__main__":
    main()
