"""Applications with one guard, each served on one port until the process is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from cattery.files.remote_wire import MAX_REQUEST_LINE
from filemgr.replies import explain_errors, guarding

STOP_PATIENCE: Final = timedelta(seconds=20)
"""What running requests get to end by themselves; a pod is killed after 30 seconds."""


def create_guarded_app(token: str) -> web.Application:
    """Make an application without routes that asks everybody for the token."""
    running = RunningRequests()
    app = web.Application(middlewares=[running.watch, explain_errors, guarding(token)])
    app[RUNNING] = running
    return app


async def serve(
    app: web.Application, host: str, port: int, *, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; then take no more requests and let those that run end.

    Args:
        app: made by `create_guarded_app`.
        host: address to listen on.
        port: port; 0 is any free one.
        ready: told the port once connections are accepted.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = create_runner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        if ready is not None:
            ready(runner.addresses[0][1])
        await stop.wait()
        await site.stop()
        await app[RUNNING].drain(STOP_PATIENCE)
    finally:
        await runner.cleanup()


def create_runner(app: web.Application) -> web.AppRunner:
    """Make the HTTP server for an application; callers log what they need to."""
    return web.AppRunner(app, access_log=None, max_line_size=MAX_REQUEST_LINE, shutdown_timeout=1.0)


class RunningRequests:
    """Counts requests and waits for their end. A server that shuts down drops what they still send.

    See `data_received` and `close` of aiohttp's `RequestHandler`.
    """

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()

    async def drain(self, patience: timedelta) -> None:
        """Return when no request runs any more, or when patience is at its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience.total_seconds()):
                await self._none.wait()

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know of a request for as long as it runs."""
        self.count += 1
        self._none.clear()
        try:
            return await handler(request)
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()


RUNNING = web.AppKey("running", RunningRequests)
