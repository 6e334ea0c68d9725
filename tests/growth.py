"""How memory and open files of processes grow: what grows without an end is a leak."""

import time
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 10.0
WARM_UP = 0.3
"""Share of the samples that do not count: caches fill, and the workflow of a session that is over
lingers for a quarter of an hour."""
MIB = 1024 * 1024


@dataclass
class Samples:
    """What one process used, by time."""

    at: list[float] = field(default_factory=list)
    rss: list[float] = field(default_factory=list)
    fds: list[float] = field(default_factory=list)

    def take(self, process: psutil.Process) -> None:
        """Note what it uses now."""
        self.at.append(time.monotonic())
        self.rss.append(process.memory_info().rss)
        self.fds.append(process.num_fds())

    def slope(self, values: list[float]) -> float:
        """Return the growth an hour of the least-squares line after the warm-up."""
        skip = int(len(self.at) * WARM_UP)
        xs, ys = self.at[skip:], values[skip:]
        if len(xs) < 2:
            return 0.0
        middle, mean = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - middle) ** 2 for x in xs)
        return sum((x - middle) * (y - mean) for x, y in zip(xs, ys, strict=True)) / spread * 3600


def tell_growth(samples: dict[str, Samples]) -> str:
    """Return a table: what each process used at each quarter, and what that grew by an hour."""
    lines = [
        f"{'process':<12} {'RSS MiB, at each quarter':>34} {'an hour':>8} {'FDs':>5} {'an hour':>8}"
    ]
    for name, each in samples.items():
        last = len(each.rss) - 1
        quarters = " ".join(f"{each.rss[last * part // 4] / MIB:>6.1f}" for part in range(5))
        lines.append(
            f"{name:<12} {quarters:>34} {each.slope(each.rss) / MIB:>8.2f} "
            f"{each.fds[-1]:>5.0f} {each.slope(each.fds):>8.2f}"
        )
    return "\n".join(lines)
