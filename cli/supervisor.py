"""Keeps child processes running: start, wait until ready, start again when they die, stop in order.

A part is described by a `Part`; the supervisor knows nothing of what it does. Each runs in its own
process group, so that Ctrl-C reaches only the supervisor, and is bound to the supervisor's life by
`cli.launch`.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from cattery.clock import utc_now
from cli.console import Console, Tone
from cli.errors import PartFailedError
from cli.home import Home
from cli.part_logs import Noteworthy, PartLog, copy_lines, noteworthy_of_ours
from cli.running import PartState, RunningPart, RunRecord, end_group

_LAUNCHER = Path(__file__).with_name("launch.py")
_READY_POLL = 0.05
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_STEADY_AFTER = 60.0
"""A part that ran this long begins its back-off anew, in seconds."""
_FIRST_START_TRIES = 3
_LOOPING_AFTER = 3


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a part becomes."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Part:
    """One child process to keep running.

    Attributes:
        env: its whole environment.
        is_ready: one quick look; exceptions count as no.
        prepare: runs before each start, such as to remove a stale file.
        stop_signal: asks it to end in good order; also sent by the kernel if we die.
        hurry_signal: ends it at once, without good order.
        within: seconds from start to ready, before it counts as failed.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]]
    prepare: Callable[[], None] = lambda: None
    port: int | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    within: float = 60
    noteworthy: Noteworthy = noteworthy_of_ours


def bind_to_us(
    command: Sequence[str],
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> list[str]:
    """Wrap a command so that it gets a signal when this process dies, and runs as an account."""
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), "--parent", str(os.getpid())]
    launcher += ["--death-signal", death_signal.name]
    if account is not None:
        launcher += ["--uid", str(account.uid), "--gid", str(account.gid)]
    return [*launcher, "--", *command]


class Supervisor:
    """All parts of one `cattery up`."""

    def __init__(self, home: Home, console: Console, record: RunRecord) -> None:
        self._home = home
        self._console = console
        self._record = record
        self._runners: dict[str, _Runner] = {}
        self._hurry = asyncio.Event()

    async def start(self, part: Part) -> float:
        """Start a part and wait until it is ready; from then on it is kept running.

        Returns:
            The seconds that it took.

        Raises:
            PartFailedError: it ended, or did not become ready in time, three times over.
        """
        runner = _Runner(part, self._home, self._console, self._note)
        self._runners[part.name] = runner
        return await runner.start()

    async def stop(self, names: Iterable[str], *, within: float) -> None:
        """Stop some parts together, in good order for `within` seconds, then for certain."""
        runners = [self._runners[name] for name in names if name in self._runners]
        await asyncio.gather(*(runner.stop(within, self._hurry) for runner in runners))

    def hurry(self) -> None:
        """Cut every wait of the stop short."""
        self._hurry.set()

    @property
    def hurried(self) -> asyncio.Event:
        """Set once the user asked to hurry."""
        return self._hurry

    def _note(self, part: RunningPart) -> None:
        if part.state is PartState.STOPPED:
            self._record.parts.pop(part.name, None)
        else:
            self._record.parts[part.name] = part
        with contextlib.suppress(OSError):  # a full disk must not end the supervision
            self._record.save(self._home)


class _Runner:
    """The life of one part, over all its processes."""

    def __init__(
        self, part: Part, home: Home, console: Console, note: Callable[[RunningPart], None]
    ) -> None:
        self._part = part
        self._console = console
        self._note = note
        self._log = PartLog(home.logs / f"{part.name}.log")
        self._process: Process | None = None
        self._running: RunningPart | None = None
        self._stopping = False
        self._first_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> float:
        began = time.monotonic()
        self._task = asyncio.create_task(self._keep_running(), name=f"part {self._part.name}")
        await asyncio.wait({self._first_ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()
        return time.monotonic() - began

    async def stop(self, within: float, hurry: asyncio.Event) -> None:
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            await self._end_process(within, hurry)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._log.close()
        if self._running is not None:
            self._note(self._running.model_copy(update={"state": PartState.STOPPED}))

    async def _keep_running(self) -> None:
        deaths = 0
        while True:
            began = time.monotonic()
            try:
                ended = await self._run_once(deaths)
            except OSError as error:  # no memory, no process slot, no disk: may pass
                ended = f"could not be run ({error.strerror})"
            if self._stopping:
                return
            deaths = 1 if time.monotonic() - began > _STEADY_AFTER else deaths + 1
            if not self._first_ready.done() and deaths >= _FIRST_START_TRIES:
                raise PartFailedError(self._describe_failure(ended))
            delay = min(_FIRST_DELAY * 2 ** (deaths - 1), _LONGEST_DELAY)
            self._say(f"{ended}; starting it again in {delay:g} s.", tone="warning")
            if deaths == _LOOPING_AFTER:
                self._say(f"it keeps ending. {self._show_tail()}", tone="bad")
            await asyncio.sleep(delay)

    async def _run_once(self, deaths: int) -> str:
        """Run one process to its end; return in words how it ended."""
        part = self._part
        part.prepare()
        reading, writing = os.pipe()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *bind_to_us(part.command, part.account, part.stop_signal),
                env=dict(part.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                process_group=0,
            )
        finally:
            os.close(writing)
        copying = asyncio.create_task(copy_lines(reading, self._log, self._show))
        self._record_start(process.pid, deaths)
        readiness = asyncio.create_task(self._watch_readiness(process.pid, deaths))
        try:
            code = await process.wait()
        finally:
            readiness.cancel()
        late = (await asyncio.gather(readiness, return_exceptions=True))[0]
        end_group(process.pid)  # what it may have left in its group
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await copying
        return "did not become ready in time" if late is True else _describe_end(code)

    async def _watch_readiness(self, pid: int, deaths: int) -> bool:
        """Wait until the part is ready; past its time, kill it and return true."""
        try:
            async with asyncio.timeout(self._part.within):
                while not await self._look():  # noqa: ASYNC110 - another process's readiness
                    await asyncio.sleep(_READY_POLL)
        except TimeoutError:
            end_group(pid)
            return True
        self._set_state(PartState.READY)
        if deaths:
            self._say("is ready again.", tone="good")
        if not self._first_ready.done():
            self._first_ready.set_result(None)
        return False

    async def _look(self) -> bool:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                return await self._part.is_ready()
        return False

    async def _end_process(self, within: float, hurry: asyncio.Event) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - the caller looked
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self._part.stop_signal)
        if await _ends_within(process, within, hurry):
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self._part.hurry_signal)
        if not await _ends_within(process, 1, None):
            end_group(process.pid)
            await process.wait()

    def _record_start(self, pid: int, deaths: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            created = psutil.Process(pid).create_time()
            state = PartState.RESTARTING if deaths else PartState.STARTING
            restarts = self._running.restarts + 1 if self._running else 0
            self._running = RunningPart(
                name=self._part.name,
                pid=pid,
                created=created,
                started_at=utc_now(),
                state=state,
                port=self._part.port,
                restarts=restarts,
            )
            self._note(self._running)

    def _set_state(self, state: PartState) -> None:
        if self._running is not None:
            self._running = self._running.model_copy(update={"state": state})
            self._note(self._running)

    def _show(self, line: str) -> None:
        if not self._stopping and (text := self._part.noteworthy(line)):
            self._say(text, tone="faint")

    def _say(self, text: str, *, tone: Tone = "plain") -> None:
        self._console.row(self._part.name, text, tone=tone)

    def _describe_failure(self, ended: str) -> str:
        return f"{self._part.name} could not be started: {ended}. {self._show_tail()}"

    def _show_tail(self) -> str:
        tail = "\n".join(f"    {line}" for line in self._log.tail())
        return f"The end of its log, {self._log.path}:\n{tail or '    (empty)'}"


def _describe_end(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


async def _ends_within(process: Process, within: float, hurry: asyncio.Event | None) -> bool:
    """Wait for a process to end; give up after the time or when hurried."""
    waits: list[asyncio.Task[object]] = [asyncio.create_task(process.wait())]
    if hurry is not None:
        waits.append(asyncio.create_task(hurry.wait()))
    await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return process.returncode is not None
