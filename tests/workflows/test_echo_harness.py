"""The harness of docs/adding-a-harness.md: its manifest and its agent, run by the local runtime."""

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from cattery.events.model import TitleChanged
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.client import BridgeClient
from cattery.harnesses.registry import load_registry
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import Progress
from cattery.settings import HarnessSettings, SandboxSettings
from tests.bridges.acp_site import REPOSITORY, say
from tests.conformance import make_spec
from tests.unit.recorded_turns import fold

PAGE = (REPOSITORY / "docs" / "adding-a-harness.md").read_text()
EXAMPLE = PAGE.split("## An example, whole")[1]


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", EXAMPLE, re.DOTALL)
    assert found
    return found[1]


async def test_the_harness_of_the_tutorial_runs_a_turn(tmp_path: Path) -> None:
    manifest, agent = block("toml"), block("python")
    assert len([*manifest.splitlines(), *agent.splitlines()]) < 100
    folder = tmp_path / "harness_images" / "echo"
    folder.mkdir(parents=True)
    (folder / "harness.toml").write_text(manifest)
    tools = tmp_path / "tools"
    (tools / "echo").mkdir(parents=True)
    (tools / "echo" / "echo_agent.py").write_text(agent)
    # What `make install` makes of the pins: this Python has the same packages.
    (tools / "echo" / "venv").symlink_to(sys.prefix)
    shutil.copytree(REPOSITORY / "bridges", tools / "bridges")
    registry = load_registry(HarnessSettings(folder=folder.parent, types=None))
    open_to_us = Confinement(None, reason="the example needs this interpreter.")
    runtime = LocalRuntime(
        tmp_path / "data", tools, SandboxSettings(), registry, confinement=open_to_us
    )
    spec = replace(
        make_spec(),
        harness_id=HarnessId(new_id()),
        project_id=ProjectId(new_id()),
        harness_type="echo",
        model="claude-sonnet-4-6",
        gateway_url="http://127.0.0.1:9",
        env={},
    )

    async def ignore(_progress: Progress) -> None:
        return None

    try:
        started = await runtime.ensure_running(spec, ignore)
        assert started.endpoint is not None
        client = BridgeClient(started.endpoint)
        session = await client.create_session(theme="dark")
        said = await say(client, session, "Good morning, 猫")
        history = await client.fetch_history(session)
        await client.close()
    finally:
        await runtime.stop_all()

    assert said.text == "Good morning, 猫 "
    assert said.of(TitleChanged) == [TitleChanged("Good morning, 猫")]
    told = AcpTranslator(session, said.message).reconcile(history)
    assert fold(told).lines == fold(said.events).lines
