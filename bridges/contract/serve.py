"""Runs a bridge until it is told to stop."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from bridges.contract.agent import Agent
from bridges.contract.app import create_app
from bridges.contract.journal import prepare_folder
from bridges.contract.ring import EventRing
from bridges.contract.sessions import Sessions

DEFAULT_PORT = 4096
IDLE_SECONDS = 600.0
PASSWORD = "BRIDGE_PASSWORD"  # noqa: S105 - a variable's name
"""In the environment; taken out of it before any agent starts."""


def serve(agent: Agent, *, host: str, port: int, password: str | None) -> int:
    """Serve an agent; returns the program's exit code."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        folder = prepare_folder(Path(os.environ["HOME"]))
    except (OSError, KeyError) as error:
        sys.stderr.write(f"HOME must be a folder that can be written: {error}.\n")
        return 70
    return asyncio.run(_serve(agent, folder, host, port, password))


async def _serve(agent: Agent, folder: Path, host: str, port: int, password: str | None) -> int:
    ring = EventRing()
    idle = read_seconds(os.environ, "BRIDGE_IDLE_SECONDS", IDLE_SECONDS)
    sessions = Sessions(agent, folder, ring, idle=idle)
    sessions.load()
    app = create_app(sessions, ring, password=password)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        # The words by which the platform knows a taken port.
        sys.stderr.write(f"Address already in use, or not ours: port {port} ({error}).\n")
        await runner.cleanup()
        return 1
    gc.freeze()  # what is loaded never becomes garbage: looking at it takes 30 ms each time
    logging.getLogger(__name__).info("Listening on port %d.", port)
    await stop.wait()
    await sessions.close()
    await runner.cleanup()
    return 0


def read_seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Read a positive number of seconds; the default where there is none."""
    try:
        return max(0.1, float(environ.get(name, default)))
    except ValueError:
        return default
