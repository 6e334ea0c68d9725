"""Whatever goes wrong, the sandbox is told so in its provider's own shape, and is told the end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from pydantic import SecretStr

from cattery.errors import BadRequestError
from cattery.settings import GatewaySettings
from gateway.app import OPEN_EXCHANGES, Pace, create_app
from gateway.server import serve, stop_gracefully
from tests.unit.gateway_support import (
    ANTHROPIC_KEY,
    Behaviour,
    TokenTable,
    answer_ok,
    cut_the_line,
    data_of,
    demo_settings,
    event_stream,
    fall_silent,
    running_provider,
    running_site,
    settings_for,
)

SHORT = timedelta(milliseconds=150)
PATHS = ("/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/responses")
FIRST = b'data: {"first": true}\n\n'


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("path", PATHS)
async def test_a_refused_key_is_final_and_says_what_the_operator_must_do(
    status: int, path: str
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"bad key {ANTHROPIC_KEY}"}}, status=status)

    async with running_site() as site:
        site.provider.behaviour = refuse
        async with site.post(path) as answer:
            assert answer.status == 400
            assert answer.headers["x-should-retry"] == "false"
            message = (await answer.json())["error"]["message"]
            assert f"refused this site's key (HTTP {status})" in message
            assert "_API_KEY" in message
            assert ANTHROPIC_KEY not in message


async def test_a_family_without_a_key_beside_one_with_is_told_which_variable_to_set() -> None:
    async with running_provider() as provider:
        settings = GatewaySettings(
            anthropic_base_url=provider.url,
            openai_base_url="https://api.openai.com/v1",
            anthropic_api_key=SecretStr(ANTHROPIC_KEY),
            openai_api_key=None,
        )
        async with running_site(settings) as site:
            async with site.post("/openai/v1/responses") as answer:
                assert answer.status == 400
                assert "OPENAI_API_KEY" in (await answer.json())["error"]["message"]
            async with site.post() as answer:
                assert answer.status == 200


async def test_an_address_of_ones_own_needs_no_key() -> None:
    async with running_provider() as provider:
        settings = GatewaySettings(
            anthropic_base_url="https://api.anthropic.com",
            openai_base_url=f"{provider.url}/v1",
            anthropic_api_key=None,
            openai_api_key=None,
        )
        async with running_site(settings) as site, site.post(PATHS[1]) as answer:
            assert answer.status == 200
        [received] = provider.received
        assert received.header("authorization") == []
        assert received.header("x-api-key") == []


async def test_an_unreachable_provider_is_a_502() -> None:
    async with running_provider() as provider:
        settings = settings_for(provider.url)
    async with running_site(settings) as site, site.post() as answer:
        assert answer.status == 502
        assert "cannot be reached" in (await answer.json())["error"]["message"]


async def test_a_provider_that_hangs_up_before_answering_is_a_502() -> None:
    async with running_site() as site:
        site.provider.behaviour = cut_the_line
        async with site.post() as answer:
            assert answer.status == 502


async def test_a_provider_that_never_answers_is_a_504() -> None:
    async with running_site(idle=SHORT) as site:
        site.provider.behaviour = fall_silent
        async with site.post() as answer:
            assert answer.status == 504
            assert (await answer.json())["error"]["type"] == "timeout_error"
        await asyncio.wait_for(site.provider.gone.wait(), 5)


async def test_a_redirect_is_not_followed() -> None:
    async with running_provider() as elsewhere:

        async def redirect(_: web.Request) -> web.StreamResponse:
            return web.Response(status=307, headers={"Location": elsewhere.url})

        async with running_site() as site:
            site.provider.behaviour = redirect
            async with site.post() as answer:
                assert answer.status == 400
                assert elsewhere.url not in await answer.text()
        assert elsewhere.received == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("then", "words"), [(fall_silent, "sent nothing for"), (cut_the_line, "broke in the middle")]
)
async def test_a_stream_that_stalls_or_is_cut_ends_with_an_error_event(
    path: str, then: Behaviour, words: str
) -> None:
    async with running_site(idle=SHORT) as site:
        site.provider.behaviour = event_stream(FIRST, b'data: {"half', then=then)
        async with site.post(path) as answer:
            text = await answer.text()
        assert text.startswith(FIRST.decode())
        assert "half" not in text
        events = data_of(text)
        assert events[0] == {"first": True}
        error = events[1]["error"]
        assert isinstance(error, dict)
        assert words in str(error["message"])
        if "messages" in path:
            assert events[1]["type"] == "error"
            assert "event: error\n" in text
        if "responses" in path:
            assert events[2]["type"] == "response.failed"


async def test_lines_without_their_end_of_event_are_closed_before_the_error() -> None:
    async with running_site(idle=SHORT) as site:
        site.provider.behaviour = event_stream(b'data: {"n": 1}\n', then=fall_silent)
        async with site.post() as answer:
            assert [e.get("type", e) for e in data_of(await answer.text())] == [{"n": 1}, "error"]


async def test_an_anthropic_stream_without_its_last_event_counts_as_cut() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(FIRST)
        async with site.post() as answer:
            assert data_of(await answer.text())[-1]["type"] == "error"
        async with site.post(PATHS[1]) as answer:
            assert data_of(await answer.text()) == [{"first": True}]


async def test_an_answer_that_breaks_off_but_is_no_stream_is_a_502() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"a":')
        return await cut_the_line(request)

    async with running_site() as site:
        site.provider.behaviour = break_off
        async with site.post() as answer:
            assert answer.status == 502


async def test_a_revoked_token_cuts_its_open_stream_and_no_other() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(FIRST, then=fall_silent)
        doomed = await site.post()
        doomed_token, site.token = site.token, site.tokens.issue()
        spared = await site.post()
        await doomed.content.readuntil(b"\n\n")
        await spared.content.readuntil(b"\n\n")
        site.tokens.revoke(doomed_token)
        rest = await asyncio.wait_for(doomed.content.read(), 5)
        assert data_of(rest.decode())[0]["error"] == {
            "type": "authentication_error",
            "message": "This sandbox's token is missing, expired or revoked. Start the sandbox "
            "again to get a new one.",
        }
        await asyncio.wait_for(site.provider.gone.wait(), 5)
        assert len(site.app[OPEN_EXCHANGES]) == 1
        assert not spared.content.at_eof()
        spared.close()


def test_a_revoked_token_dies_within_five_seconds_by_default() -> None:
    pace = Pace()
    assert pace.verdict_lifetime <= timedelta(seconds=5)
    assert pace.check_interval + timedelta(seconds=1.5) <= timedelta(seconds=5)


async def test_a_verifier_that_is_down_lets_nobody_in_and_cuts_nobody_off() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(FIRST, then=fall_silent)
        held = await site.post()
        await held.content.readuntil(b"\n\n")
        site.tokens.is_down = True
        asked = site.tokens.asked
        while site.tokens.asked < asked + 3:
            await asyncio.sleep(0.01)
        assert not held.content.at_eof()
        site.provider.behaviour = answer_ok
        site.token = site.tokens.issue()
        async with site.post() as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
        held.close()


@pytest.mark.parametrize("is_announced", [True, False])
async def test_a_body_over_the_limit_is_a_413_and_goes_nowhere(is_announced: bool) -> None:
    async with running_site(max_request_bytes=10_000) as site:

        async def body() -> AsyncIterator[bytes]:
            for _ in range(11):
                yield b"x" * 1000

        async with site.client.post(
            f"{site.url}/anthropic/v1/messages",
            headers={"x-api-key": site.token},
            data=b"x" * 10_001 if is_announced else body(),
        ) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]["type"] == "request_too_large"
        async with site.post(body=b"x" * 10_000) as answer:
            assert answer.status == 200
        assert len(site.provider.received) == 1


async def test_a_client_that_stops_sending_is_given_up() -> None:
    async with running_site() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(
            f"POST /anthropic/v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {site.token}\r\n"
            "Content-Length: 100\r\n\r\n{".encode()
        )
        line = await asyncio.wait_for(reader.readline(), 5)
        assert b" 408 " in line
        writer.close()
        await writer.wait_closed()
        assert site.provider.received == []


async def test_stopping_lets_a_stream_end_by_itself() -> None:
    go_on = asyncio.Event()

    async def finish_later(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(FIRST)
        await go_on.wait()
        await response.write(b'data: {"type":"message_stop"}\n\n')
        return response

    async with running_site() as site:
        site.provider.behaviour = finish_later
        answer = await site.post()
        await answer.content.readuntil(b"\n\n")
        stopping = asyncio.create_task(
            stop_gracefully(site.app, site.runner, patience=timedelta(seconds=5))
        )
        while site.runner.sites:
            await asyncio.sleep(0)
        go_on.set()
        assert b"message_stop" in await answer.content.read()
        await asyncio.wait_for(stopping, 2)


async def test_stopping_ends_a_stream_that_goes_on_with_an_error_event() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(FIRST, then=fall_silent)
        answer = await site.post()
        await answer.content.readuntil(b"\n\n")
        await stop_gracefully(site.app, site.runner, patience=timedelta(0))
        rest = (await answer.content.read()).decode()
        assert "restarting" in rest
        assert data_of(rest)[0]["type"] == "error"


async def test_serve_says_when_it_is_ready_and_stops_when_told(unused_port: int) -> None:
    settings = demo_settings().model_copy(update={"gateway_port": unused_port})
    ready, stop = asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(settings, TokenTable(), ready=ready.set, stop=stop))
    await asyncio.wait_for(ready.wait(), 5)
    _, writer = await asyncio.open_connection("127.0.0.1", unused_port)
    writer.close()
    stop.set()
    await asyncio.wait_for(serving, 5)


def test_an_address_that_is_none_is_refused_at_the_start() -> None:
    settings = settings_for("ftp://models.example")
    with pytest.raises(BadRequestError, match="ANTHROPIC_BASE_URL is not an http"):
        create_app(settings, TokenTable())


async def test_the_version_may_stand_in_the_anthropic_address() -> None:
    async with running_provider() as provider:
        settings = settings_for(provider.url).model_copy(
            update={"anthropic_base_url": f"{provider.url}/v1/"}
        )
        async with running_site(settings) as site, site.post() as answer:
            assert answer.status == 200
        assert provider.received[0].target == "/v1/messages"


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
