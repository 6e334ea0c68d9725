"""The real Codex and Hermes behind the terminal bridge: one story each, since a start is dear."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from cattery.harnesses.bridged.client import basic_auth
from cattery.ids import HarnessSessionId
from tests.bridges.terminal_site import PASSWORD, TOOLS, TerminalSite, make_site
from tests.terminal_viewer import Viewer, picture, settle

PROMPTS = {"codex": "Ask Codex", "hermes": "Welcome to Hermes"}
"""What shows that the program takes prompts."""
PASTE = "0123456789abcdef" * (1024 * 1024 // 16)


def needs(name: str) -> pytest.MarkDecorator:
    """Skip where a program is not installed."""
    reason = f"needs {name} in {TOOLS}: run `make install`"
    return pytest.mark.skipif(not (TOOLS / name / "venv").exists(), reason=reason)


async def tell_and_look_again(site: TerminalSite) -> None:
    session = await site.client.create_session(theme="light")
    first = await site.view(session)
    await first.wait_for(PROMPTS[site.name])
    await first.prompt("the first words")
    await first.wait_for("Heard 15 letters")

    # A second viewer gets the same picture.
    await settle(first)
    second = await site.view(session)
    await second.wait_for("Heard 15 letters")
    await settle(first, second)
    assert picture(second) == picture(first)

    # The program has the smallest viewer's size; a larger one sees the same in its corner.
    await second.resize(80, 24)
    await settle(first, second)
    await second.wait_for("Heard 15 letters")
    shown = [row[:80] for row in first.screen.grid.lines[:24]]
    assert shown == second.screen.grid.lines
    assert picture(first)[1] == picture(second)[1]
    await second.close()
    await settle(first)

    # Killed, it comes back in its conversation; so it does under another bridge.
    await kill_program(site, first, session)
    await first.wait_for("the first words", PROMPTS[site.name])
    before = site.pids(session)
    await site.stop()
    assert site.pids(session) == []
    assert before
    await site.start()
    assert await site.client.session_exists(session)
    third = await site.view(session)
    await third.wait_for("the first words")

    await site.client.end_session(session)
    assert not await site.client.session_exists(session)
    assert site.pids(session) == []


async def kill_program(site: TerminalSite, viewer: Viewer, session: HarnessSessionId) -> None:
    """Kill the program outright once its conversation is known to the bridge."""
    record = site.root / "home" / ".cattery" / "terminal" / f"{session}.json"
    async with asyncio.timeout(20):
        while '"conversation": null' in record.read_text():
            await asyncio.sleep(0.2)
    for pid in site.pids(session):
        os.kill(pid, signal.SIGKILL)
    await viewer.wait_for("is started again")


@needs("codex")
async def test_codex_lives_on_under_its_viewers(tmp_path: Path) -> None:
    async with make_site("codex", tmp_path) as site:
        await tell_and_look_again(site)


@needs("hermes")
async def test_hermes_lives_on_under_its_viewers(tmp_path: Path) -> None:
    async with make_site("hermes", tmp_path) as site:
        await tell_and_look_again(site)


@needs("codex")
async def test_a_paste_of_a_mebibyte_arrives_whole(tmp_path: Path) -> None:
    async with make_site("codex", tmp_path) as site:
        session = await site.client.create_session(theme="dark")
        viewer = await site.view(session)
        await viewer.wait_for(PROMPTS["codex"])
        await viewer.type(f"\x1b[200~{PASTE}\x1b[201~")
        await viewer.wait_for("[Pasted Content")
        shown = viewer.text[viewer.text.index("[Pasted Content") :]
        assert f"[Pasted Content {len(PASTE)} chars]" in shown.replace("\n", " ")


@needs("codex")
async def test_the_port_needs_its_password_and_ignores_foreign_text(tmp_path: Path) -> None:
    async with make_site("codex", tmp_path) as site:
        base = f"http://127.0.0.1:{site.port}"
        async with site.http.get(f"{base}/session") as refused:
            assert refused.status == 401
        headers = {"Authorization": basic_auth(PASSWORD)}
        async with site.http.get(f"{base}/session/unknown", headers=headers) as unknown:
            assert unknown.status == 404
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await site.http.ws_connect(f"{base}/session/unknown/term", headers=headers)
        session = await site.client.create_session(theme="dark")
        viewer = await site.view(session)
        await viewer.wait_for(PROMPTS["codex"])
        await viewer.socket.send_str("not to be typed")
        await viewer.socket.send_str('{"type":"resize","cols":"x","rows":1}')
        await viewer.type("typed")
        await viewer.wait_for("typed")
        assert "not to be" not in viewer.text
