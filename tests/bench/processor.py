"""How much of a core each process of a run uses."""

import os
import time

import psutil

from tests.bench.rig import Rig


class Meter:
    """Measures between `begin` and `end`."""

    def __init__(self, rig: Rig) -> None:
        self._parts = {
            "api": (rig.apis, False),
            "worker": (rig.workers, False),
            "postgres": ([rig.postgres], True),
            "temporal": ([rig.temporal], True),
            "harness": ([rig.harness], True),
            "load": ([psutil.Process(os.getpid())], False),
        }
        self._before: dict[str, float] = {}
        self._after: dict[str, float] = {}
        self._began = self._ended = 0.0

    def begin(self) -> None:
        self._before, self._began = self._read(), time.monotonic()

    def end(self) -> None:
        self._after, self._ended = self._read(), time.monotonic()

    def cores(self) -> dict[str, float]:
        """Return the share of one core that each part used."""
        elapsed = self._ended - self._began
        return {name: (self._after[name] - self._before[name]) / elapsed for name in self._parts}

    def _read(self) -> dict[str, float]:
        return {
            name: sum(cpu_of(process, children=children) for process in processes)
            for name, (processes, children) in self._parts.items()
        }


def cpu_of(process: psutil.Process, *, children: bool) -> float:
    """Return the CPU seconds that a process, and its children where asked, have used."""
    total = 0.0
    for member in [process, *(process.children(recursive=True) if children else [])]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:  # a child that ended meanwhile
            continue
        total += times.user + times.system
    return total
