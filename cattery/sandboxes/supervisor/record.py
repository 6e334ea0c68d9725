"""The durable record of one sandbox, and the lock that says whether its supervisor lives.

The supervisor holds the lock for as long as it lives, so that there is never a second one, and
writes the record under it. The kernel drops the lock with the process, however that ended: a
record that says `running` without the lock being held tells of a supervisor that was killed.

A supervisor that is still on its way when its start has been given up must not begin: each start
writes a ticket of its own, which a later start overwrites and a stop tears up.
"""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

RECORD = "sandbox.json"
LOCK = "lock"
TICKET = "ticket"
LOCK_TRIES = 20
LOCK_PAUSE = 0.01
"""An observer holds the lock for microseconds; a try that meets one is simply repeated."""


class RecordState(StrEnum):
    """How far the supervisor has come."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


class Ending(StrEnum):
    """Why a sandbox ended; `NONE` while it has not."""

    NONE = ""
    STOPPED = "stopped"
    EXITED = "exited"
    LIMIT = "limit"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRecord:
    """What is known of one sandbox.

    Attributes:
        digest: of all that the start was asked for; another digest is another sandbox.
        password: guards the harness's port; the file is readable by its owner alone.
        boot_id: of the kernel that the process ids belong to.
        supervisor_started: start time of the process in clock ticks, so that a process id that
            was given out again is not taken for it.
        harness_pid: also the harness's process group.
        reason: for people, why it ended.
    """

    harness_id: str
    name: str
    harness_type: str
    generation: int
    digest: str
    port: int
    password: str
    confined: bool
    boot_id: str
    supervisor_pid: int
    supervisor_started: int
    started_at: str
    state: RecordState
    harness_pid: int | None = None
    ending: Ending = Ending.NONE
    exit_code: int | None = None
    reason: str = ""


def read_record(folder: Path) -> SandboxRecord | None:
    """Read a sandbox's record; `None` where there is none that can be read."""
    try:
        values = json.loads((folder / RECORD).read_bytes())
        values["state"] = RecordState(values["state"])
        values["ending"] = Ending(values["ending"])
        return SandboxRecord(**values)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def write_record(folder: Path, record: SandboxRecord) -> None:
    """Replace a sandbox's record in one step. Call it with the lock held."""
    draft = folder / f".{RECORD}.{os.getpid()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(asdict(record), stream)
        stream.flush()
        os.fsync(descriptor)
    draft.replace(folder / RECORD)


def take_lock(folder: Path) -> int | None:
    """Take the sandbox's lock; `None` where somebody else keeps it. Close the result to let go."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_PAUSE)
        else:
            return descriptor
    os.close(descriptor)
    return None


def is_locked(folder: Path) -> bool:
    """Tell whether a supervisor stands over the sandbox right now."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_ticket(folder: Path, ticket: str) -> None:
    """Make a start the one that counts."""
    (folder / TICKET).write_text(ticket)


def tear_ticket(folder: Path) -> None:
    """Let no start that is still on its way begin. Call it with the lock held."""
    (folder / TICKET).unlink(missing_ok=True)


def holds_ticket(folder: Path, ticket: str) -> bool:
    """Tell whether a start still counts. Ask with the lock held."""
    try:
        return (folder / TICKET).read_text() == ticket
    except OSError:
        return False
