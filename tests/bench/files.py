"""`make bench-files`: a large file up and down through the HTTP process, and what memory it takes.

    python -m tests.bench.files [--mib 1024] [--rounds 3]

Two real arrangements, one after the other: the HTTP process with the workspace on its own disk (the
local runtime), and the HTTP process before a file manager in a process of its own, as on a cluster.
Prints MB/s and how much each process grew over what it held before, sampled every 50 ms. Ends with
1 where what came back is not, by its SHA-256, what was sent.
"""

import argparse
import asyncio
import hashlib
import json
import os
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

import aiohttp
import psutil
import psycopg
import uvloop

from cattery.auth.bootstrap import ensure_admin, mint_token
from cattery.db.migrate import upgrade
from cattery.files.remote_wire import TOKEN_VARIABLE
from tests.bench.api_alone import running_api
from tests.bench.open_loop import BUSY, verdict
from tests.bench.tables import describe_run
from tests.postgres_server import running_postgres
from tests.processes import PythonProcess, free_port

TARGET_MIB = 64.0
TARGET_MB_PER_SECOND = 100.0
SAMPLED_EVERY = 0.05
MIB = 2**20
NAME = "large.bin"
SLACK = MIB
"""What the form around a file may add to it."""

_MANAGER = """
INSERT INTO file_manager (id, generation, status, base_url, token)
VALUES (%s, 1, 'ready', %s, %s)
"""


@dataclass(frozen=True)
class Transfer:
    """One file, one way; growths in MiB by process."""

    arrangement: str
    way: str
    mb_per_second: float
    growth: dict[str, float]
    client_share: float
    is_whole: bool


@dataclass
class Place:
    """A project whose files are reached through an HTTP process."""

    arrangement: str
    files_url: str
    http: aiohttp.ClientSession
    processes: dict[str, psutil.Process]


class Growth:
    """Watches how much processes hold, from a thread: the loop may be busy."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = processes
        self._before = {name: each.memory_info().rss for name, each in processes.items()}
        self._peak = dict(self._before)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def mib(self) -> dict[str, float]:
        """Return the most that each grew, in MiB."""
        return {name: (self._peak[name] - self._before[name]) / MIB for name in self._peak}

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            for name, process in self._processes.items():
                self._peak[name] = max(self._peak[name], process.memory_info().rss)


async def _run(given: argparse.Namespace) -> bool:
    print(f"{describe_run()}\n", flush=True)
    transfers: list[Transfer] = []
    with tempfile.TemporaryDirectory(prefix="cattery-bench-") as temporary:
        folder = Path(temporary)
        source = folder / NAME
        digest = await asyncio.to_thread(_write_source, source, given.mib)
        (folder / "postgres").mkdir()
        with running_postgres(folder / "postgres", {"fsync": "on"}) as url:
            await asyncio.to_thread(upgrade, url)
            await asyncio.to_thread(ensure_admin, url)
            print(f"{given.mib} MiB", flush=True)
            for place in (_local(folder, url, given.mib), _managed(folder, url, given.mib)):
                async with place as reached:
                    for _ in range(given.rounds):
                        for transfer in (_upload, _download):
                            transfers.append(await transfer(reached, source, digest))
                            print(_line(transfers[-1]), flush=True)
    if given.json:
        raw = {"machine": describe_run(), "mib": given.mib, "rows": [asdict(t) for t in transfers]}
        await asyncio.to_thread(given.json.write_text, json.dumps(raw, indent=1))
    is_wrong = not all(transfer.is_whole for transfer in transfers)
    print("\nWRONG: a file was changed on its way" if is_wrong else "\nevery file came back whole")
    return is_wrong


def _write_source(path: Path, mib: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(mib):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


@asynccontextmanager
async def _local(folder: Path, url: str, mib: int) -> AsyncIterator[Place]:
    async with _api(folder / "local", url, mib, {}) as (api, base_url, http):
        project = await _make_project(base_url, http)
        files_url = f"{base_url}/projects/{project}/files"
        yield Place("the API's own disk", files_url, http, {"api": api.process})


@asynccontextmanager
async def _managed(folder: Path, url: str, mib: int) -> AsyncIterator[Place]:
    root, token, port = folder / "volume", secrets.token_hex(32), free_port()
    root.mkdir()
    arguments = ["-m", "filemgr", "--root", str(root), "--kind", "workspace"]
    arguments += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {"PATH": str(Path(sys.executable).parent), TOKEN_VARIABLE: token}
    manager = PythonProcess(arguments, environment, folder / "filemgr.log")
    manager.start()
    try:
        runtime = {"CATTERY_RUNTIME": "kubernetes"}
        async with _api(folder / "managed", url, mib, runtime) as (api, base_url, http):
            project = await _make_project(base_url, http)
            with psycopg.connect(url) as connection:
                connection.execute(_MANAGER, (project, f"http://127.0.0.1:{port}", token))
            files_url = f"{base_url}/projects/{project}/files"
            processes = {"api": api.process, "file manager": manager.process}
            await _wait_for_files(files_url, http)
            yield Place("through a file manager", files_url, http, processes)
    finally:
        manager.stop()


@asynccontextmanager
async def _api(
    folder: Path, url: str, mib: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[PythonProcess, str, aiohttp.ClientSession]]:
    folder.mkdir()
    secret = secrets.token_hex(32)
    settings = {**settings, "CATTERY_MAX_UPLOAD_BYTES": str(mib * MIB + SLACK)}
    token = await mint_token(url, secret, "admin", lifetime=timedelta(hours=2))
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=None)) as http,
        running_api(folder, url, secret, http, settings) as (api, base_url),
    ):
        yield api, base_url, http


async def _make_project(base_url: str, http: aiohttp.ClientSession) -> str:
    async with http.post(f"{base_url}/projects", json={"project_name": "Files"}) as answer:
        assert answer.status == 201, await answer.text()
        project: str = (await answer.json())["project_id"]
        return project


async def _wait_for_files(files_url: str, http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(60):
        while True:
            async with http.get(f"{files_url}/list") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)


async def _upload(place: Place, source: Path, digest: str) -> Transfer:
    del digest  # the download tells
    size = source.stat().st_size
    with Growth(place.processes) as growth, source.open("rb") as file:
        form = aiohttp.FormData()
        form.add_field("file", file, filename=NAME, content_type="application/octet-stream")
        cpu, began = time.process_time(), time.monotonic()
        async with place.http.post(f"{place.files_url}/upload", data=form) as answer:
            stored = await answer.json()
            assert answer.status == 200, stored
        took, cpu = time.monotonic() - began, time.process_time() - cpu
    is_whole = stored["size"] == size
    return Transfer(place.arrangement, "up", size / took / 1e6, growth.mib(), cpu / took, is_whole)


async def _download(place: Place, source: Path, digest: str) -> Transfer:
    size, received = source.stat().st_size, hashlib.sha256()
    with Growth(place.processes) as growth:
        cpu, began = time.process_time(), time.monotonic()
        query = {"path": NAME}
        async with place.http.get(f"{place.files_url}/download", params=query) as answer:
            assert answer.status == 200, await answer.text()
            async for chunk in answer.content.iter_any():
                received.update(chunk)
        took, cpu = time.monotonic() - began, time.process_time() - cpu
    is_whole = received.hexdigest() == digest
    return Transfer(
        place.arrangement, "down", size / took / 1e6, growth.mib(), cpu / took, is_whole
    )


def _line(row: Transfer) -> str:
    grown = "  ".join(
        f"{name} +{value:.1f} MiB (≤ {TARGET_MIB:g}: {verdict(value, TARGET_MIB)})"
        for name, value in row.growth.items()
    )
    speed = "met" if row.mb_per_second >= TARGET_MB_PER_SECOND else "MISSED"
    busy = "  (client busy: its speed is invalid)" if row.client_share > BUSY else ""
    whole = "" if row.is_whole else "  WRONG"
    return (
        f"{row.arrangement:22} {row.way:4} {row.mb_per_second:5.0f} MB/s "
        f"(≥ {TARGET_MB_PER_SECOND:g}: {speed})  {grown}  "
        f"client {row.client_share:.2f}{busy}{whole}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=1024, help="size of the file (1024)")
    parser.add_argument("--rounds", type=int, default=3, help="up and down, each way (3)")
    parser.add_argument("--json", type=Path, help="write the raw figures to a file")
    sys.exit(1 if uvloop.run(_run(parser.parse_args())) else 0)


if __name__ == "__main__":
    main()
