"""Models refuse, break and stall behind a real gateway: told once, in their own shape, in time."""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from cattery.jsontypes import JsonObject
from tests.faults.streams.checks import until
from tests.faults.streams.gateways import IDLE_SECONDS, Gateway, issue_token, running_gateway
from tests.faults.streams.installation import Installation
from tests.unit.gateway_support import Behaviour, data_of, event_stream, fall_silent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATHS = ("/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/responses")
FIRST = b'data: {"first": true}\n\n'
PATIENCE = 20.0
"""Seconds after which an error that should come after `IDLE_SECONDS` is held for lost."""
WORDS = b'{"type":"error","error":{"type":"x_error","message":"its own words"}}'


@pytest.fixture
async def gateway(installation: Installation, harness: str) -> AsyncIterator[Gateway]:
    """A gateway before a model that a test tells what to do."""
    async with running_gateway(installation, harness) as made:
        yield made


async def test_f29_what_a_model_refuses_with_passes_unchanged_and_is_asked_once(
    gateway: Gateway,
) -> None:
    """The gateway asks no second time: what a try costs, it costs once."""
    asked = 0
    for path in PATHS:
        for status, more in ((429, {"retry-after": "7"}), (500, {}), (503, {}), (529, {})):
            gateway.provider.behaviour = _refuse(status, more)
            async with gateway.ask(path) as answer:
                assert (answer.status, await answer.read()) == (status, WORDS)
                assert answer.headers.get("retry-after") == more.get("retry-after")
            asked += 1
            assert len(gateway.provider.received) == asked


async def test_f29_a_stream_that_stalls_or_breaks_in_its_middle_ends_with_an_error_in_time(
    gateway: Gateway,
) -> None:
    gateway.provider.behaviour = event_stream(FIRST, then=fall_silent)
    for asked, (path, breaks) in enumerate(((p, b) for p in PATHS for b in (False, True)), 1):
        gateway.provider.gone.clear()
        async with gateway.ask(path) as answer:
            assert await answer.content.readuntil(b"\n\n") == FIRST
            since = time.monotonic()
            if breaks:
                gateway.to_model.reset()
            rest = data_of((await answer.read()).decode())
            took = time.monotonic() - since
        assert took < PATIENCE
        assert breaks or took > IDLE_SECONDS / 2
        words = "broke in the middle" if breaks else "sent nothing for"
        assert words in str(_error_of(rest)["message"])
        await asyncio.wait_for(gateway.provider.gone.wait(), PATIENCE)
        assert len(gateway.provider.received) == asked


async def test_f29_a_model_that_cannot_be_reached_is_said_to_be_and_is_asked_again_by_the_next(
    gateway: Gateway,
) -> None:
    gateway.provider.behaviour = event_stream(FIRST, b'data: {"type":"message_stop"}\n\n')
    await gateway.to_model.refuse()
    async with gateway.ask(PATHS[0]) as answer:
        assert answer.status == 502
    await gateway.to_model.heal()
    gateway.to_model.hold()
    async with gateway.ask(PATHS[0]) as answer:
        assert answer.status == 504
        assert (await answer.json())["error"]["type"] == "timeout_error"
    await gateway.to_model.heal()
    async with gateway.ask(PATHS[0]) as answer:
        assert answer.status == 200
        assert FIRST in await answer.read()


async def test_f29_without_its_database_a_gateway_cuts_nobody_off_and_lets_nobody_new_in(
    gateway: Gateway, installation: Installation, harness: str
) -> None:
    strange = await issue_token(installation, harness)
    goes_on = asyncio.Event()
    gateway.provider.behaviour = _tick_until(goes_on)
    async with gateway.ask(PATHS[0]) as held:
        assert await held.content.readuntil(b"\n\n") == FIRST
        await gateway.to_database.refuse()
        since = time.monotonic()
        while time.monotonic() - since < 6:  # longer than a token is remembered
            assert await held.content.readuntil(b"\n\n") == FIRST
        async with gateway.ask(PATHS[0], strange) as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
        goes_on.set()
        assert b"message_stop" in await held.read()
    await gateway.to_database.heal()
    statuses: list[int] = []

    async def ask() -> None:
        while 200 not in statuses:
            async with gateway.ask(PATHS[0], strange) as answer:
                statuses.append(answer.status)
            await asyncio.sleep(0.2)

    await asyncio.wait_for(ask(), PATIENCE)


async def test_f29_a_gateway_that_is_killed_and_started_again_knows_the_same_tokens(
    gateway: Gateway,
) -> None:
    gateway.provider.behaviour = event_stream(FIRST, then=fall_silent)
    async with gateway.ask(PATHS[0]) as answer:
        assert await answer.content.readuntil(b"\n\n") == FIRST
        gateway.process.kill()
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
    await until(gateway.provider.gone.is_set, "the end of the model's request", PATIENCE)
    await gateway.start()
    gateway.provider.behaviour = _refuse(429, {})
    async with gateway.ask(PATHS[0]) as answer:
        assert answer.status == 429


def _refuse(status: int, headers: dict[str, str]) -> Behaviour:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, body=WORDS, headers=headers, content_type="application/json"
        )

    return refuse


def _tick_until(over: asyncio.Event) -> Behaviour:
    """Stream the same event twice a second until told to end."""

    async def tick(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while not over.is_set():
            await response.write(FIRST)
            await asyncio.sleep(0.5)
        await response.write(b'data: {"type":"message_stop"}\n\n')
        return response

    return tick


def _error_of(events: list[JsonObject]) -> JsonObject:
    error = events[0]["error"]
    assert isinstance(error, dict)
    return error
