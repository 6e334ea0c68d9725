"""What every sandbox runtime promises, tried on real processes with a scripted harness."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import override

import aiohttp
import pytest

from cattery.errors import SandboxError, SandboxSetupError
from cattery.harnesses.http_client import HttpHarnessClient
from cattery.harnesses.port import (
    HarnessEndpoint,
    HarnessType,
    Launch,
    LaunchInput,
    Translator,
    TransportKind,
)
from cattery.ids import HarnessId, HarnessMessageId, HarnessSessionId, ProjectId, new_id
from cattery.sandboxes.local import LocalRuntime, starter
from cattery.sandboxes.local.confinement import Confinement, probe_confinement
from cattery.sandboxes.local.ports import choose_port
from cattery.sandboxes.local.sandbox import LocalSandbox
from cattery.sandboxes.port import (
    Observation,
    SandboxRuntime,
    SandboxSpec,
    SandboxState,
    Step,
    StepName,
)
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.record import read_record
from cattery.settings import SandboxSettings

TOY = Path(__file__).with_name("toy_harness.py")
SYSTEM_PYTHON = "/usr/bin/python3"
TOKEN = "gateway-token-0123456789"
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
            argv=(python, "-S", "-E", f"{given.tools}/toy/toy_harness.py"),
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
        npm_package=None,
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

    async def report(self, step: Step) -> None:
        self.steps.append(step)

    async def start(self, spec: SandboxSpec) -> Observation:
        return await self.runtime().ensure_running(spec, self.report)

    def folder(self, spec: SandboxSpec) -> Path:
        return self.home / "sandboxes" / str(spec.harness_id)

    def processes(self, spec: SandboxSpec) -> list[int]:
        record = read_record(self.folder(spec))
        tree = [] if record is None else processes.find_descendants(record.supervisor_pid)
        return sorted({*tree, *processes.find_marked(f"{spec.harness_id}:")})


@pytest.fixture(params=MODES)
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
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


def make_spec(*, generation: int = 1, **env: str) -> SandboxSpec:
    return SandboxSpec(
        harness_id=HarnessId(new_id()),
        project_id=ProjectId(new_id()),
        harness_type="toy",
        generation=generation,
        model="claude-sonnet-4-6",
        env=env,
        gateway_url="http://127.0.0.1:9",
        gateway_token=TOKEN,
    )


async def run(observed: Observation, code: str) -> str:
    """Run Python inside the sandbox and return what it printed."""
    assert observed.endpoint is not None
    headers = {"X-Password": observed.endpoint.password or ""}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{observed.endpoint.base_url}/run", json={"code": code}) as response,
    ):
        return str((await response.json())["out"]).strip()


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


async def test_a_started_sandbox_runs_is_adopted_and_stops_for_certain(site: Site) -> None:
    spec = make_spec()
    assert (await site.runtime().observe(spec.harness_id)).state is SandboxState.ABSENT

    started = await site.start(spec)

    assert started.state is SandboxState.RUNNING
    assert (started.generation, started.name) == (1, f"cattery-toy-{spec.harness_id}")
    assert [(s.name, s.finished_at is not None) for s in site.steps] == [
        (name, finished)
        for name in (StepName.WORKSPACE, StepName.STARTED, StepName.ANSWERING)
        for finished in (False, True)
    ]

    after_restart = site.runtime()
    assert await after_restart.observe(spec.harness_id) == started
    assert await after_restart.observe_all() == [started]
    before = site.processes(spec)
    another_token = replace(spec, gateway_token="of-another-attempt")
    assert await site.start(another_token) == started
    assert site.processes(spec) == before

    await after_restart.stop(spec.harness_id)
    assert site.processes(spec) == []
    await after_restart.stop(spec.harness_id)
    assert (await after_restart.observe(spec.harness_id)).state is SandboxState.ABSENT
    assert (site.folder(spec) / "home").is_dir()

    await after_restart.remove(spec.harness_id)
    assert not site.folder(spec).exists()
    assert (site.home / "projects" / str(spec.project_id) / "work").is_dir()
    await after_restart.remove(spec.harness_id)
    assert await after_restart.observe_all() == []


async def test_starts_at_the_same_moment_leave_one_sandbox(site: Site) -> None:
    spec = make_spec()
    seen = await asyncio.gather(*(site.start(spec) for _ in range(3)))
    assert seen[0] == seen[1] == seen[2]
    harnesses = await run(
        seen[0],
        "import os\n"
        "print(sum(b'toy_harness.py' in open(f'/proc/{p}/cmdline', 'rb').read() "
        "and f'CATTERY_SANDBOX={os.environ[\"CATTERY_SANDBOX\"]}'.encode() "
        "in open(f'/proc/{p}/environ', 'rb').read() "
        "and b'bwrap' not in open(f'/proc/{p}/cmdline', 'rb').read() "
        "for p in os.listdir('/proc') if p.isdigit()))",
    )
    assert harnesses == "1"


async def test_a_higher_generation_replaces_a_lower_one_and_never_the_reverse(site: Site) -> None:
    old = make_spec()
    first = await site.start(old)
    before = site.processes(old)

    new = replace(old, generation=2, gateway_token="another-token-of-generation-2")
    second = await site.start(new)

    assert second.generation == 2
    assert second.endpoint != first.endpoint
    assert set(before).isdisjoint(site.processes(new))
    with pytest.raises(SandboxSetupError, match="generation 1 is out of date"):
        await site.start(old)
    assert await site.runtime().observe(new.harness_id) == second


async def test_a_crash_is_seen_with_its_reason_and_log_and_can_be_started_again(
    site: Site,
) -> None:
    spec = make_spec()
    started = await site.start(spec)
    with suppress(aiohttp.ClientError):
        await run(started, "import os\nlog('my last words\\n')\nos._exit(7)")

    failed = await wait_for_state(site.runtime(), spec, SandboxState.FAILED)

    assert "exit code 7" in failed.reason
    assert "my last words" in failed.reason
    assert failed.endpoint is None
    assert "my last words" in await site.runtime().read_log(spec.harness_id)
    assert (await site.start(spec)).state is SandboxState.RUNNING


async def test_a_harness_that_ends_while_it_starts_is_an_error_with_its_log(site: Site) -> None:
    spec = make_spec(TOY_START="log('no ' + os.environ['TOY_TOKEN'] + ' no\\n'); sys.exit(3)")
    with pytest.raises(SandboxError, match="exit code 3") as caught:
        await site.start(spec)
    assert "no [redacted] no" in caught.value.message
    assert site.processes(spec) == []


async def test_a_harness_that_never_answers_is_ended_with_the_reason(site: Site) -> None:
    site.settings = SandboxSettings(start_timeout=timedelta(seconds=0.3))
    spec = make_spec(TOY_START="log('deaf\\n'); signal.pause()")
    with pytest.raises(SandboxError, match="did not answer within 0 seconds"):
        await site.start(spec)
    assert site.processes(spec) == []
    assert "did not answer" in (await site.runtime().observe(spec.harness_id)).reason


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


@pytest.mark.parametrize("bare", [False, True])
async def test_stopping_ends_an_orphan_that_ignores_being_asked(site: Site, bare: bool) -> None:
    spec = make_spec()
    started = await site.start(spec)
    before = len(site.processes(spec))
    sleep = "/usr/bin/sleep" if Path("/usr/bin/sleep").exists() else "/bin/sleep"
    await run(started, ORPHAN.format(sleep=sleep, bare=bare))
    await wait_until(lambda: len(site.processes(spec)) == before + 1)
    tree = site.processes(spec)

    await site.runtime().stop(spec.harness_id)

    assert [pid for pid in tree if processes.start_ticks(pid) is not None] == []


async def test_a_supervisor_that_is_killed_takes_its_sandbox_along(site: Site) -> None:
    spec = make_spec()
    started = await site.start(spec)
    sleep = "/usr/bin/sleep" if Path("/usr/bin/sleep").exists() else "/bin/sleep"
    await run(started, ORPHAN.format(sleep=sleep, bare=False))
    record = read_record(site.folder(spec))
    assert record is not None
    os.kill(record.supervisor_pid, signal.SIGKILL)

    failed = await wait_for_state(site.runtime(), spec, SandboxState.FAILED)
    assert "killed from outside" in failed.reason

    again = await site.start(spec)
    fresh = read_record(site.folder(spec))
    assert fresh is not None
    tree = processes.find_descendants(fresh.supervisor_pid)
    assert sorted(tree) == site.processes(spec), "nothing of the first life is left"
    assert again.state is SandboxState.RUNNING


async def test_nothing_of_the_platforms_environment_comes_in(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATTERY_JWT_SECRET", "canary-0123456789")
    monkeypatch.setenv("SOME_CANARY", "canary-0123456789")
    spec = make_spec(
        GREETING="hello",
        MODEL="mine",
        LD_PRELOAD="/evil.so",
        NODE_OPTIONS="--require /evil.js",
        ANTHROPIC_BASE_URL="http://evil.example",
        CATTERY_SANDBOX="nobody",
        PATH="/evil",
    )
    started = await site.start(spec)

    seen = await run(
        started,
        "import os\nfor n, v in os.environ.items(): print(n + '=' + v)\n"
        "for p in os.listdir('/proc'):\n"
        "    if p.isdigit():\n"
        "        try: text = open(f'/proc/{p}/environ').read()\n"
        "        except OSError: continue\n"
        "        if f'CATTERY_SANDBOX={os.environ[\"CATTERY_SANDBOX\"]}' in text: print(text)",
    )

    assert "canary" not in seen
    assert "evil" not in seen
    env = dict(line.partition("=")[::2] for line in seen.splitlines())
    assert env["GREETING"] == "hello"
    assert env["MODEL"] == spec.model
    assert env["HARNESS_ID"] == str(spec.harness_id)
    assert env["PROJECT_ID"] == str(spec.project_id)
    assert env["ANTHROPIC_BASE_URL"] == spec.gateway_url
    record = read_record(site.folder(spec))
    assert record is not None
    supervisor = Path(f"/proc/{record.supervisor_pid}/environ").read_bytes()
    assert b"canary" not in supervisor
    assert TOKEN.encode() not in supervisor
    assert TOKEN not in (site.folder(spec) / "sandbox.json").read_text()


async def test_a_variable_that_no_program_can_have_is_refused(site: Site) -> None:
    with pytest.raises(SandboxSetupError, match="MY-NAME"):
        await site.start(replace(make_spec(), env={"MY-NAME": "x"}))


async def test_workspace_home_and_skills_are_where_the_harness_was_told(site: Site) -> None:
    spec = make_spec()
    runtime = site.runtime()
    await runtime.create_workspace(spec.project_id)
    await runtime.create_workspace(spec.project_id)
    work = site.home / "projects" / str(spec.project_id) / "work"
    (site.home / "skills" / "knit").mkdir(parents=True)
    (site.home / "skills" / "knit" / "SKILL.md").write_text("purl")
    started = await site.start(spec)

    said = await run(
        started,
        "import os, pathlib, tempfile\n"
        "pathlib.Path('made.txt').write_text('by the agent')\n"
        "home = pathlib.Path(os.environ['HOME'])\n"
        "print((home / '.agents/skills/knit/SKILL.md').read_text())\n"
        "print((home / '.config/toy/settings.json').read_text())\n"
        "print(tempfile.mkstemp()[1].startswith(os.environ['TMPDIR']))\n"
        "(home / 'kept').write_text('x')",
    )

    assert said.splitlines() == ["purl", '{"toy": true}', "True"]
    assert (work / "made.txt").read_text() == "by the agent"
    listed = await runtime.workspace_files(spec.project_id).list_folder("/")
    assert [entry.name for entry in listed] == ["made.txt"]
    await runtime.stop(spec.harness_id)
    again = await site.start(replace(spec, generation=2))
    assert await run(again, "import os\nprint(os.listdir(os.environ['HOME']))") != ""
    assert (site.folder(spec) / "home" / "kept").exists()
    await runtime.stop(spec.harness_id)
    await runtime.delete_workspace(spec.project_id)
    await runtime.delete_workspace(spec.project_id)
    assert not work.exists()


async def test_a_sandbox_that_uses_more_than_it_may_is_ended_with_the_reason(site: Site) -> None:
    site.settings = SandboxSettings(memory_bytes=96 * 1024**2, max_processes=8)
    greedy, teeming = make_spec(), make_spec()
    first, second = await asyncio.gather(site.start(greedy), site.start(teeming))
    greed = "import builtins\nbuiltins.held = b'x' * (128 * 1024**2)"
    crowd = "import subprocess\nfor _ in range(9): subprocess.Popen(['sleep', '6000'])"
    for sandbox, code in ((first, greed), (second, crowd)):
        with suppress(aiohttp.ClientError):  # it may end before it has said so
            await run(sandbox, code)

    over_memory = await wait_for_state(site.runtime(), greedy, SandboxState.FAILED)
    over_count = await wait_for_state(site.runtime(), teeming, SandboxState.FAILED)

    assert "more than 96 MiB of memory" in over_memory.reason
    assert "more than 8 processes" in over_count.reason
    assert site.processes(greedy) == site.processes(teeming) == []


async def test_the_log_is_bounded_keeps_the_newest_and_holds_no_secret(site: Site) -> None:
    spec = make_spec(MY_API_KEY="a-user's-own-secret")
    started = await site.start(spec)
    await run(
        started,
        "import os\nfor n in range(9000): log(f'{n} ' + 'x' * 1000 + '\\n')\n"
        "log(os.environ['MY_API_KEY'] + os.environ['TOY_PASSWORD'] + '\\nthe end\\n')",
    )
    log = site.folder(spec) / "log"
    await wait_until(lambda: "the end" in (log / "harness.log").read_text())
    assert sum(file.stat().st_size for file in log.iterdir()) < 5 * 1024**2
    tail = await site.runtime().read_log(spec.harness_id, lines=3)
    assert tail.splitlines()[0].startswith("8999 ")
    assert tail.splitlines()[1:] == ["[redacted][redacted]", "the end"]
    assert TOKEN not in "".join(file.read_text() for file in log.iterdir())


KILLED_WORKERS = """
import asyncio, json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_sandbox_conformance import PROBED, Confinement, SandboxSpec, Site, toy_type
confinement = PROBED if sys.argv[3] == "confined" else Confinement(None)
site = Site(Path(sys.argv[2]), confinement, toy_type(sys.argv[4]))
for line in sys.stdin:
    spec, milliseconds = json.loads(line)
    worker = os.fork()
    if worker == 0:
        asyncio.run(site.start(SandboxSpec(**spec)))
        os._exit(0)
    time.sleep(milliseconds / 1000)  # the moment to kill it
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
"""


async def test_a_worker_killed_in_the_middle_of_a_start_loses_and_doubles_nothing(
    site: Site,
) -> None:
    moments = (5, 20, 45, 80, 120, 170)
    specs = [make_spec() for _ in moments]
    python = SYSTEM_PYTHON if site.confinement.bwrap else sys.executable
    mode = "confined" if site.confinement.bwrap else "unconfined"
    killer = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_WORKERS, str(TOY.parent), str(site.home), mode, python),
        stdin=asyncio.subprocess.PIPE,
    )
    lines = [
        json.dumps([asdict(spec), ms], default=str) for spec, ms in zip(specs, moments, strict=True)
    ]
    await killer.communicate("\n".join(lines).encode())
    assert killer.returncode == 0

    observed = await asyncio.gather(*(site.start(spec) for spec in specs))

    assert {one.state for one in observed} == {SandboxState.RUNNING}
    for spec in specs:
        record = read_record(site.folder(spec))
        assert record is not None
        assert sorted(processes.find_descendants(record.supervisor_pid)) == site.processes(spec)


async def test_a_start_that_is_cancelled_is_taken_up_by_the_next(site: Site) -> None:
    spec = make_spec()
    began = asyncio.Event()

    async def report(step: Step) -> None:
        if step.name is StepName.STARTED:
            began.set()

    runtime = site.runtime()
    task = asyncio.create_task(runtime.ensure_running(spec, report))
    await began.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    started = await runtime.ensure_running(spec, site.report)
    assert started.state is SandboxState.RUNNING
    record = read_record(site.folder(spec))
    assert record is not None
    assert sorted(processes.find_descendants(record.supervisor_pid)) == site.processes(spec)


async def test_a_confined_harness_sees_its_own_sandbox_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    if site.confinement.bwrap is None:
        assert not site.runtime().isolation().confined
        assert "bubblewrap" in Confinement(None, reason="no bubblewrap").describe().summary
        site.settings = SandboxSettings(allow_unconfined=False)
        with pytest.raises(SandboxSetupError, match="must be confined"):
            await site.start(make_spec())
        return
    other = make_spec()
    await site.runtime().create_workspace(other.project_id)
    secret = site.home / "projects" / str(other.project_id) / "work" / "secret"
    secret.write_text("theirs")
    (tmp_path / "host-file").write_text("the machine's")
    spec = make_spec()
    started = await site.start(spec)
    paths = [secret, tmp_path / "host-file", site.home, site.folder(spec), Path.home()]
    said = await run(
        started,
        "import os\n"
        f"print([p for p in {[str(p) for p in paths]!r} if os.path.exists(p)])\n"
        "print(sorted(p for p in os.listdir('/') if p not in "
        "('bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32')))\n"
        f"print(os.path.exists('/proc/{os.getpid()}') and {os.getpid()} > 100)\n"
        "print(all(b'toy_harness' in open(f'/proc/{p}/cmdline', 'rb').read() "
        "for p in os.listdir('/proc') if p.isdigit()))\n"
        "print(os.getcwd(), os.environ['HOME'], os.getuid())\n"
        "def refused(path):\n"
        "    try: open(path, 'a').close()\n"
        "    except OSError: return True\n"
        "print([p for p in ('/proc/sys/kernel/core_pattern', '/usr/x', '/etc/x', '/x', "
        "'/skills/x', '/opt/cattery/tools/x', '/etc/passwd') if not refused(p)])\n"
        "print(os.path.exists('/etc/shadow'), os.path.exists('/sys/kernel'))\n",
    )
    assert said.splitlines() == [
        "[]",
        "['dev', 'etc', 'home', 'opt', 'proc', 'run', 'skills', 'tmp', 'usr', 'var', 'work']",
        "False",
        "True",
        "/work /home/agent 1000",
        "[]",
        "False False",
    ]


async def test_a_start_that_was_given_up_cannot_begin_after_a_stop(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a worker is killed, or cancelled, while its supervisor is still on its way."""
    spec = make_spec()
    late: list[Job] = []
    launch = LocalSandbox.launch
    with monkeypatch.context() as held:
        held.setattr(LocalSandbox, "launch", lambda _, job: late.append(job))
        held.setattr(starter, "_RECORD_SECONDS", 0)
        with pytest.raises(SandboxError, match="being started otherwise"):
            await site.start(spec)
    await site.runtime().stop(spec.harness_id)

    assert not await asyncio.to_thread(launch, LocalSandbox(site.folder(spec)), late[0])
    assert site.processes(spec) == []
    assert (await site.runtime().observe(spec.harness_id)).state is SandboxState.ABSENT


async def test_a_trap_in_home_does_not_lead_the_platforms_files_astray(
    site: Site, tmp_path: Path
) -> None:
    spec = make_spec()
    started = await site.start(spec)
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    await run(
        started,
        "import os, shutil\nos.chdir(os.environ['HOME'])\nshutil.rmtree('.config')\n"
        f"os.symlink({str(treasure)!r}, '.config')",
    )
    await site.start(replace(spec, generation=2))
    assert list(treasure.iterdir()) == []
    assert (site.folder(spec) / "home/.config/toy/settings.json").read_text() == '{"toy": true}'


async def test_a_port_that_is_taken_meanwhile_is_given_up_for_another(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = socket.socket()
    other.bind(("127.0.0.1", 0))
    taken = other.getsockname()[1]
    chosen = iter([taken])
    monkeypatch.setattr(
        starter, "choose_port", lambda avoid: next(chosen, None) or choose_port(avoid)
    )
    started = await site.start(make_spec())
    assert started.endpoint is not None
    assert not started.endpoint.base_url.endswith(f":{taken}")
    other.close()


async def test_a_harness_that_is_not_installed_is_said_to_be_missing(site: Site) -> None:
    site.harness = toy_type("/opt/cattery/tools/nowhere/python")
    with pytest.raises(SandboxSetupError, match=r"Toy is not installed.*make up"):
        await site.start(make_spec())
