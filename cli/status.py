"""`cattery status`: the parts of the running `cattery up`, for people and for programs."""

import contextlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import psutil

from cattery.clock import utc_now
from cli.configuration import read_home
from cli.console import Console
from cli.home import Home
from cli.running import RunningPart, RunRecord, find_process, find_supervisor, read_record

_COLUMNS = ("part", "state", "pid", "port", "up for", "memory", "restarts")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One row. Memory is resident, in bytes, with all child processes."""

    part: str
    state: str
    pid: int
    port: int | None
    started_at: datetime
    uptime_seconds: int
    memory_bytes: int
    restarts: int


def run_status(*, as_json: bool) -> None:
    """Print what runs; exit code 1 where nothing does."""
    home, _ = read_home()
    pid = find_supervisor(home)
    record = read_record(home) if pid else None
    parts = _look_at(record.parts.values()) if record else []
    if as_json:
        print(json.dumps(_document(home, pid, record, parts), indent=2, default=str))
    elif record is None:
        Console().say(f"No Cattery runs with the data in {home.folder}. Start it with: cattery up")
    else:
        _print_table(home, record, parts)
    if record is None:
        sys.exit(1)


def _look_at(parts: Iterable[RunningPart]) -> list[PartStatus]:
    now = utc_now()
    rows = []
    for part in parts:
        process = find_process(part)
        rows.append(
            PartStatus(
                part=part.name,
                state=part.state.value if process else "ended",
                pid=part.pid,
                port=part.port,
                started_at=part.started_at,
                uptime_seconds=int((now - part.started_at).total_seconds()),
                memory_bytes=_memory(process) if process else 0,
                restarts=part.restarts,
            )
        )
    return sorted(rows, key=lambda row: row.started_at)


def _memory(process: psutil.Process) -> int:
    """Sum up what a process and its children hold for themselves.

    PostgreSQL's processes share one buffer pool; counting it once for each would treble the sum.
    """
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                info = one.memory_info()
                shared = getattr(info, "shared", 0) if one.pid != process.pid else 0
                total += max(info.rss - shared, 0)
    return total


def _document(
    home: Home, pid: int | None, record: RunRecord | None, parts: list[PartStatus]
) -> dict[str, object]:
    return {
        "running": record is not None,
        "ready": bool(record and record.ready),
        "pid": pid,
        "home": str(home.folder),
        "url": record.url if record else None,
        "temporal_ui_url": record.temporal_ui_url if record else None,
        "started_at": record.started_at if record else None,
        "parts": [asdict(part) for part in parts],
    }


def _print_table(home: Home, record: RunRecord, parts: list[PartStatus]) -> None:
    console = Console()
    state = "is ready" if record.ready else "is starting"
    console.say(f"Cattery {state} at {record.url} (process {record.supervisor_pid})", tone="strong")
    rows = [_COLUMNS, *(_cells(part) for part in parts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.say("  " + "   ".join(cells).rstrip())
    if record.temporal_ui_url:
        console.say(f"Temporal UI: {record.temporal_ui_url}")
    console.say(f"Data: {home.folder}   logs: {home.logs}", tone="faint")


def _cells(part: PartStatus) -> tuple[str, ...]:
    return (
        part.part,
        part.state,
        str(part.pid),
        str(part.port or "-"),
        str(timedelta(seconds=part.uptime_seconds)),
        f"{part.memory_bytes / 2**20:.0f} MB",
        str(part.restarts),
    )
