"""`/sessions/{id}/term` before there is a terminal, and after it may not be seen any more.

The bridge is an echo that keeps to the harness contract: what counts here is when it is there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import text

import api.terminal
from api.terminal import FAILED, NO_ACCESS
from cattery.ids import HarnessSessionId
from cattery.jsontypes import JsonObject
from tests.api.site import API, Person, Site
from tests.api.watching import Watchers, until

INNER = HarnessSessionId("ses_echo")

type Attach = Callable[[Person], Awaitable[aiohttp.ClientWebSocketResponse]]


@pytest.fixture
async def project(ada: Person) -> JsonObject:
    return await ada.make_project()


@pytest.fixture
async def harness(ada: Person, project: JsonObject) -> JsonObject:
    return await ada.make_harness(project, type="codex")


@pytest.fixture
async def session(ada: Person, harness: JsonObject) -> JsonObject:
    return await ada.make_session(harness)


@pytest.fixture
def attach(watchers: Watchers, session: JsonObject) -> Attach:
    async def opened(person: Person) -> aiohttp.ClientWebSocketResponse:
        return await watchers.http.ws_connect(
            f"http://{watchers.host}{API}/sessions/{session['session_id']}/term",
            headers={"Authorization": f"Bearer {person.token}"},
        )

    return opened


@pytest.fixture
async def bridge_url() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get(f"/session/{INNER}/term", echo)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def run_sandbox(site: Site, url: str) -> None:
    """Say that the sandbox runs and has the session."""
    async with site.database.write() as rows:
        await rows.execute(
            text("UPDATE harness SET status = 'ready', endpoint_url = :url"), {"url": url}
        )
        await rows.execute(
            text("UPDATE session SET status = 'ready', harness_session_id = :inner"),
            {"inner": INNER},
        )


async def change(site: Site, statement: str) -> None:
    async with site.database.write() as rows:
        await rows.execute(text(statement))


async def ending(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Wait for the close frame; returns its code and reason."""
    async with asyncio.timeout(15):
        while (message := await socket.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type is aiohttp.WSMsgType.BINARY, message
        return message.data, str(message.extra)


def was_asked(site: Site, session: JsonObject) -> Callable[[], bool]:
    return lambda: ("open_session", session["session_id"]) in site.lifecycles.calls


async def test_opening_a_terminal_wakes_its_sandbox(
    site: Site, ada: Person, session: JsonObject, attach: Attach, bridge_url: str
) -> None:
    await change(site, "UPDATE harness SET status = 'idle'")
    site.lifecycles.calls.clear()
    async with await attach(ada) as socket:
        await until(was_asked(site, session), "the session to be asked for")
        await run_sandbox(site, bridge_url)
        answer: list[bytes] = []
        while not answer:  # what is typed while there is no bridge is not typed later
            await socket.send_bytes(b"hello")
            try:
                answer.append(await socket.receive_bytes(timeout=0.5))
            except TimeoutError:
                continue
        assert answer == [b"hello"]


async def test_a_sandbox_that_cannot_be_started_ends_the_socket_and_says_so(
    site: Site,
    ada: Person,
    session: JsonObject,
    attach: Attach,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api.terminal, "ASK_EVERY", 0.2)
    await change(site, "UPDATE harness SET status = 'idle'")
    site.lifecycles.calls.clear()
    async with await attach(ada) as socket:
        await until(was_asked(site, session), "the session to be asked for")
        await change(site, "UPDATE harness SET status = 'failed', failure = 'no memory'")
        assert await ending(socket) == (FAILED, "The sandbox could not be started.")


async def test_who_is_no_member_any_more_loses_the_terminal_alone(
    site: Site,
    ada: Person,
    bob: Person,
    project: JsonObject,
    session: JsonObject,
    attach: Attach,
    bridge_url: str,
) -> None:
    assert session
    members = f"/projects/{project['project_id']}/members"
    assert (await ada.post(members, {"username": "bob"})).is_success
    await run_sandbox(site, bridge_url)
    async with await attach(bob) as his, await attach(ada) as hers:
        assert (await ada.delete(f"{members}/{bob.user_id}")).is_success
        code, reason = await ending(his)
        assert (code, reason) == (NO_ACCESS, "You may not see this session any more.")
        assert not hers.closed


async def test_a_session_that_is_deleted_while_its_sandbox_starts_ends_the_socket(
    site: Site, ada: Person, session: JsonObject, attach: Attach
) -> None:
    await change(site, "UPDATE harness SET status = 'starting'")
    async with await attach(ada) as socket:
        assert (await ada.delete(f"/sessions/{session['session_id']}")).is_success
        code, _ = await ending(socket)
        assert code == NO_ACCESS
