"""Claude Code in a confined local sandbox: started as the platform starts it, and walled in."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.events.model import Answer, QuestionAsked, Translated
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.tools import BRIDGES, install_bridges
from cattery.sandboxes.port import Progress, SandboxSpec
from cattery.settings import SandboxSettings
from tests.bridges.claude_site import NEEDS_CLAUDE, REPOSITORY, TOOLS, say
from tests.bridges.scripted_model import ScriptedModel
from tests.conformance import make_spec
from tests.harness_types import clone_registry
from tests.unit.sandbox_site import PROBED

pytestmark = [
    NEEDS_CLAUDE,
    pytest.mark.skipif(PROBED.bwrap is None, reason=f"needs bubblewrap: {PROBED.reason}"),
]


@dataclass
class Confined:
    """One running sandbox."""

    client: ClaudeCodeClient
    spec: SandboxSpec
    home: Path
    seconds: float
    """From the wish to the answer."""


@pytest.fixture(name="sandbox")
async def start_sandbox(tmp_path: Path) -> AsyncIterator[Confined]:
    install_bridges(REPOSITORY / BRIDGES, TOOLS)
    model = ScriptedModel()
    await model.start()
    harness = clone_registry()["claude-code"]
    settings = SandboxSettings(start_timeout=timedelta(seconds=60))
    home = tmp_path / "data"
    runtime = LocalRuntime(home, TOOLS, settings, {harness.id: harness}, confinement=PROBED)
    spec = replace(
        make_spec(),
        harness_id=HarnessId(new_id()),
        project_id=ProjectId(new_id()),
        harness_type=harness.id,
        model="claude-sonnet-4-6",
        gateway_url=model.url,
        env={},
    )

    async def ignore(_progress: Progress) -> None:
        return None

    begun = time.monotonic()
    started = await runtime.ensure_running(spec, ignore)
    assert started.endpoint is not None
    client = ClaudeCodeClient(started.endpoint)
    yield Confined(client, spec, home, time.monotonic() - begun)
    await client.close()
    await runtime.stop_all()
    await model.stop()


async def test_it_works_behind_its_walls_under_settings_that_it_cannot_change(
    sandbox: Confined,
) -> None:
    client = sandbox.client
    session = await client.create_session(theme="dark")
    assert "uid=1000" in (await say(client, session, "run id")).text
    managed = "/etc/claude-code/managed-settings.json"
    assert '"disableAllHooks": true' in (await say(client, session, f"run cat {managed}")).text

    def allow(event: Translated) -> object:
        if not isinstance(event, QuestionAsked):
            return None
        return client.answer(session, event, [Answer(event.questions[0].question, ("Allow once",))])

    refused = await say(client, session, f"run echo {{}} > {managed}", allow)
    assert "Read-only file system" in refused.text
    env = (await say(client, session, "run env")).text
    assert sandbox.spec.password not in env
    assert "PYTHONPATH" not in env
    await say(client, session, "write notes.txt")
    work = sandbox.home / "projects" / str(sandbox.spec.project_id) / "work"
    assert (work / "notes.txt").read_text() == "written\n"
    print(f"claude-code answered {sandbox.seconds:.1f} s after its start")
