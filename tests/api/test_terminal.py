"""`/sessions/{id}/term`: the relay of a real bridge with the real Codex, by what one may see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import text

from api.terminal import SIGNED_OUT, STOPPED
from bridges.terminal.screen import Screen
from cattery.ids import HarnessSessionId
from tests.api.site import API, Person, Site
from tests.api.watching import Watchers
from tests.bridges.terminal_site import (
    PASSWORD,
    TOOLS,
    TerminalSite,
    make_site,
)
from tests.terminal_viewer import Viewer

NEEDS_CODEX = pytest.mark.skipif(
    not (TOOLS / "codex" / "venv").exists(), reason=f"needs codex in {TOOLS}: run `make install`"
)


@dataclass
class Opened:
    """A viewer behind the API, and what it looks at."""

    bridge: TerminalSite
    viewer: Viewer
    harness_id: str


@pytest.fixture
async def opened(
    site: Site, watchers: Watchers, ada: Person, tmp_path: Path
) -> AsyncIterator[Opened]:
    async with make_site("codex", tmp_path) as bridge:
        inner = await bridge.client.create_session(theme="dark")
        project = await ada.make_project()
        harness = await ada.make_harness(project, type="codex")
        session = await ada.make_session(harness)
        await set_rows(site, str(harness["harness_id"]), bridge.port, inner)
        socket = await watchers.http.ws_connect(
            f"http://{watchers.host}{API}/sessions/{session['session_id']}/term",
            headers={"Authorization": f"Bearer {ada.token}"},
        )
        viewer = Viewer(socket, Screen(100, 30)).start()
        await viewer.resize(100, 30)
        yield Opened(bridge, viewer, str(harness["harness_id"]))
        await viewer.close()


async def set_rows(site: Site, harness_id: str, port: int, inner: HarnessSessionId) -> None:
    """Say that the sandbox runs and has the session."""
    async with site.database.write() as rows:
        await rows.execute(
            text(
                "UPDATE harness SET status = 'ready', endpoint_url = :url,"
                " endpoint_password = :password WHERE id = :id"
            ),
            {"url": f"http://127.0.0.1:{port}", "password": PASSWORD, "id": harness_id},
        )
        await rows.execute(
            text("UPDATE session SET status = 'ready', harness_session_id = :inner"),
            {"inner": inner},
        )


async def closed(viewer: Viewer) -> int | None:
    async with asyncio.timeout(10):
        while not viewer.socket.closed:
            await asyncio.sleep(0.05)
    return viewer.socket.close_code


@NEEDS_CODEX
async def test_typing_and_the_screen_go_both_ways(opened: Opened) -> None:
    viewer = opened.viewer
    await viewer.wait_for("Ask Codex")
    await viewer.socket.send_str("never typed")
    await viewer.prompt("words over the relay")
    await viewer.wait_for("Heard 20 letters")
    assert "never typed" not in viewer.text


@NEEDS_CODEX
async def test_a_paste_of_a_mebibyte_goes_through_the_relay(opened: Opened) -> None:
    await opened.viewer.wait_for("Ask Codex")
    await opened.viewer.type("\x1b[200~" + "x" * 1024 * 1024 + "\x1b[201~")
    await opened.viewer.wait_for(f"[Pasted Content {1024 * 1024} chars]")


@NEEDS_CODEX
async def test_a_restart_of_the_sandbox_keeps_the_socket(opened: Opened) -> None:
    await opened.viewer.wait_for("Ask Codex")
    await opened.bridge.stop()
    await opened.bridge.start()
    before = len(opened.viewer.raw)
    async with asyncio.timeout(20):
        while b"OpenAI Codex" not in opened.viewer.raw[before:]:
            await asyncio.sleep(0.1)
    assert not opened.viewer.socket.closed


@NEEDS_CODEX
async def test_a_stopped_sandbox_ends_the_socket_and_says_so(site: Site, opened: Opened) -> None:
    await opened.viewer.wait_for("Ask Codex")
    async with site.database.write() as rows:
        await rows.execute(text("UPDATE harness SET status = 'idle', endpoint_url = NULL"))
    await opened.bridge.stop()
    assert await closed(opened.viewer) == STOPPED


@NEEDS_CODEX
async def test_signing_out_ends_the_socket(ada: Person, opened: Opened) -> None:
    await opened.viewer.wait_for("Ask Codex")
    with contextlib.suppress(aiohttp.ClientError):
        await ada.post("/auth/logout")
    assert await closed(opened.viewer) == SIGNED_OUT
