"""Measures what the gateway adds to a model's answer: first byte and chunks, beside no gateway.

Run it with `python -m gateway.bench [STREAMS] 2>/dev/null`; the gateway logs as it always does. A
provider on loopback stamps each chunk with the clock; provider, gateway and client are processes of
their own, as in an installation. Each figure is over all streams; the difference between the two
rows is the gateway's.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection

import aiohttp
import psutil
import uvloop
from aiohttp import web
from pydantic import SecretStr

from cattery.auth.sandbox_tokens import SandboxPrincipal, new_token
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.logs import configure_logging
from cattery.settings import GatewaySettings
from gateway.app import create_app
from gateway.server import BACKLOG, create_runner

CHUNKS = 100
PERIOD = timedelta(milliseconds=50)
STARTS = timedelta(seconds=4)
"""The span over which streams are started; all of them overlap for a second."""
_PADDING = "x" * 120
_TOKENS_PER_STREAM = 8  # streams that share one sandbox's token, well under its limit


@dataclass
class Samples:
    """Milliseconds from the provider's stamp, or from the request, to the client."""

    first: list[float] = field(default_factory=list)
    chunk: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print both rows."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    tokens = [new_token() for _ in range(-(-streams // _TOKENS_PER_STREAM))]
    provider, provider_port = _start(_provide)
    gateway, gateway_port = _start(_gate, provider_port, tokens)
    try:
        uvloop.run(_measure(streams, provider_port, gateway_port, tokens))
        _print_cost(gateway.pid, 2 * streams * CHUNKS)
    finally:
        for process in (gateway, provider):
            process.terminate()
            process.join()


async def _measure(streams: int, provider: int, gateway: int, tokens: list[str]) -> None:
    sys.stdout.write(f"{streams} streams x {1 / PERIOD.total_seconds():g} chunks/s, in ms\n")
    await _run_streams(streams, gateway, "/anthropic", tokens)
    direct = await _run_streams(streams, provider, "", tokens)
    through = await _run_streams(streams, gateway, "/anthropic", tokens)
    for name, samples in (("direct", direct), ("gateway", through)):
        first, chunk = _percentiles(samples.first), _percentiles(samples.chunk)
        sys.stdout.write(f"{name:8} first byte {first}   chunk {chunk}\n")


def _print_cost(pid: int | None, chunks: int) -> None:
    """Print what no load on the machine changes much: the gateway's own time and memory."""
    used = psutil.Process(pid)
    seconds = sum(used.cpu_times()[:2])
    megabytes = used.memory_info().rss / 1024**2
    per_thousand = seconds / chunks * 1000
    sys.stdout.write(f"gateway  {per_thousand:.3f} CPU s per 1,000 chunks, {megabytes:.0f} MiB\n")


def _percentiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:6.2f}  p95 {cuts[94]:6.2f}  p99 {cuts[98]:6.2f}"


async def _run_streams(streams: int, port: int, prefix: str, tokens: list[str]) -> Samples:
    samples = Samples()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client, asyncio.TaskGroup() as group:
        for number in range(streams):
            url = f"http://127.0.0.1:{port}{prefix}/v1/messages"
            token = tokens[number // _TOKENS_PER_STREAM]
            group.create_task(_read_stream(client, url, token, samples))
            await asyncio.sleep(STARTS.total_seconds() / streams)
    return samples


async def _read_stream(
    client: aiohttp.ClientSession, url: str, token: str, samples: Samples
) -> None:
    asked_at = time.monotonic()
    async with client.post(url, data=b"{}", headers={"x-api-key": token}) as answer:
        number = 0
        async for line in answer.content:
            if not line.startswith(b"data: "):
                continue
            now = time.monotonic()
            stamp = line.split(b" ")[1]
            if number == 0:
                samples.first.append((now - asked_at) * 1000)
            elif stamp != b"message_stop":
                samples.chunk.append((now - float(stamp)) * 1000)
            number += 1
        if number != CHUNKS + 1:
            raise RuntimeError(f"{CHUNKS + 1 - number} chunks were lost")


def _start(
    target: Callable[..., None], *args: object
) -> tuple[multiprocessing.process.BaseProcess, int]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    port: int = ours.recv()
    return process, port


def _provide(pipe: Connection) -> None:
    app = web.Application()
    app.router.add_post("/v1/messages", _stream_stamps)
    uvloop.run(_serve(web.AppRunner(app, access_log=None), pipe))


async def _stream_stamps(request: web.Request) -> web.StreamResponse:
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    due = time.monotonic()
    for _ in range(CHUNKS):
        await response.write(f"data: {time.monotonic()} {_PADDING}\n\n".encode())
        due += PERIOD.total_seconds()
        await asyncio.sleep(max(0, due - time.monotonic()))
    await response.write(b"data: message_stop \n\n")
    return response


class _AllValid:
    def __init__(self, tokens: list[str]) -> None:
        self._principals = {
            token: SandboxPrincipal(HarnessId(new_id()), ProjectId(new_id()), 1) for token in tokens
        }

    async def verify(self, token: str) -> SandboxPrincipal | None:
        return self._principals.get(token)


def _gate(pipe: Connection, provider: int, tokens: list[str]) -> None:
    configure_logging()
    settings = GatewaySettings(
        anthropic_base_url=f"http://127.0.0.1:{provider}", anthropic_api_key=SecretStr("k")
    )
    uvloop.run(_serve(create_runner(create_app(settings, _AllValid(tokens))), pipe))


async def _serve(runner: web.AppRunner, pipe: Connection) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    pipe.send(runner.addresses[0][1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
