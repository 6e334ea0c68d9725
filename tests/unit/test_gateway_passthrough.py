"""A provider's answer reaches the sandbox byte for byte, chunk by chunk, in both directions."""

import asyncio
import random
import time

import pytest
from aiohttp import web

from tests.unit.gateway_support import (
    ANTHROPIC_KEY,
    OPENAI_KEY,
    Site,
    event_stream,
    fall_silent,
    running_site,
)

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


async def test_an_event_is_passed_on_before_the_next_one_exists() -> None:
    """The provider waits for the client to have each event before it sends the next."""
    seen = asyncio.Queue[int]()

    async def in_step(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(50):
            await response.write(b"data: %d\n\n" % number)
            assert await seen.get() == number
        await response.write(STOP)
        return response

    async with running_site() as site:
        site.provider.behaviour = in_step
        async with site.post() as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            for number in range(50):
                assert await answer.content.readuntil(b"\n\n") == b"data: %d\n\n" % number
                seen.put_nowait(number)
            assert await answer.content.read() == STOP


@pytest.mark.parametrize("seed", range(5))
async def test_any_chunking_arrives_byte_for_byte(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(
        f'data: {{"n":{n},"t":"Grüße 猫 {"x" * rng.randrange(80)}"}}\r\n\r\n' for n in range(200)
    )
    stream = (": hello\n\n" + text).encode() + STOP + b"trailing bytes without an end"
    chunks = []
    rest = stream
    while rest:
        size = rng.randrange(1, 300)
        chunks.append(rest[:size])
        rest = rest[size:]
    async with running_site() as site:
        site.provider.behaviour = event_stream(*chunks)
        async with site.post() as answer:
            assert await answer.read() == stream


async def test_a_line_of_many_megabytes_passes_without_being_kept_whole() -> None:
    line = b"data: " + b"x" * (3 * 1024 * 1024) + b"\n\n"
    async with running_site() as site:
        site.provider.behaviour = event_stream(line, STOP)
        async with site.post() as answer:
            assert await answer.read() == line + STOP


async def test_an_answer_that_is_no_stream_passes_unchanged() -> None:
    body = b'{"content": "' + b"y" * 500_000 + b'"}'

    async def whole(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    async with running_site() as site:
        site.provider.behaviour = whole
        async with site.post("/openai/v1/responses") as answer:
            assert (answer.status, await answer.read()) == (200, body)


async def test_the_request_body_reaches_the_provider_unchanged() -> None:
    body = b' {"messages" : [1,  2], "t": "\xc3\xa4"} '
    async with running_site() as site:
        async with site.post(body=body) as answer:
            assert answer.status == 200
        assert site.provider.received[0].body == body


@pytest.mark.parametrize(
    ("status", "headers"),
    [(400, {}), (404, {}), (413, {}), (429, {"retry-after": "7"}), (500, {}), (529, {})],
)
async def test_the_providers_own_errors_pass_unchanged(
    status: int, headers: dict[str, str]
) -> None:
    body = b'{"type":"error","error":{"type":"x_error","message":"its own words"}}'

    async def fail(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )

    async with running_site() as site:
        site.provider.behaviour = fail
        async with site.post() as answer:
            assert (answer.status, await answer.read()) == (status, body)
            assert answer.headers.get("retry-after") == headers.get("retry-after")


async def test_an_error_that_quotes_the_key_is_passed_without_it() -> None:
    async def quote(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": f"you sent {ANTHROPIC_KEY}"}, status=400)

    async with running_site() as site:
        site.provider.behaviour = quote
        async with site.post() as answer:
            assert await answer.json() == {"error": "you sent [key]"}


async def test_a_client_that_goes_away_ends_the_request_to_the_provider() -> None:
    async with running_site() as site:
        site.provider.behaviour = event_stream(b"data: 1\n\n", then=fall_silent)
        answer = await site.post()
        await answer.content.readuntil(b"\n\n")
        answer.close()
        await asyncio.wait_for(site.provider.gone.wait(), 5)


async def test_a_client_that_goes_away_before_the_answer_ends_it_too() -> None:
    arrived = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        arrived.set()
        return await fall_silent(request)

    async with running_site() as site:
        site.provider.behaviour = silent
        asking = asyncio.create_task(_ask(site))
        await asyncio.wait_for(arrived.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(site.provider.gone.wait(), 5)


async def test_a_slow_reader_slows_its_provider_down_and_loses_nothing() -> None:
    event = b"data: " + b"z" * 65_000 + b"\n\n"
    sent = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(400):
            await response.write(event)
            sent += 1
        await response.write(STOP)
        return response

    async with running_site() as site:
        site.provider.behaviour = pour
        async with site.post() as answer:
            settled, deadline = -1, time.monotonic() + 5
            while settled != sent and time.monotonic() < deadline:
                settled = sent
                await asyncio.sleep(0.1)  # long enough to see whether it still pours
            assert sent < 400
            assert await answer.read() == event * 400 + STOP


async def test_keys_are_not_in_any_answer() -> None:
    async with running_site() as site:
        for path in ("/anthropic/v1/messages", "/openai/v1/responses", "/nowhere"):
            async with site.post(path) as answer:
                text = await answer.text() + str(answer.headers)
                assert ANTHROPIC_KEY not in text
                assert OPENAI_KEY not in text


async def _ask(site: Site) -> None:
    async with site.post():
        pass
