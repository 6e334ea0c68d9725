"""The HTTP process on a migrated database, without Temporal and workers: for what only reads rows
or moves bytes, which needs neither.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.processes import START_TIMEOUT, PythonProcess, free_port


@asynccontextmanager
async def running_api(
    folder: Path,
    database_url: str,
    secret: str,
    http: aiohttp.ClientSession,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[PythonProcess, str]]:
    """Run it; gives the process and the address that its routes are under."""
    port = free_port()
    environment = {
        "PATH": str(Path(sys.executable).parent),
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}",  # nobody is there, and nobody is asked
        "CATTERY_HOME": str(folder / "home"),
        "CATTERY_JWT_SECRET": secret,
        "CATTERY_PORT": str(port),
        "CATTERY_LOG_LEVEL": "WARNING",
        **(settings or {}),
    }
    run_api = ["-c", "from api.main import run; run()"]
    api = PythonProcess(run_api, environment, folder / "api.log")
    api.start()
    try:
        await _wait_for(http, f"http://127.0.0.1:{port}/healthz", api)
        yield api, f"http://127.0.0.1:{port}/api/v1"
    finally:
        api.stop()


async def _wait_for(http: aiohttp.ClientSession, url: str, api: PythonProcess) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        assert time.monotonic() < deadline, f"the API did not come up\n{api.log.read_text()}"
        await asyncio.sleep(0.1)
