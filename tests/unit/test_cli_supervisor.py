"""The supervisor with real processes: ready, restarted, stopped, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import override

import psutil
import pytest

from cattery.clock import utc_now
from cli.console import Console, Tone
from cli.errors import PartFailedError
from cli.home import Home
from cli.running import PartState, RunningPart, RunRecord, end_leftovers, read_record
from cli.supervisor import Part, Supervisor

SERVE = "touch {ready}; trap 'echo stopping >> {said}; exit 0' TERM; while :; do sleep 0.02; done"
STUBBORN = "trap '' TERM; touch {ready}; while :; do sleep 0.02; done"
ONCE_WELL = "[ -e {said} ] && echo no disk && exit 4; touch {said} {ready}; sleep 0.3; exit 4"
DIES = "echo out of memory >&2; exit 3"


class Recorder(Console):
    """Keeps what would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._changed = asyncio.Event()

    @override
    def say(self, text: str = "", *, tone: Tone = "plain") -> None:
        self.lines.append(text)
        self._changed.set()

    async def wait_for(self, text: str) -> None:
        async with asyncio.timeout(10):
            while not any(text in line for line in self.lines):
                self._changed.clear()
                await self._changed.wait()


@dataclass
class Site:
    """A supervisor in a folder of its own."""

    home: Home
    supervisor: Supervisor
    console: Recorder
    names: list[str] = field(default_factory=list)

    def part(self, name: str, script: str, **more: object) -> Part:
        ready = self.home.run_folder / f"{name}.ready"
        said = self.home.folder / f"{name}.said"
        self.names.append(name)

        async def is_ready() -> bool:
            return ready.exists()

        return Part(
            name=name,
            command=["/bin/sh", "-c", script.format(ready=ready, said=said)],
            env={"PATH": os.environ["PATH"]},
            is_ready=is_ready,
            prepare=lambda: ready.unlink(missing_ok=True),
            **more,  # type: ignore[arg-type]
        )

    def pid(self, name: str) -> int:
        record = read_record(self.home)
        assert record is not None
        return record.parts[name].pid


@asynccontextmanager
async def running_site(folder: Path) -> AsyncIterator[Site]:
    home, console = Home(folder / "home"), Recorder()
    home.prepare()
    supervisor = Supervisor(home, console, RunRecord.new("http://127.0.0.1:1"))
    site = Site(home, supervisor, console)
    try:
        yield site
    finally:
        await supervisor.stop(site.names, within=0.2)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not come true within ten seconds"
        time.sleep(0.01)


async def test_a_part_is_ready_once_it_says_so_and_ends_in_good_order(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", SERVE, port=8123))
        record = read_record(site.home)
        assert record is not None
        assert record.parts["api"].state is PartState.READY
        assert record.parts["api"].port == 8123
        pid = record.parts["api"].pid
        assert os.getpgid(pid) == pid
        await site.supervisor.stop(["api"], within=5)
        assert not is_alive(pid)
        assert (site.home.folder / "api.said").read_text() == "stopping\n"


async def test_a_part_that_is_killed_is_started_again_and_said_so(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", SERVE))
        os.kill(site.pid("api"), signal.SIGKILL)
        await site.console.wait_for("is ready again")
        said = "\n".join(site.console.lines)
        assert "was ended by SIGKILL; starting it again in 0.5 s" in said
        record = read_record(site.home)
        assert record is not None
        assert record.parts["api"].restarts == 1
        assert is_alive(record.parts["api"].pid)


async def test_a_part_that_never_starts_fails_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.supervisor._FIRST_DELAY", 0.01)
    async with running_site(tmp_path) as site:
        with pytest.raises(PartFailedError) as raised:
            await site.supervisor.start(site.part("api", DIES))
        said = raised.value.message
        assert said.startswith("api could not be started: ended with exit code 3.")
        assert said.endswith("\n    out of memory")


async def test_a_part_that_is_not_ready_in_time_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.supervisor._FIRST_DELAY", 0.01)
    async with running_site(tmp_path) as site:
        with pytest.raises(PartFailedError, match="did not become ready in time"):
            await site.supervisor.start(site.part("api", "sleep 60", within=0.1))


async def test_a_part_that_keeps_ending_is_named_with_the_tail_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.supervisor._FIRST_DELAY", 0.01)
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", ONCE_WELL))
        await site.console.wait_for("it keeps ending")
        assert any("no disk" in line for line in site.console.lines)


async def test_a_part_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", STUBBORN))
        pid = site.pid("api")
        await site.supervisor.stop(["api"], within=0.1)
        assert not is_alive(pid)


async def test_hurry_cuts_the_wait_short(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", STUBBORN))
        stopping = asyncio.create_task(site.supervisor.stop(["api"], within=60))
        site.supervisor.hurry()
        async with asyncio.timeout(5):
            await stopping


async def test_what_a_part_started_ends_with_it(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(
            site.part("api", "sleep 60 & echo $! > {said}; touch {ready}; wait")
        )
        child = int((site.home.folder / "api.said").read_text())
        assert is_alive(child)
        await site.supervisor.stop(["api"], within=5)
        wait_until(lambda: not is_alive(child))


def test_parts_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "supervise.py"
    script.write_text(
        "import subprocess, sys\n"
        "from cli.supervisor import bind_to_us\n"
        "child = subprocess.Popen(bind_to_us(['/bin/sleep', '60']))\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        wait_until(lambda: psutil.Process(child).name() == "sleep")
        supervisor.kill()
    wait_until(lambda: not is_alive(child))


def test_a_part_whose_supervisor_died_before_it_began_does_not_begin(tmp_path: Path) -> None:
    launcher = Path(sys.modules["cli.supervisor"].__file__ or "").with_name("launch.py")
    command = [sys.executable, "-I", "-S", str(launcher), "--parent", "1", "--", "/bin/echo", "hi"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""


async def test_leftovers_of_a_killed_supervisor_are_ended_by_name(tmp_path: Path) -> None:
    async with running_site(tmp_path) as site:
        await site.supervisor.start(site.part("api", SERVE))
        pid = site.pid("api")
        ended = await asyncio.to_thread(end_leftovers, site.home)
        assert ended == ["api"]
        assert not is_alive(pid)


def test_a_record_whose_pid_belongs_to_another_process_now_harms_nobody(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        record = RunRecord.new("http://127.0.0.1:1")
        record.parts["api"] = RunningPart(
            name="api", pid=stranger.pid, created=1.0, started_at=utc_now(), state=PartState.READY
        )
        record.save(home)
        assert end_leftovers(home) == []
        assert stranger.poll() is None
        stranger.kill()
