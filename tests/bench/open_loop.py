"""An open loop, what its processes cost, and its line in a table.

The time of each request is fixed in advance and its delay counts from that time, whatever became of
those before it: a slow answer holds nothing up that would have been measured (no coordinated
omission). The share of a core that the client itself used says whether a run is worth anything.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import psutil

from tests.bench.tables import quantile

BUSY = 0.7
"""Share of one core above which the client may be what is slow: the run is void."""
PATIENCE = 60.0
"""Seconds after which an answer counts as lost."""
_LEAD = 0.05
_IDLE = 2.0
"""Seconds after which a connection is not used again: the API closes those that rest for five, and
a request that meets that moment would fail for no fault of anybody's."""


def open_client(headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """Make a client that holds as many connections as there are requests."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE)
    timeout = aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout)


@dataclass
class Loop:
    """What one loop saw: the delay of each answer from its planned time, in seconds."""

    rate: float
    seconds: float
    delays: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    client_share: float = 0.0
    """Of one core."""
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """CPU of each process an answer, in milliseconds."""

    @property
    def is_valid(self) -> bool:
        return self.client_share <= BUSY

    def p(self, share: float) -> float:
        """Return a quantile of the delays in milliseconds; infinite where none was answered."""
        return quantile(self.delays, share) * 1000 if self.delays else float("inf")

    def figures(self) -> dict[str, object]:
        """Return everything, for a file."""
        return {
            "rate": self.rate,
            "seconds": self.seconds,
            "delays_ms": [round(delay * 1000, 3) for delay in self.delays],
            "failures": self.failures,
            "client_share": self.client_share,
            "cpu_ms": self.cpu_ms,
        }


async def send_in_loop(
    send: Callable[[int], Awaitable[None]],
    *,
    rate: float,
    seconds: float,
    processes: Mapping[str, psutil.Process],
) -> Loop:
    """Send at a rate, each at its own time; return once all were answered or given up.

    Args:
        send: sends the request of a number and returns when it was answered in full.
        processes: whose CPU is counted, with their children.
    """
    loop = Loop(rate, seconds)
    before, own, began = cpu_of(processes), time.process_time(), time.monotonic() + _LEAD
    sent: list[asyncio.Task[None]] = []
    for number in range(round(rate * seconds)):
        planned = began + number / rate
        await asyncio.sleep(max(0.0, planned - time.monotonic()))
        sent.append(asyncio.create_task(_send(send, number, planned, loop)))
    await asyncio.gather(*sent)
    loop.client_share = (time.process_time() - own) / (time.monotonic() - began)
    loop.cpu_ms = {
        name: (after - before[name]) / max(1, len(sent)) * 1000
        for name, after in cpu_of(processes).items()
    }
    return loop


async def _send(
    send: Callable[[int], Awaitable[None]], number: int, planned: float, loop: Loop
) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await send(number)
    except (TimeoutError, AssertionError, aiohttp.ClientError) as error:
        loop.failures.append(f"{type(error).__name__}: {error}"[:200])
    else:
        loop.delays.append(time.monotonic() - planned)


def cpu_of(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Return the CPU seconds that processes used, with their children, those that ended too."""
    used = {}
    for name, process in processes.items():
        total = 0.0
        for member in [process, *process.children(recursive=True)]:
            try:
                times = member.cpu_times()
            except psutil.NoSuchProcess:
                continue  # its parent has it among the ended ones
            total += times.user + times.system
            if member == process:
                total += times.children_user + times.children_system
        used[name] = total
    return used


HEAD = f"{'':44} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}   target"


def line(name: str, delays: Sequence[float], *, target_ms: float | None, is_valid: bool) -> str:
    """Return a row of the table; the delays are in seconds, the target is for their p99."""
    if not delays:
        return f"{name:44} {'nothing was answered':>26}   MISSED"
    p50, p99, worst = (
        value * 1000 for value in (statistics.median(delays), quantile(delays, 0.99), max(delays))
    )
    row = f"{name:44} {p50:8.1f} {p99:8.1f} {worst:8.1f}"
    if target_ms is not None:
        row += f"   p99 ≤ {target_ms:g} ms: {verdict(p99, target_ms)}"
    return row if is_valid else f"{row}   (client busy: invalid)"


def verdict(value: float, target: float) -> str:
    """Say whether a figure is within its target."""
    return "met" if value <= target else "MISSED"
