"""Clocks of single processes that are wrong, by a library that is preloaded before libc."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import func, select

from tests.faults.streams.installation import Installation, Node
from tests.faults.streams.people import People
from tests.scripted_type import PROMPTS_FILE

POSTGRES = "PostgreSQL"
_SOURCE = Path(__file__).with_name("wrong_clock.c")
_VARIABLES = ("LD_PRELOAD", "CLOCK_WRONG_BY")
_ID_SPAN = 1 << 36
"""Milliseconds after which the time in a message's id begins anew."""


@asynccontextmanager
async def wrong_clocks(installation: Installation, by: Mapping[str, int]) -> AsyncIterator[None]:
    """Start the processes of these names again with clocks that are so many seconds ahead.

    All clocks are right again at the end. PostgreSQL's goes by the name `POSTGRES`.
    """
    library = _build(installation.folder)
    nodes = [each for each in (*installation.apis, *installation.workers) if each.name in by]
    try:
        await set_database_clock(installation, by.get(POSTGRES, 0))
        await _restart(installation, {node: _preloading(library, by[node.name]) for node in nodes})
        yield
    finally:
        await set_database_clock(installation, 0)
        await _restart(installation, {node: {} for node in nodes})


async def set_database_clock(installation: Installation, by: int) -> None:
    """Start PostgreSQL again with its clock so many seconds ahead, as after a failover."""
    server = installation.postgres
    await asyncio.to_thread(server.stop)
    server.environment = _preloading(_build(installation.folder), by) if by else {}
    await asyncio.to_thread(server.start)


async def read_api_clock(people: People, number: int) -> float:
    """Return by how many seconds an API's clock is ahead, as its answers say."""
    async with people.http.get(f"{people.installation.urls[number]}/healthz") as answer:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time.time()


async def read_database_clock(installation: Installation) -> float:
    """Return by how many seconds PostgreSQL's clock is ahead."""
    async with installation.database.read() as rows:
        now = await rows.scalar(select(func.clock_timestamp()))
    assert now is not None
    return float(now.timestamp() - time.time())


def read_worker_clocks(installation: Installation, session: str) -> list[float]:
    """Return by how much the clocks were ahead of the workers that posted a session's prompts.

    Their message ids say so; what the harness took down says when it really was.
    """
    found = []
    for file in sorted(installation.home.glob(f"sandboxes/*/**/{PROMPTS_FILE}")):
        for line in map(orjson.loads, file.read_text().splitlines()):
            if line["session"] == session:
                real = time.time() - (time.monotonic_ns() - line["at"]) / 1e9
                told = int(line["messageID"].removeprefix("msg_")[:12], 16) // 0x1000
                apart = (told - int(real * 1000) + _ID_SPAN // 2) % _ID_SPAN - _ID_SPAN // 2
                found.append(apart / 1000)
    return found


def _build(folder: Path) -> Path:
    """Compile the library where PostgreSQL's own user can read it."""
    library = folder / "postgres" / "wrong_clock.so"
    if not library.exists():
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler to make clocks wrong: apt install gcc libc6-dev")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)]
        subprocess.run(command, check=True)
        library.chmod(0o755)
    return library


def _preloading(library: Path, by: int) -> dict[str, str]:
    return dict(zip(_VARIABLES, (str(library), str(by)), strict=True))


async def _restart(
    installation: Installation, environments: Mapping[Node, Mapping[str, str]]
) -> None:
    await asyncio.gather(*(asyncio.to_thread(each.process.stop) for each in environments))
    for node, more in environments.items():
        kept = {k: v for k, v in node.process.environment.items() if k not in _VARIABLES}
        node.process.environment = {**kept, **more}
        node.start()
    for node in environments:
        await installation.wait_until_ready(node)
