"""What every sandbox runtime promises, and what local ones do beyond, on real processes."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from cattery.errors import SandboxError
from cattery.sandboxes.port import (
    SandboxState,
    StepName,
)
from cattery.sandboxes.supervisor import processes
from cattery.sandboxes.supervisor.record import read_record
from cattery.settings import SandboxSettings
from tests.conformance import TOKEN, RuntimeConformance, make_spec, run
from tests.unit.sandbox_site import (
    FOREMAN,
    ORPHAN,
    Site,
    open_site,  # noqa: F401 - the fixture `site`
    wait_for_state,
    wait_until,
)


class TestLocal(RuntimeConformance):
    """The common suite, on local processes."""


async def test_stopping_ends_every_process_and_removing_leaves_the_workspace(site: Site) -> None:
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


async def test_a_stop_asks_the_program_alone_which_ends_its_own_in_good_order(site: Site) -> None:
    """A bridge has to look at its program before that ends, and stores what it saw."""
    spec = make_spec(TOY_START=FOREMAN)
    await site.start(spec)

    await site.runtime().stop(spec.harness_id)

    home = site.folder(spec) / "home"
    assert (home / "seen").read_text() == "alive"


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
