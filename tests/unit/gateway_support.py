"""What the gateway's tests run against: a real provider and a real gateway, both on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from cattery.auth.sandbox_tokens import SandboxPrincipal, new_token
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.jsontypes import JsonObject
from cattery.settings import GatewaySettings
from gateway.app import Pace, create_app
from gateway.server import create_runner

ANTHROPIC_KEY = "sk-ant-canary-5f0e1d2c3b4a"
OPENAI_KEY = "sk-openai-canary-9a8b7c6d5e4f"
QUICK = Pace(
    verdict_lifetime=timedelta(milliseconds=50),
    check_interval=timedelta(milliseconds=50),
    body_idle=timedelta(milliseconds=200),
    demo_chunk=timedelta(0),
)

type Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """One request as it reached the provider."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


class Provider:
    """A real HTTP server in the place of the model's API."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.behaviour: Behaviour = answer_ok
        self.url = ""
        self.gone = asyncio.Event()
        """Set when a client went away in the middle of an answer."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = [(k.decode(), v.decode()) for k, v in request.raw_headers]
        self.received.append(Received(request.method, request.raw_path, headers, body))
        try:
            return await self.behaviour(request)
        except (asyncio.CancelledError, ConnectionError):
            self.gone.set()
            raise

    @property
    def everything(self) -> str:
        """All that ever arrived, as one text to search."""
        return "\n".join(f"{r.method} {r.target} {r.headers} {r.body!r}" for r in self.received)


async def answer_ok(_: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True}, headers={"request-id": "req_1", "Set-Cookie": "a=b"})


@dataclass
class TokenTable:
    """A verifier with its tokens in memory, which counts how often it is asked."""

    principals: dict[str, SandboxPrincipal] = field(default_factory=dict)
    asked: int = 0
    is_down: bool = False

    def issue(self, *, generation: int = 1) -> str:
        token = new_token()
        self.principals[token] = SandboxPrincipal(
            HarnessId(new_id()), ProjectId(new_id()), generation
        )
        return token

    def revoke(self, token: str) -> None:
        del self.principals[token]

    async def verify(self, token: str) -> SandboxPrincipal | None:
        self.asked += 1
        if self.is_down:
            raise ConnectionRefusedError("no database")
        return self.principals.get(token)


@dataclass
class Site:
    """A gateway with its provider and its tokens, and a client that speaks to it."""

    url: str
    port: int
    provider: Provider
    tokens: TokenTable
    token: str
    client: aiohttp.ClientSession
    app: web.Application
    runner: web.AppRunner

    def post(
        self, path: str = "/anthropic/v1/messages", body: JsonObject | bytes | None = None
    ) -> "aiohttp.client._RequestContextManager":
        data = body if isinstance(body, bytes) else json.dumps(body or {"stream": True}).encode()
        headers = {"x-api-key": self.token, "Content-Type": "application/json"}
        return self.client.post(self.url + path, data=data, headers=headers)


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", provider.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    async with _listening(runner) as port:
        provider.url = f"http://127.0.0.1:{port}"
        yield provider


def settings_for(
    url: str, *, idle: timedelta = timedelta(seconds=5), max_request_bytes: int = 1024 * 1024
) -> GatewaySettings:
    return GatewaySettings(
        anthropic_base_url=url,
        openai_base_url=f"{url}/v1",
        anthropic_api_key=SecretStr(ANTHROPIC_KEY),
        openai_api_key=SecretStr(OPENAI_KEY),
        upstream_idle_timeout=idle,
        max_request_bytes=max_request_bytes,
    )


def demo_settings() -> GatewaySettings:
    return GatewaySettings(
        anthropic_base_url="https://api.anthropic.com",
        openai_base_url="https://api.openai.com/v1",
        anthropic_api_key=None,
        openai_api_key=None,
    )


@asynccontextmanager
async def running_site(
    settings: GatewaySettings | None = None,
    *,
    pace: Pace = QUICK,
    idle: timedelta = timedelta(seconds=5),
    max_request_bytes: int = 1024 * 1024,
) -> AsyncIterator[Site]:
    """Run a gateway before a provider of its own, or with the settings that are given."""
    tokens = TokenTable()
    async with running_provider() as provider:
        chosen = settings or settings_for(
            provider.url, idle=idle, max_request_bytes=max_request_bytes
        )
        app = create_app(chosen, tokens, pace=pace)
        runner = create_runner(app)
        async with _listening(runner) as port, aiohttp.ClientSession(trust_env=False) as client:
            url = f"http://127.0.0.1:{port}"
            yield Site(url, port, provider, tokens, tokens.issue(), client, app, runner)


@asynccontextmanager
async def _listening(runner: web.AppRunner) -> AsyncIterator[int]:
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def send_raw(port: int, request: bytes) -> bytes:
    """Send bytes that no HTTP client would, and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read(64 * 1024)
    writer.close()
    await writer.wait_closed()
    return answer


def event_stream(*chunks: bytes, then: Behaviour | None = None) -> Behaviour:
    """Make a provider that streams chunks one write each, and then maybe does something else."""

    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then is not None:
            await then(request)
        return response

    return behave


async def fall_silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("never")


async def cut_the_line(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def data_of(stream: str) -> list[JsonObject]:
    """Parse the JSON payloads of a stream's events, `[DONE]` left out."""
    return [
        json.loads(line[5:])
        for line in stream.splitlines()
        if line.startswith("data:") and line[5:].strip() != "[DONE]"
    ]
