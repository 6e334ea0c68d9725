"""What the local runtime promises beside the conformance suite: walls, kills, adoption."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.catalog import ModelFamily
from cattery.errors import SandboxError, SandboxSetupError
from cattery.sandboxes.local import starter
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.local.ports import choose_port
from cattery.sandboxes.local.sandbox import LocalSandbox
from cattery.sandboxes.port import (
    Progress,
    SandboxState,
    Step,
    StepName,
)
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.record import read_record
from cattery.settings import SandboxSettings
from tests.conformance import make_spec, run
from tests.unit.sandbox_site import (
    ORPHAN,
    SYSTEM_PYTHON,
    Site,
    open_site,  # noqa: F401 - the fixture `site`
    toy_type,
    wait_for_state,
    wait_until,
)


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
    assert site.processes(spec) == site.supervised(spec), "nothing of the first life is left"
    assert again.state is SandboxState.RUNNING


KILLED_WORKERS = """
import asyncio, json, os, signal, sys, time
from pathlib import Path
from tests.unit.sandbox_site import PROBED, Confinement, SandboxSpec, Site, toy_type
confinement = PROBED if sys.argv[2] == "confined" else Confinement(None)
site = Site(Path(sys.argv[1]), confinement, toy_type(sys.argv[3]))
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
        *(sys.executable, "-c", KILLED_WORKERS, str(site.home), mode, python),
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
        assert site.processes(spec) == site.supervised(spec) != []


async def test_a_start_that_is_cancelled_is_taken_up_by_the_next(site: Site) -> None:
    spec = make_spec()
    began = asyncio.Event()

    async def report(step: Progress) -> None:
        if isinstance(step, Step) and step.name is StepName.STARTED:
            began.set()

    runtime = site.runtime()
    task = asyncio.create_task(runtime.ensure_running(spec, report))
    await began.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    started = await runtime.ensure_running(spec, site.report)
    assert started.state is SandboxState.RUNNING
    assert site.processes(spec) == site.supervised(spec)


async def test_a_harness_in_a_container_is_reached_by_the_name_of_it(site: Site) -> None:
    here = "127.0.0.2"  # as good as another address: who listens on 127.0.0.1 is not there
    site.settings = SandboxSettings(local_host=here, start_timeout=timedelta(seconds=20))
    spec = make_spec()
    started = await site.start(spec)
    assert started.endpoint is not None
    record = read_record(site.folder(spec))
    assert record is not None
    assert started.endpoint.base_url == f"http://{here}:{record.port}"
    assert await site.runtime().observe(spec.harness_id) == started


async def test_a_confined_harness_sees_its_own_sandbox_and_nothing_else(
    site: Site, tmp_path: Path
) -> None:
    if site.confinement.bwrap is None:
        assert not (await site.runtime().isolation()).confined
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


async def test_a_harness_runs_from_a_virtual_environment_among_the_tools(
    site: Site, tmp_path: Path
) -> None:
    """Its interpreter lies elsewhere, and a link on the way is named by the minor version."""
    base = Path(sys.base_prefix)
    by_version = tmp_path / "pythons" / "cpython-3"
    by_version.parent.mkdir()
    by_version.symlink_to(base)
    venv = site.home / "tools" / "toy" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to(by_version / "bin" / "python3")
    site.harness = toy_type("{tools}/toy/venv/bin/python")
    started = await site.start(make_spec())

    about = "import sys, ssl; print(sys.prefix)"
    ask = f"import subprocess as s, sys\nprint(s.check_output([sys.executable, '-c', {about!r}]))"
    assert "/toy/venv" in await run(started, ask)
    if site.confinement.bwrap:
        canary = base / "lib" / "canary"
        write = f"try: open({str(canary)!r}, 'w')\nexcept OSError: print('refused')"
        assert await run(started, write) == "refused"
        beside = await run(started, f"import os\nprint(sorted(os.listdir({str(base)!r})))")
        assert beside == "['bin', 'lib']"


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


async def test_a_harness_whose_manifest_names_a_missing_program_does_not_start(site: Site) -> None:
    site.harness = replace(site.harness, program="toy/venv/bin/python")
    with pytest.raises(SandboxSetupError, match=r"Toy is not installed in .*make install"):
        await site.start(make_spec())


async def test_a_harness_that_needs_more_memory_than_there_is_does_not_start(site: Site) -> None:
    site.harness = replace(site.harness, needs_memory_bytes=8 * 1024**3)
    with pytest.raises(SandboxSetupError, match=r"Toy alone needs 8192 MiB .* get 4096"):
        await site.start(make_spec())


async def test_a_model_that_the_harness_does_not_speak_to_is_said_at_the_start(site: Site) -> None:
    site.harness = replace(site.harness, families=(ModelFamily.OPENAI,))
    spec = replace(make_spec(), model="claude-sonnet-4-6")
    with pytest.raises(SandboxSetupError) as raised:
        await site.start(spec)
    assert raised.value.message == (
        "Toy speaks to OpenAI models only, and claude-sonnet-4-6 is one of Anthropic's. Make "
        "another harness, with a model that fits or of another type."
    )


async def test_a_sandbox_whose_folder_was_deleted_ends_by_itself(site: Site) -> None:
    spec = make_spec()
    await site.start(spec)
    tree = site.processes(spec)
    shutil.rmtree(site.home)
    await wait_until(lambda: all(processes.start_ticks(pid) is None for pid in tree))
