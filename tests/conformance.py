"""What every sandbox runtime promises, tried with a scripted harness that runs what it is told.

A runtime's own tests subclass `RuntimeConformance` and bring a fixture `site`:
`tests/unit/test_sandbox_conformance.py` for local processes, `tests/cluster/test_conformance.py`
for pods of a real cluster.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import aiohttp
import pytest

from cattery.errors import SandboxError, SandboxSetupError
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.sandboxes.port import (
    Observation,
    Progress,
    SandboxRuntime,
    SandboxSpec,
    SandboxState,
    Step,
    StepName,
)

TOKEN = "gateway-token-0123456789"
PASSWORD = "password-0123456789"


class RuntimeSite(Protocol):
    """One installation of a runtime, and what a test needs to know of it from outside."""

    steps: list[Step]
    step_names: Sequence[StepName]
    """The steps that the runtime reports, in their order."""

    async def worker(self) -> SandboxRuntime:
        """Return what another worker would make."""

    async def start(self, spec: SandboxSpec) -> Observation:
        """Start a sandbox and keep its steps."""

    async def running(self, spec: SandboxSpec) -> Sequence[object]:
        """Name whatever runs of a sandbox (processes, pods), each by what no other has."""

    async def put_skill(self, slug: str, text: str) -> None:
        """Put a skill into the library."""

    def be_impatient(self, seconds: float) -> None:
        """Give starts from now on so little time to answer."""


class RuntimeConformance:
    """The suite; every test makes sandboxes of its own."""

    async def test_a_started_sandbox_runs_is_adopted_and_stops_for_certain(
        self, site: RuntimeSite
    ) -> None:
        spec = make_spec()
        assert (await (await site.worker()).observe(spec.harness_id)).state is SandboxState.ABSENT

        started = await site.start(spec)

        assert started.state is SandboxState.RUNNING
        assert (started.generation, started.name) == (1, f"cattery-toy-{spec.harness_id}")
        finished = {step.name: step.finished_at is not None for step in site.steps}
        assert finished == dict.fromkeys(site.step_names, True)

        after_restart = await site.worker()
        assert bare(await after_restart.observe(spec.harness_id)) == bare(started)
        everything = [bare(one) for one in await after_restart.observe_all()]
        assert bare(started) in everything
        before = await site.running(spec)
        another_token = replace(spec, gateway_token="of-another-attempt")
        assert bare(await site.start(another_token)) == bare(started)
        assert await site.running(spec) == before != []

        await after_restart.stop(spec.harness_id)
        assert await site.running(spec) == []
        await after_restart.stop(spec.harness_id)
        assert (await after_restart.observe(spec.harness_id)).state is SandboxState.ABSENT

        await after_restart.remove(spec.harness_id)
        await after_restart.remove(spec.harness_id)
        left = {one.harness_id for one in await after_restart.observe_all()}
        assert spec.harness_id not in left

    async def test_what_belongs_to_a_project_and_a_harness_is_listed_until_it_is_gone(
        self, site: RuntimeSite
    ) -> None:
        spec = make_spec()
        runtime = await site.worker()
        assert await runtime.list_belongings(harness_id=spec.harness_id) == []
        assert await runtime.list_belongings(project_id=spec.project_id) == []
        await runtime.create_workspace(spec.project_id)
        await site.start(spec)
        of_harness = await runtime.list_belongings(harness_id=spec.harness_id)
        assert len(of_harness) >= 2, "what runs, and what it is kept in"
        assert len(await runtime.list_belongings(project_id=spec.project_id)) >= 2

        await runtime.stop(spec.harness_id)
        stopped = await runtime.list_belongings(harness_id=spec.harness_id)
        assert 0 < len(stopped) < len(of_harness)
        await runtime.remove(spec.harness_id)
        assert await runtime.list_belongings(harness_id=spec.harness_id) == []
        assert len(await runtime.list_belongings(project_id=spec.project_id)) == 1
        await runtime.delete_workspace(spec.project_id)
        assert await runtime.list_belongings(project_id=spec.project_id) == []

    async def test_starts_at_the_same_moment_leave_one_sandbox(self, site: RuntimeSite) -> None:
        spec = make_spec()
        seen = await asyncio.gather(*(site.start(spec) for _ in range(3)))
        assert bare(seen[0]) == bare(seen[1]) == bare(seen[2])
        assert await site.running(spec)
        assert await run(seen[0], "print('alive')") == "alive"

    async def test_a_higher_generation_replaces_a_lower_one_and_never_the_reverse(
        self, site: RuntimeSite
    ) -> None:
        old = make_spec()
        first = await site.start(old)
        before = await site.running(old)

        new = replace(old, generation=2, gateway_token="another-token-of-generation-2")
        second = await site.start(new)

        assert (first.generation, second.generation) == (1, 2)
        assert set(before).isdisjoint(await site.running(new))
        assert await run(second, "import os\nprint(os.environ['TOY_TOKEN'])") == new.gateway_token
        with pytest.raises(SandboxSetupError, match="generation 1 is out of date"):
            await site.start(old)
        assert bare(await (await site.worker()).observe(new.harness_id)) == bare(second)

    async def test_a_stopped_sandbox_starts_again_with_its_home(self, site: RuntimeSite) -> None:
        spec = make_spec()
        started = await site.start(spec)
        await run(started, "import os, pathlib\npathlib.Path.home().joinpath('kept').touch()")
        await (await site.worker()).stop(spec.harness_id)
        again = await site.start(replace(spec, generation=2))
        assert "kept" in await run(again, "import os\nprint(os.listdir(os.environ['HOME']))")

    async def test_a_harness_that_ends_while_it_starts_is_an_error_with_its_log(
        self, site: RuntimeSite
    ) -> None:
        spec = make_spec(TOY_START="log('no ' + os.environ['TOY_TOKEN'] + ' no\\n'); sys.exit(3)")
        with pytest.raises(SandboxError, match="exit code 3") as caught:
            await site.start(spec)
        assert "no [redacted] no" in caught.value.message

    async def test_a_harness_that_never_answers_is_an_error_with_the_reason(
        self, site: RuntimeSite
    ) -> None:
        site.be_impatient(0.3)
        spec = make_spec(TOY_START="log('deaf\\n'); signal.pause()")
        with pytest.raises(SandboxError, match=r"did not (answer|start) within \d+ seconds"):
            await site.start(spec)

    async def test_the_environment_is_the_users_under_the_platforms(
        self, site: RuntimeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOME_CANARY", "canary-0123456789")
        text = 'it\'s $HOME "quoted" \\ `and`\nin two lines'
        spec = make_spec(
            GREETING=text,
            MODEL="mine",
            LD_PRELOAD="/evil.so",
            NODE_OPTIONS="--require /evil.js",
            ANTHROPIC_BASE_URL="http://evil.example",
            PATH="/evil",
        )
        started = await site.start(spec)

        seen = await run(started, "import json, os\nprint(json.dumps(dict(os.environ)))")

        assert "canary" not in seen
        assert "evil" not in seen
        greeting = await run(started, "import os\nprint(repr(os.environ['GREETING']))")
        assert greeting == repr(text)
        for name, value in {
            "MODEL": spec.model,
            "HARNESS_ID": str(spec.harness_id),
            "PROJECT_ID": str(spec.project_id),
            "ANTHROPIC_BASE_URL": spec.gateway_url,
        }.items():
            assert f'"{name}": "{value}"' in seen

    async def test_a_variable_that_no_program_can_have_is_refused(self, site: RuntimeSite) -> None:
        with pytest.raises(SandboxSetupError, match="MY-NAME"):
            await site.start(replace(make_spec(), env={"MY-NAME": "x"}))

    async def test_workspace_home_and_skills_are_where_the_harness_was_told(
        self, site: RuntimeSite
    ) -> None:
        spec = make_spec()
        runtime = await site.worker()
        await runtime.create_workspace(spec.project_id)
        await runtime.create_workspace(spec.project_id)
        await site.put_skill("knit", "purl")
        started = await site.start(spec)

        said = await run(
            started,
            "import os, pathlib, tempfile\n"
            "pathlib.Path('made.txt').write_text('by the agent')\n"
            "home = pathlib.Path(os.environ['HOME'])\n"
            "print((home / '.agents/skills/knit/SKILL.md').read_text())\n"
            "print((home / '.config/toy/settings.json').read_text())\n"
            "print(tempfile.mkstemp()[1].startswith(os.environ['TMPDIR']))\n",
        )

        assert said.splitlines() == ["purl", '{"toy": true}', "True"]
        friend = replace(make_spec(), project_id=spec.project_id)
        beside = await site.start(friend)
        assert await run(beside, "print(open('made.txt').read())") == "by the agent"
        for one in (spec, friend):
            await runtime.remove(one.harness_id)
        await runtime.delete_workspace(spec.project_id)
        await runtime.delete_workspace(spec.project_id)

    async def test_a_log_is_read_without_secrets_that_look_like_ones(
        self, site: RuntimeSite
    ) -> None:
        spec = make_spec()
        started = await site.start(spec)
        await run(started, "log('Authorization: Bearer abcdef-0123456789\\nthe end\\n')")

        async def said() -> bool:
            return "the end" in await (await site.worker()).read_log(spec.harness_id, lines=3)

        await eventually(said)
        assert "abcdef" not in await (await site.worker()).read_log(spec.harness_id)
        assert await (await site.worker()).read_log(HarnessId(new_id())) == ""


def make_spec(*, generation: int = 1, **env: str) -> SandboxSpec:
    """Describe a sandbox of the toy harness in a project of its own."""
    return SandboxSpec(
        harness_id=HarnessId(new_id()),
        project_id=ProjectId(new_id()),
        harness_type="toy",
        generation=generation,
        model="claude-sonnet-4-6",
        env=env,
        gateway_url="http://127.0.0.1:9",
        gateway_token=TOKEN,
        password=PASSWORD,
    )


def bare(observed: Observation) -> Observation:
    """Leave out what only whoever started a sandbox is sure to know."""
    endpoint = observed.endpoint
    return replace(observed, endpoint=replace(endpoint, password=None) if endpoint else None)


async def run(observed: Observation, code: str) -> str:
    """Run Python inside the sandbox and return what it printed."""
    assert observed.endpoint is not None
    headers = {"X-Password": observed.endpoint.password or PASSWORD}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.post(f"{observed.endpoint.base_url}/run", json={"code": code}) as response,
    ):
        return str((await response.json())["out"]).strip()


async def eventually(condition: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait until a condition, plain or asynchronous, holds."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if await held if asyncio.iscoroutine(held) else held:
                return
            await asyncio.sleep(0.05)


async def keep(steps: list[Step], progress: Progress) -> None:
    """Keep the steps of what a runtime reports."""
    if isinstance(progress, Step):
        steps.append(progress)
