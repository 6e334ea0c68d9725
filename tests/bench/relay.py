"""The null relay: what a plain pass-through of the harness's events costs, and nothing else.

One uvicorn process that reads the harness's `/event` once and passes each frame on, as bytes, to
whoever watches that session. No log, no ids, no sign-in, no translation, nothing kept: no platform
can be faster on the same machine with the same parts.
"""

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI
from starlette.responses import StreamingResponse

HARNESS_URL = "BENCH_HARNESS_URL"
HARNESS_PASSWORD = "BENCH_HARNESS_PASSWORD"
_SESSION = re.compile(rb'"sessionID":"([^"]+)"')


def create_relay() -> FastAPI:
    """Build the relay for the harness that the environment names."""
    watchers: dict[bytes, set[asyncio.Queue[bytes]]] = defaultdict(set)

    async def read_harness() -> None:
        auth = aiohttp.BasicAuth("opencode", os.environ[HARNESS_PASSWORD])
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(auth=auth, timeout=timeout, read_bufsize=2**20) as http,
            http.get(f"{os.environ[HARNESS_URL]}/event") as events,
        ):
            frame = b""
            async for line in events.content:
                frame += line
                if line == b"\n":
                    found = _SESSION.search(frame)
                    for queue in watchers[found.group(1)] if found else ():
                        queue.put_nowait(frame)
                    frame = b""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reader = asyncio.create_task(read_harness())
        yield
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)

    app = FastAPI(lifespan=lifespan)

    @app.get("/events/{session}")
    async def events(session: str) -> StreamingResponse:
        async def follow() -> AsyncIterator[bytes]:
            queue: asyncio.Queue[bytes] = asyncio.Queue()
            watchers[session.encode()].add(queue)
            try:
                yield b": watching\n\n"
                while True:
                    yield await queue.get()
            finally:
                watchers[session.encode()].discard(queue)

        return StreamingResponse(follow(), media_type="text/event-stream")

    return app
