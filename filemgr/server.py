"""Serves one application on one port until the process is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from aiohttp import web

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
    runner = web.AppRunner(
        app,
        access_log=None,
        max_line_size=MAX_REQUEST_LINE,
        shutdown_timeout=STOP_PATIENCE.total_seconds(),
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        if ready is not None:
            ready(runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()
