"""What every benchmark prints: on what it ran, and quantiles."""

import os
import platform
import subprocess
from collections.abc import Sequence


def describe_run() -> str:
    """Say on what machine, with what code and beside what load a benchmark runs."""
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, commit {commit}, "
        f"load before {load}"
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def judge(value: float, target: float) -> str:
    """Say beside a figure whether it is within its target."""
    return f"({'met' if value <= target else 'MISSED'}: {target:g})"
