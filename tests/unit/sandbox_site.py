"""A temporary installation with a scripted harness, for the tests of sandbox runtimes."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import override

import pytest

from cattery.harnesses.http_client import HttpHarnessClient
from cattery.harnesses.port import (
    HarnessEndpoint,
    HarnessType,
    Launch,
    LaunchInput,
    Translator,
    TransportKind,
)
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement, probe_confinement
from cattery.sandboxes.port import (
    Observation,
    Progress,
    SandboxRuntime,
    SandboxSpec,
    SandboxState,
    Step,
    StepName,
)
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.record import read_record
from cattery.settings import SandboxSettings
from tests.conformance import keep

TOY = Path(__file__).with_name("toy_harness.py")
SYSTEM_PYTHON = "/usr/bin/python3"
PROBED = probe_confinement()
MODES = ["confined", "unconfined"]


class ToyClient(HttpHarnessClient):
    def __init__(self, endpoint: HarnessEndpoint) -> None:
        super().__init__(endpoint)
        self._secret = endpoint.password or ""

    @override
    def _headers(self) -> Mapping[str, str]:
        return {"X-Password": self._secret}

    @override
    async def fetch_title(self, session: HarnessSessionId) -> str | None:
        return None


def no_translator(_session: HarnessSessionId, _message: HarnessMessageId) -> Translator:
    raise NotImplementedError("the toy harness has no turns")


def toy_type(python: str) -> HarnessType:
    def launch(given: LaunchInput) -> Launch:
        return Launch(
            argv=(
                python.format(tools=given.tools),
                "-S",
                "-E",
                f"{given.tools}/toy/toy_harness.py",
            ),
            env={
                "TOY_HOST": given.host,
                "TOY_PASSWORD": given.password,
                "TOY_TOKEN": given.gateway_token,
                "ANTHROPIC_BASE_URL": given.gateway_url,
            },
            files={".config/toy/settings.json": '{"toy": true}'},
            links={".agents/skills": given.skills},
        )

    return HarnessType(
        id="toy",
        display_name="Toy",
        transport=TransportKind.HTTP,
        version="1",
        launch=launch,
        client=ToyClient,
        translator=no_translator,
    )


@dataclass
class Site:
    """One installation in a temporary folder; `runtime()` is what another worker would make."""

    home: Path
    confinement: Confinement
    harness: HarnessType
    settings: SandboxSettings = field(
        default_factory=lambda: SandboxSettings(start_timeout=timedelta(seconds=20))
    )
    steps: list[Step] = field(default_factory=list)

    def runtime(self) -> LocalRuntime:
        return LocalRuntime(
            self.home,
            self.home / "tools",
            self.settings,
            {"toy": self.harness},
            confinement=self.confinement,
        )

    async def worker(self) -> SandboxRuntime:
        return self.runtime()

    @property
    def step_names(self) -> Sequence[StepName]:
        return (StepName.WORKSPACE, StepName.STARTED, StepName.ANSWERING)

    async def report(self, progress: Progress) -> None:
        await keep(self.steps, progress)

    async def running(self, spec: SandboxSpec) -> Sequence[object]:
        return self.processes(spec)

    async def put_skill(self, slug: str, text: str) -> None:
        folder = self.home / "skills" / slug
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(text)

    def be_impatient(self, seconds: float) -> None:
        self.settings = SandboxSettings(start_timeout=timedelta(seconds=seconds))

    async def start(self, spec: SandboxSpec) -> Observation:
        return await self.runtime().ensure_running(spec, self.report)

    def folder(self, spec: SandboxSpec) -> Path:
        return self.home / "sandboxes" / str(spec.harness_id)

    def supervised(self, spec: SandboxSpec) -> list[int]:
        """List the processes beneath the one supervisor of the record."""
        record = read_record(self.folder(spec))
        return [] if record is None else sorted(processes.find_descendants(record.supervisor_pid))

    def processes(self, spec: SandboxSpec) -> list[int]:
        """List every process of the sandbox, whoever stands over it."""
        return sorted({*self.supervised(spec), *processes.find_marked(f"{spec.harness_id}:")})


@pytest.fixture(name="site", params=MODES)
async def open_site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    confined = request.param == "confined"
    if confined and (PROBED.bwrap is None or not Path(SYSTEM_PYTHON).exists()):
        pytest.skip(f"needs bubblewrap and {SYSTEM_PYTHON}: {PROBED.reason}")
    home = tmp_path / "data"
    (home / "tools" / "toy").mkdir(parents=True)
    shutil.copy(TOY, home / "tools" / "toy")
    made = Site(
        home=home,
        confinement=PROBED if confined else Confinement(None, reason="the test says so."),
        harness=toy_type(SYSTEM_PYTHON if confined else sys.executable),
    )
    yield made
    await made.runtime().stop_all()
    left = [p for s in made.runtime()._layout.sandbox_ids() for p in processes.find_marked(f"{s}:")]
    assert left == []


async def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def wait_for_state(
    runtime: SandboxRuntime, spec: SandboxSpec, state: SandboxState
) -> Observation:
    async with asyncio.timeout(10):
        while (seen := await runtime.observe(spec.harness_id)).state is not state:
            await asyncio.sleep(0.02)
    return seen


ORPHAN = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.execve({sleep!r}, [{sleep!r}, '6000'], {{}} if {bare} else dict(os.environ))
    os._exit(0)
os.wait()
"""

FOREMAN = """
import os, signal, subprocess, time
hand = subprocess.Popen(['/bin/sleep', '6000'])
def end(*_):
    time.sleep(0.3)
    with open(os.path.expanduser('~/seen'), 'w') as file:
        file.write('alive' if hand.poll() is None else 'gone')
    os._exit(0)
signal.signal(signal.SIGTERM, end)
"""
"""For `TOY_START`: a harness that looks at what it has started before it ends."""
