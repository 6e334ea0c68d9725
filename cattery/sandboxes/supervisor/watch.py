"""Stands over one sandbox: starts its harness, keeps its log and its limits, ends all of it.

One thread, one loop: the harness's output, its end, a request to stop (SIGTERM) and the next look
at the limits all come through a selector. Nothing of a sandbox outlives its supervisor: confined,
bubblewrap's pid namespace goes with it; otherwise it is the subreaper of all that the harness
leaves behind, and kills until there is no child left.
"""

import contextlib
import os
import resource
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.home import lay_out_file, lay_out_link
from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.log_file import LogFile
from cattery.sandboxes.supervisor.record import Ending, RecordState, SandboxRecord, write_record

GRACE_SECONDS = 1.5
"""How long a harness may take to end by itself; opencode takes none, codex and claude 0.1 s."""
LOOK_SECONDS = 1.0
"""Between two looks at memory and processes."""
CHUNK = 64 * 1024
_WRAPPERS = 2
"""Processes of bubblewrap above a confined harness: outside, and the first of its namespace."""
_OOM_SCORE = "500"
"""When memory runs out, the kernel takes harnesses before databases and supervisors."""


@dataclass(frozen=True, slots=True)
class End:
    """Why the watch is over."""

    ending: Ending
    reason: str
    exit_code: int | None = None


class Watch:
    """Stands over the sandbox of one job. Make it with the sandbox's lock held."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._folder = Path(job.folder)
        self._log = LogFile(self._folder / "log", secrets=job.secrets)
        self._record = _first_record(job)
        self._selector = selectors.DefaultSelector()
        self._output: int | None = None
        self._harness: int | None = None
        self._exit: int | None = None
        self._stop_requested = False

    def run(self, say_started: Callable[[], None]) -> None:
        """Do the job until the sandbox is over; the record tells how.

        Args:
            say_started: called once the record is true, whether or not the harness started.
        """
        self._write(self._record)
        self._listen_to_signals()
        processes.become_subreaper()
        try:
            processes.end_marked(f"{self._job.harness_id}:")
            self._lay_out()
            self._spawn()
        except (OSError, ValueError) as error:
            self._finish(End(Ending.FAILED, f"The harness could not be started: {error}."))
            say_started()
            return
        running = replace(self._record, state=RecordState.RUNNING, harness_pid=self._harness)
        self._write(running)
        say_started()
        end = self._watch()
        if end.ending is Ending.STOPPED:
            self._ask_to_end()
        self._kill_all()
        self._finish(end)

    def _lay_out(self) -> None:
        scratch = self._folder / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, exist_ok=True)
        for relative, content in self._job.files.items():
            lay_out_file(self._folder / "home", relative, content)
        for relative, target in self._job.links.items():
            lay_out_link(self._folder / "home", relative, target)

    def _spawn(self) -> None:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        try:
            process = subprocess.Popen(
                self._job.argv,
                cwd=self._job.cwd,
                env=dict(self._job.env),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
                preexec_fn=self._prepare_child,  # this process has one thread
            )
        finally:
            os.close(write_end)
        process.returncode = 0  # children are reaped here, all of them, and not by Popen
        self._harness = process.pid
        self._output = read_end
        self._selector.register(read_end, selectors.EVENT_READ)

    def _prepare_child(self) -> None:
        processes.die_with_parent()
        os.umask(0o022)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self._job.cpu_seconds is not None:
            limit = self._job.cpu_seconds
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)

    def _listen_to_signals(self) -> None:
        wake_read, wake_write = os.pipe()
        for descriptor in (wake_read, wake_write):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        for number in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # not SIG_IGN, which the harness would inherit
        self._selector.register(wake_read, selectors.EVENT_READ)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requested = True

    def _watch(self) -> End:
        next_look = time.monotonic() + LOOK_SECONDS
        while True:
            self._take_events(max(0.0, next_look - time.monotonic()))
            self._reap()
            if self._stop_requested:
                return End(Ending.STOPPED, "The sandbox was stopped.")
            if self._exit is not None:
                return End(Ending.EXITED, _describe_exit(self._exit), self._exit)
            if time.monotonic() >= next_look:
                over = self._check_limits()
                if over:
                    return End(Ending.LIMIT, over)
                if not self._folder.exists():  # nobody could ever find or stop it again
                    return End(Ending.FAILED, "The sandbox's folder was deleted.")
                next_look = time.monotonic() + LOOK_SECONDS

    def _take_events(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            data = _read_available(key.fd)
            if key.fd != self._output:
                continue
            if data:
                self._log.write(data)
            elif data is not None:
                self._selector.unregister(key.fd)
                self._output = None

    def _reap(self) -> bool:
        """Collect children that ended; return whether any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._harness:
                self._exit = os.waitstatus_to_exitcode(status)

    def _check_limits(self) -> str | None:
        tree = processes.find_descendants(os.getpid())
        if len(tree) > self._job.max_processes:
            return (
                f"The sandbox had more than {self._job.max_processes} processes and was ended. "
                "Start it again; if the work needs more, raise CATTERY_MAX_PROCESSES."
            )
        limit = self._job.memory_bytes
        over = processes.sum_resident(tree) > limit
        if over and processes.sum_proportional(tree) > limit:
            return (
                f"The sandbox used more than {_in_gib(limit)} of memory and was ended. "
                "Start it again; if the work needs more, raise CATTERY_MEMORY_BYTES."
            )
        return None

    def _ask_to_end(self) -> None:
        """Send SIGTERM to the harness's own program and wait a little.

        To no other, as in a container: a bridge that ends in good order asks its program itself,
        after it has looked which conversation that is in. Bubblewrap's processes get none: the
        outer one would die of it, and take all at once with it.
        """
        program = self._harness
        for _ in range(_WRAPPERS if self._job.confined else 0):
            program = processes.find_first_child(program) if program else None
        processes.send_signal([program] if program else [], signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while self._exit is None and time.monotonic() < deadline:
            self._take_events(max(0.0, deadline - time.monotonic()))
            self._reap()

    def _kill_all(self) -> None:
        while self._reap():
            tree = processes.find_descendants(os.getpid())
            processes.send_signal(tree, signal.SIGKILL)
            self._take_events(0.02)

    def _finish(self, end: End) -> None:
        while self._output is not None and (data := _read_available(self._output)):
            self._log.write(data)
        self._log.close()
        self._write(
            replace(
                self._record,
                state=RecordState.ENDED,
                ending=end.ending,
                reason=end.reason,
                exit_code=end.exit_code,
            )
        )

    def _write(self, record: SandboxRecord) -> None:
        self._record = record
        with contextlib.suppress(FileNotFoundError):
            write_record(self._folder, record)


def _first_record(job: Job) -> SandboxRecord:
    return SandboxRecord(
        harness_id=job.harness_id,
        name=job.name,
        harness_type=job.harness_type,
        generation=job.generation,
        digest=job.digest,
        port=job.port,
        password=job.password,
        confined=job.confined,
        boot_id=processes.boot_id(),
        supervisor_pid=os.getpid(),
        supervisor_started=processes.start_ticks(os.getpid()) or 0,
        started_at=datetime.now(UTC).isoformat(),
        state=RecordState.STARTING,
    )


def _read_available(descriptor: int) -> bytes | None:
    """Read what is there; empty at the end, `None` where nothing is there now."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def _describe_exit(code: int) -> str:
    number = -code if code < 0 else code - 128
    if code < 0 or code > 128:
        with contextlib.suppress(ValueError):
            name = signal.Signals(number).name
            hint = " (perhaps the machine ran out of memory)" if name == "SIGKILL" else ""
            return f"The harness was ended by {name}{hint}."
    return f"The harness ended by itself with exit code {code}."


def _in_gib(size: int) -> str:
    gib = size / 1024**3
    return f"{gib:.1f} GiB" if gib >= 1 else f"{size / 1024**2:.0f} MiB"
