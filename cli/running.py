"""What runs at this moment: one `cattery up` per data folder, and the processes that it started.

The lock belongs to the kernel, so it cannot be left behind. The record beside it can: after a
`kill -9` it names processes that may still be alive, which the next start ends first.
"""

import contextlib
import fcntl
import os
import signal
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ValidationError

from cattery.clock import utc_now
from cli.errors import AlreadyRunningError
from cli.home import Home, write_atomically


class PartState(StrEnum):
    """Where a part is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


class RunningPart(BaseModel):
    """A part as the supervisor last saw it; `created` is the kernel's start time of the pid."""

    name: str
    pid: int
    created: float
    started_at: datetime
    state: PartState
    port: int | None = None
    restarts: int = 0


class RunRecord(BaseModel):
    """The supervisor and its parts, as kept in the run file."""

    supervisor_pid: int
    started_at: datetime
    url: str
    temporal_ui_url: str | None = None
    ready: bool = False
    parts: dict[str, RunningPart] = {}

    @classmethod
    def new(cls, url: str) -> Self:
        """Begin the record of this process."""
        return cls(supervisor_pid=os.getpid(), started_at=utc_now(), url=url)

    def save(self, home: Home) -> None:
        """Write the record to the run file."""
        write_atomically(home.run_file, self.model_dump_json(indent=2) + "\n")


class UpLock:
    """Held by the one supervisor of a data folder for as long as it lives."""

    def __init__(self, home: Home) -> None:
        self._path = home.lock_file
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: another process holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyRunningError(_describe_other(self._path)) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def find_supervisor(home: Home) -> int | None:
    """Return the pid of the running supervisor, `None` where none runs."""
    try:
        descriptor = os.open(home.lock_file, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_pid(home.lock_file)
    finally:
        os.close(descriptor)
    return None


def read_record(home: Home) -> RunRecord | None:
    """Return the run file's record; `None` where there is none or it is damaged."""
    try:
        return RunRecord.model_validate_json(home.run_file.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None


def find_process(part: RunningPart) -> psutil.Process | None:
    """Return the part's process if that very process (not a later one of its pid) is alive."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(part.pid)
        same = abs(process.create_time() - part.created) < 1
        if same and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def end_leftovers(home: Home, *, within: float = 5) -> list[str]:
    """End what an earlier supervisor left running, process groups whole; return the parts' names.

    Only call it with the lock held. Parts get a moment to end by themselves: they were signalled
    when their supervisor died.
    """
    record = read_record(home)
    left = {
        part.name: process
        for part in (record.parts.values() if record else ())
        if (process := find_process(part))
    }
    for name, process in left.items():
        gentle = signal.SIGINT if name == "postgres" else signal.SIGTERM
        with contextlib.suppress(psutil.Error):
            process.send_signal(gentle)
    _, alive = psutil.wait_procs(list(left.values()), timeout=within)
    for process in alive:
        end_group(process.pid)
    psutil.wait_procs(alive, timeout=within)
    home.run_file.unlink(missing_ok=True)
    return sorted(left)


def end_group(pid: int) -> None:
    """Kill the process group that a part leads or led: all that it started and did not detach."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _describe_other(lock_file: Path) -> str:
    pid = _read_pid(lock_file)
    record = read_record(Home(lock_file.parent))
    where = f" at {record.url}" if record else ""
    who = f" (process {pid})" if pid else ""
    return (
        f"Cattery already runs{where}{who} with the data in {lock_file.parent}. "
        "Use it, or end it with: cattery down"
    )


def _read_pid(lock_file: Path) -> int | None:
    try:
        return int(lock_file.read_text().strip())
    except (OSError, ValueError):
        return None
