"""Serves one application on one port until the process is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from cattery.files.remote_wire import MAX_REQUEST_LINE

STOP_PATIENCE: Final = timedelta(seconds=20)
"""What running requests get to end by themselves; a pod is killed after 30 seconds."""


async def serve(
    app: web.Application, host: str, port: int, *, ready: Callable[[int], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; then take no more requests and let those that run end.

    Args:
        app: the application.
        host: address to listen on.
        port: port; 0 is any free one.
        ready: told the port once connections are accepted.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = _RunningRequests()
    app.middlewares.insert(0, running.count)
    runner = create_runner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        if ready is not None:
            ready(runner.addresses[0][1])
        await stop.wait()
        await site.stop()
        await running.drain(STOP_PATIENCE)
    finally:
        await runner.cleanup()


def create_runner(app: web.Application) -> web.AppRunner:
    """Make the HTTP server for an application; callers log what they need to."""
    return web.AppRunner(app, access_log=None, max_line_size=MAX_REQUEST_LINE, shutdown_timeout=1.0)


class _RunningRequests:
    """Waits for requests to end. A server that shuts down does not: it drops what they still send.

    See `data_received` and `close` of aiohttp's `RequestHandler`.
    """

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    async def drain(self, patience: timedelta) -> None:
        """Return when no request runs any more, or when patience is at its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience.total_seconds()):
                await self._none.wait()

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know of a request for as long as it runs."""
        self._count += 1
        self._none.clear()
        try:
            return await handler(request)
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()
