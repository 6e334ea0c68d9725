"""Which statement takes PostgreSQL longest, out of its own log, and the plan of it."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import psycopg

SHOWN = 5
_RELOAD = "SELECT pg_reload_conf()"
_FLUSHED = 1.0
"""Seconds after which the server's log has what was run."""
_STATEMENT = re.compile(r"duration: ([\d.]+) ms  (?:statement|execute [^:]*): (.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$(\d+) = ('(?:[^']|'')*'|NULL)")


def recording() -> dict[str, str]:
    """Return the server's settings that make its log fit to be read; it writes nothing yet."""
    return {"logging_collector": "on", "log_destination": "jsonlog", "log_file_mode": "0644"}


@dataclass(frozen=True)
class Run:
    """One run of a statement."""

    statement: str
    milliseconds: float
    parameters: dict[str, str]

    def filled_in(self) -> str:
        """Return the statement with its values in place of its parameters."""
        return re.sub(r"\$(\d+)", lambda found: self.parameters[found.group(1)], self.statement)


async def explain_the_slowest(url: str, data: Path, load: Callable[[], Awaitable[None]]) -> None:
    """Log every statement of a load, print the slowest by their mean, and the plan of the first."""
    _set(url, "0")
    await load()
    _set(url, "-1")
    await asyncio.sleep(_FLUSHED)
    runs: defaultdict[str, list[Run]] = defaultdict(list)
    for run in _read_log(data):
        runs[run.statement].append(run)
    slowest = sorted(runs.values(), key=_mean, reverse=True)[:SHOWN]
    print("slowest statements, mean ms (runs):")
    for each in slowest:
        print(f"  {_mean(each):8.2f} ({len(each)})  {' '.join(each[0].statement.split())[:100]}")
    if slowest:
        _print_plan(url, max(slowest[0], key=lambda run: run.milliseconds))


def _mean(runs: list[Run]) -> float:
    return mean(run.milliseconds for run in runs)


def _set(url: str, minimum: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET log_min_duration_statement = {minimum}".encode())
        connection.execute(_RELOAD)


def _read_log(data: Path) -> Iterator[Run]:
    for file in sorted((data / "log").glob("*.json")):
        for row in file.read_text().splitlines():
            entry = json.loads(row)
            found = _STATEMENT.match(entry.get("message", ""))
            if (
                found
                and _RELOAD not in found.group(2)
                and found.group(2).lstrip().upper().startswith(("SELECT", "WITH"))
            ):
                given = dict(_PARAMETER.findall(entry.get("detail", "")))
                yield Run(found.group(2), float(found.group(1)), given)


def _print_plan(url: str, run: Run) -> None:
    print(f"\nEXPLAIN (ANALYZE, BUFFERS) of its slowest run ({run.milliseconds:.2f} ms):")
    with psycopg.connect(url, autocommit=True) as connection:
        statement = f"EXPLAIN (ANALYZE, BUFFERS) {run.filled_in()}"
        for (row,) in connection.execute(statement.encode()).fetchall():
            print(f"  {row}")
