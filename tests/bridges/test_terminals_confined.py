"""Codex and Hermes in a confined local sandbox, started as the platform starts them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from bridges.terminal.screen import Screen
from cattery.harnesses.bridged.client import basic_auth
from cattery.harnesses.terminal.client import TerminalClient
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.tools import BRIDGES, install_bridges
from cattery.sandboxes.port import Progress
from cattery.settings import SandboxSettings
from tests.bridges.terminal_site import REPOSITORY, TOOLS, OpenAiModel
from tests.conformance import make_spec
from tests.harness_types import clone_registry
from tests.terminal_viewer import Viewer
from tests.unit.sandbox_site import PROBED

pytestmark = [
    pytest.mark.skipif(
        not all((TOOLS / name / "venv").exists() for name in ("codex", "hermes")),
        reason=f"needs codex and hermes in {TOOLS}: run `make install`",
    ),
    pytest.mark.skipif(PROBED.bwrap is None, reason=f"needs bubblewrap: {PROBED.reason}"),
]


@asynccontextmanager
async def viewing(type_id: str, folder: Path) -> AsyncIterator[Viewer]:
    """Start a sandbox with a session and look at it."""
    install_bridges(REPOSITORY / BRIDGES, TOOLS)
    model = OpenAiModel()
    await model.start()
    harness = clone_registry()[type_id]
    settings = SandboxSettings(start_timeout=timedelta(seconds=60))
    runtime = LocalRuntime(folder, TOOLS, settings, {harness.id: harness}, confinement=PROBED)
    spec = replace(
        make_spec(),
        harness_id=HarnessId(new_id()),
        project_id=ProjectId(new_id()),
        harness_type=harness.id,
        model="gpt-5",
        gateway_url=model.url,
        env={},
    )

    async def ignore(_progress: Progress) -> None:
        return None

    started = await runtime.ensure_running(spec, ignore)
    assert started.endpoint is not None
    client = TerminalClient(started.endpoint)
    try:
        session = await client.create_session(theme="dark")
        headers = {"Authorization": basic_auth(started.endpoint.password or "")}
        address = f"{started.endpoint.base_url}/session/{session}/term"
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(address, headers=headers, max_msg_size=0)
            viewer = Viewer(socket, Screen(100, 30)).start()
            await viewer.resize(100, 30)
            yield viewer
            await viewer.close()
    finally:
        await client.close()
        await runtime.stop_all()
        await model.stop()


@pytest.mark.parametrize(
    ("type_id", "ready"), [("codex", "Ask Codex"), ("hermes", "Welcome to Hermes")]
)
async def test_it_answers_behind_its_walls(type_id: str, ready: str, tmp_path: Path) -> None:
    async with viewing(type_id, tmp_path / "data") as viewer:
        await viewer.wait_for(ready)
        await viewer.prompt("words in a sandbox")
        await viewer.wait_for("Heard 18 letters")
