"""One sandbox on this machine: its record, its supervisor, its end. Blocking; use in threads."""

import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from cattery.errors import SandboxError
from cattery.logs import redact
from cattery.sandboxes.local.layout import delete_tree, make_private
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.__main__ import LOCKED
from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.log_file import read_tail
from cattery.sandboxes.supervisor.record import (
    Ending,
    RecordState,
    SandboxRecord,
    is_locked,
    read_record,
    take_lock,
    tear_ticket,
    write_record,
)
from cattery.sandboxes.supervisor.watch import GRACE_SECONDS

_LAUNCH_SECONDS = 20.0
_END_SECONDS = GRACE_SECONDS + 2.0
"""A supervisor that takes longer to end its sandbox is killed, and the rest is done here."""
_KILL_SECONDS = 5.0
_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Look:
    """What stands in the record, and whether a supervisor stands over the sandbox."""

    record: SandboxRecord | None
    supervised: bool

    @property
    def alive(self) -> bool:
        """Whether the harness runs or is about to."""
        return self.supervised and (
            self.record is None or self.record.state is not RecordState.ENDED
        )


class LocalSandbox:
    """The sandbox in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def look(self) -> Look:
        """Look at it now; some microseconds."""
        supervised = is_locked(self.folder)
        return Look(read_record(self.folder), supervised)

    def prepare(self) -> None:
        """Make its folders."""
        make_private(*(self.folder / name for name in ("home", "tmp", "etc", "log")))

    def launch(self, job: Job) -> bool:
        """Start a supervisor for a job, whose ticket was written.

        Return `False` where another one stands already or a later start or stop came between.

        Raises:
            SandboxError: it could not even begin.
        """
        result = subprocess.run(
            [sys.executable, "-I", "-m", "cattery.sandboxes.supervisor"],
            input=job.to_json(),
            capture_output=True,
            check=False,
            timeout=_LAUNCH_SECONDS,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        if result.returncode not in (0, LOCKED):
            said = result.stderr.decode(errors="replace").strip()[-500:] or self._supervisor_log()
            raise SandboxError(f"The supervisor of sandbox {job.name} could not start: {said}")
        return result.returncode == 0

    def end(
        self, ending: Ending = Ending.STOPPED, reason: str = "The sandbox was stopped."
    ) -> None:
        """End every process of it and write down why. Safe to repeat.

        Raises:
            SandboxError: a process would not end.
        """
        if not self.folder.exists():
            return
        deadline = time.monotonic() + _END_SECONDS + _KILL_SECONDS
        while is_locked(self.folder) or (lock := take_lock(self.folder)) is None:
            self._end_supervisor()
            if time.monotonic() > deadline:
                raise SandboxError(f"The processes of sandbox {self.folder.name} do not end.")
        try:
            tear_ticket(self.folder)
            processes.end_marked(f"{self.folder.name}:")
            self._write_ending(ending, reason)
        except TimeoutError as error:
            raise SandboxError(f"Sandbox {self.folder.name} does not end: {error}") from error
        finally:
            os.close(lock)

    def delete(self) -> None:
        """End it and delete its folder."""
        self.end()
        delete_tree(self.folder)

    def tail(self, lines: int) -> str:
        """Return the last lines that its harness wrote, without what looks like a token."""
        return redact(read_tail(self.folder / "log", lines))

    def mark_answered(self, record: SandboxRecord) -> None:
        """Remember that the harness of a record has answered once."""
        (self.folder / "answered").write_text(_life_of(record))

    def has_answered(self, record: SandboxRecord) -> bool:
        """Tell whether the harness of a record has ever answered."""
        try:
            return (self.folder / "answered").read_text() == _life_of(record)
        except OSError:
            return False

    def _end_supervisor(self) -> None:
        record = read_record(self.folder)
        if record is None or processes.start_ticks(record.supervisor_pid) != (
            record.supervisor_started
        ):
            time.sleep(_PAUSE)  # the lock is taken, the record not yet written
            return
        try:
            process = os.pidfd_open(record.supervisor_pid)
        except ProcessLookupError:
            return
        try:
            if processes.start_ticks(record.supervisor_pid) != record.supervisor_started:
                return
            signal.pidfd_send_signal(process, signal.SIGTERM)
            if not _wait_for(process, _END_SECONDS):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                _wait_for(process, _KILL_SECONDS)
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def _write_ending(self, ending: Ending, reason: str) -> None:
        record = read_record(self.folder)
        if record is not None:
            ended = replace(record, state=RecordState.ENDED, ending=ending, reason=reason)
            write_record(self.folder, ended)

    def _supervisor_log(self) -> str:
        try:
            return (self.folder / "log" / "supervisor.log").read_text(errors="replace")[-500:]
        except OSError:
            return "it said nothing"


def _wait_for(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _life_of(record: SandboxRecord) -> str:
    return f"{record.boot_id} {record.supervisor_pid} {record.supervisor_started}"
