"""Starts the bridge: `python -P -m bridges.terminal codex --tools T --port P`, in the workspace."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from bridges.terminal.app import create_app
from bridges.terminal.programs import Program, choose_program
from bridges.terminal.sessions import Sessions

PASSWORD = "BRIDGE_PASSWORD"  # noqa: S105 - a variable's name
COLLECTIONS = (10_000, 10, 1_000)
"""Thresholds of garbage collections. A full one looks at each row of each screen and stops every
terminal meanwhile: 180 ms for 100 of them, every ten seconds by default. Screens go without it."""
_OURS = (PASSWORD, "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Ours alone: the program must not learn the password, nor its tools find our packages."""


def main(choose: Callable[[str, str, Path], Program] = choose_program) -> int:
    """Serve until told to stop.

    Args:
        choose: returns the program for its name, the tools folder and HOME.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=("codex", "hermes"))
    parser.add_argument("--tools", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4096)
    given = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s"
    )
    home = Path(os.environ["HOME"])
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    try:
        program = choose(given.program, given.tools, home)
        return asyncio.run(_serve(given, program, home, env))
    except OSError as error:
        sys.stderr.write(f"HOME must be a folder that can be written: {error}.\n")
        return 70


async def _serve(
    given: argparse.Namespace, program: Program, home: Path, env: Mapping[str, str]
) -> int:
    sessions = Sessions(given.program, program, home, env)
    app = create_app(sessions, password=os.environ.pop(PASSWORD, None))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await web.TCPSite(runner, given.host, given.port).start()
    except OSError as error:
        # The words by which the platform knows a taken port.
        sys.stderr.write(f"Address already in use, or not ours: port {given.port} ({error}).\n")
        await runner.cleanup()
        return 1
    gc.freeze()
    gc.set_threshold(*COLLECTIONS)
    logging.getLogger(__name__).info("Listening on port %d.", given.port)
    await stop.wait()
    await sessions.close()
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    sys.exit(main())
