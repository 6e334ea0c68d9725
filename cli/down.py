"""`cattery down`: ends the running `cattery up`, and whatever a killed one left behind."""

import asyncio
import contextlib
import os
import signal
import time

from cattery.settings import SandboxSettings
from cli.configuration import read_home, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.running import UpLock, end_leftovers, find_supervisor

_PATIENCE = 20.0
_POLL = 0.05


def run_down() -> None:
    """Stop everything of this data folder and wait until it is gone; safe to repeat.

    Raises:
        CommandError: the supervisor did not end in time.
    """
    home, home_settings = read_home()
    console = Console()
    pid = find_supervisor(home)
    if pid is None:
        ended = _end_remains() if home.folder.is_dir() else []
        console.say(
            f"Ended what an earlier start left: {', '.join(ended)}."
            if ended
            else f"No Cattery runs with the data in {home_settings.home}."
        )
        return
    began = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while find_supervisor(home) == pid:
        if time.monotonic() - began > _PATIENCE:
            raise CommandError(
                f"Cattery (process {pid}) did not end within {_PATIENCE:.0f} seconds. Look at the "
                f"terminal that it runs in, or end it for certain: kill -9 {pid}; cattery down"
            )
        time.sleep(_POLL)
    console.say(f"Stopped after {time.monotonic() - began:.1f} s.")


def _end_remains() -> list[str]:
    """End the processes that outlived a supervisor which was killed, sandboxes too."""
    from cli.sandboxes import stop_sandboxes

    home, home_settings = read_home()
    lock = UpLock(home)
    lock.acquire()
    try:
        ended = end_leftovers(home)
        asyncio.run(stop_sandboxes(home_settings, read_settings(SandboxSettings)))
    finally:
        lock.release()
    return ended
