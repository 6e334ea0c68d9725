"""Many sandboxes through the product, on nodes that exist in the API only (kwok).

The worker is a process of its own, so that its memory and CPU time are its own. The nodes must be
there: `../shared/cluster/kwok up 10`, or kwok's own way elsewhere, tainted and labelled
`kwok.x-k8s.io/node: fake`, with a StorageClass `kwok-volume`.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import override
from uuid import uuid4

import psutil
from pydantic import SecretStr
from sqlalchemy import func, select
from temporalio.client import Client

from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import harnesses, projects, users
from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow, ProjectRow
from cattery.ids import ProjectId, UserId
from cattery.jsontypes import Json, JsonObject
from cattery.settings import DatabaseSettings
from cattery.temporal.schedules import ensure_search_attributes
from tests.postgres_server import running_postgres
from tests.processes import running_temporal

WORKER = Path(__file__).with_name("scale_worker.py")
PER_PROJECT = 10
START_RATE = 10.0
"""Sandboxes that are asked for a second."""
PATIENCE = 3_600.0


@dataclass
class Scale:
    """The platform whose worker is a process of its own."""

    client: Client
    database: Database
    lifecycles: TemporalLifecycles
    namespace: str
    worker: psutil.Process
    owner: UserId

    async def count(self, status: HarnessStatus | None = None) -> int:
        query = select(func.count()).select_from(HarnessRow)
        if status is not None:
            query = query.where(HarnessRow.status == status)
        async with self.database.read() as rows:
            return await rows.scalar(query) or 0

    async def failures(self) -> list[str]:
        """Return why sandboxes failed."""
        query = select(HarnessRow.failure).where(HarnessRow.status == HarnessStatus.FAILED)
        async with self.database.read() as rows:
            return [reason or "" for reason in await rows.scalars(query)]

    async def count_projects(self) -> int:
        async with self.database.read() as rows:
            return await rows.scalar(select(func.count()).select_from(ProjectRow)) or 0

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> float:
        """Wait for something and return how many seconds that took."""
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE):
            while not await condition():
                await asyncio.sleep(0.5)
        return time.perf_counter() - began

    def left(self) -> int:
        """Count the objects of ours in the namespace."""
        kinds = "sandboxes,pods,persistentvolumeclaims,secrets"
        selector = "app.kubernetes.io/part-of=cattery,cattery.dev/project-id"
        said = kubectl(
            "--namespace", self.namespace, "get", kinds, "--selector", selector, "--output", "name"
        )
        return len(said.split())


class Figures(dict[str, Json]):
    """Prints each figure as soon as it is known: a run that ends early has told what it saw."""

    @override
    def __setitem__(self, name: str, value: Json) -> None:
        super().__setitem__(name, value)
        shown = f"{value:10.2f}" if isinstance(value, float) else f"{value!s:>10}"
        print(f"{name:<44}{shown}", flush=True)


async def run(number: int) -> JsonObject:
    """Make sandboxes, look at them, delete them; print and return the figures."""
    figures = Figures()
    figures["sandboxes"] = number
    async with running_scale() as (scale, calls_file):
        idle = scale.worker.memory_info().rss
        cpu = sum(scale.worker.cpu_times()[:2])
        began = time.perf_counter()
        made = await _create(scale, number)
        figures["seconds to ask for all"] = time.perf_counter() - began
        await scale.until(lambda: _reached(scale, number))
        figures["seconds until all are ready"] = time.perf_counter() - began
        figures["MiB of the worker, idle before"] = idle / 2**20
        figures["MiB of the worker with all"] = scale.worker.memory_info().rss / 2**20
        used = sum(scale.worker.cpu_times()[:2])
        figures["CPU s of the worker per start"] = (used - cpu) / number
        await asyncio.sleep(30)
        figures["CPU s of the worker in 30 s of nothing"] = sum(scale.worker.cpu_times()[:2]) - used
        began = time.perf_counter()
        for project in made:
            async with scale.database.write() as rows:
                await projects.tombstone_project(rows, project)
            await scale.lifecycles.delete_project(project)
        await scale.until(lambda: _all_gone(scale))
        figures["seconds until all were deleted"] = time.perf_counter() - began
        figures["objects left"] = await asyncio.to_thread(scale.left)
    calls = calls_file.read_text().splitlines()
    calls_file.unlink()
    print("calls to the API server by the worker, watches and sweeps (one LIST each) too:")
    for line in sorted(calls, key=lambda line: -int(line.split()[0])):
        print(f"  {line}")
    assert figures["objects left"] == 0
    return figures


async def _create(scale: Scale, number: int) -> list[ProjectId]:
    """Ask for all sandboxes at a bounded rate."""
    made: list[ProjectId] = []
    new = harnesses.NewHarness(name="s", model="gpt-5.5", type="opencode", env_vars={})
    next_at = time.perf_counter()
    for index in range(number):
        if index % PER_PROJECT == 0:
            async with scale.database.write() as rows:
                project = await projects.create_project(rows, scale.owner, f"Scale {index}")
            made.append(project.project_id)
        async with scale.database.write() as rows:
            harness = await harnesses.create_harness(rows, made[-1], scale.owner, new)
        await scale.lifecycles.start_sandbox(harness.harness_id)
        next_at += 1 / START_RATE
        await asyncio.sleep(max(0.0, next_at - time.perf_counter()))
    return made


async def _reached(scale: Scale, number: int) -> bool:
    failures = await scale.failures()
    assert not failures, f"{len(failures)} sandboxes failed, such as: {failures[0]}"
    return await scale.count(HarnessStatus.READY) == number


async def _all_gone(scale: Scale) -> bool:
    return await scale.count() == 0 and await scale.count_projects() == 0


@asynccontextmanager
async def running_scale() -> AsyncIterator[tuple[Scale, Path]]:
    """Run the platform, its worker as a process of its own."""
    async with AsyncExitStack() as stack:
        name = f"cattery-scale-{uuid4().hex[:6]}"
        stack.enter_context(namespace(name))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cattery-scale-")))
        (home / "postgres").mkdir()
        url = stack.enter_context(running_postgres(home / "postgres", {"fsync": "on"}))
        upgrade(url)
        temporal = await stack.enter_async_context(running_temporal(home))
        await ensure_search_attributes(temporal.client)
        database = connect(DatabaseSettings(url=SecretStr(url)))
        stack.push_async_callback(database.close)
        calls_file = home.parent / f"{home.name}.calls"
        address = temporal.client.service_client.config.target_host
        env = _worker_environment(home, url, address, name)
        worker = await stack.enter_async_context(_running_worker(env, home, calls_file))
        async with database.write() as rows:
            owner = (await users.create_user(rows, "bench", "x", is_admin=True)).user_id
        lifecycles = TemporalLifecycles(temporal.client, database)
        yield Scale(temporal.client, database, lifecycles, name, worker, owner), calls_file
        worker.terminate()
        await asyncio.to_thread(worker.wait, 60)


def _worker_environment(home: Path, url: str, address: str, name: str) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": url,
        "TEMPORAL_ADDRESS": address,
        "CATTERY_HOME": str(home),
        "CATTERY_RUNTIME": "kubernetes",
        "CATTERY_GATEWAY_URL": "http://127.0.0.1:9",
        "CATTERY_LOG_FORMAT": "json",
        "CATTERY_WORKER_READY_FILE": str(home / "ready"),
        "CATTERY_K8S_ALLOW_UNENFORCED_NETWORK": "true",
        "CATTERY_K8S_STORAGE_CLASS": "kwok-volume",
        "CATTERY_K8S_NODE_SELECTOR": json.dumps({"kwok.x-k8s.io/node": "fake"}),
        "CATTERY_K8S_TOLERATIONS": json.dumps(
            [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
        ),
        "CATTERY_K8S_CPU_REQUEST": "1m",
        "CATTERY_K8S_MEMORY_REQUEST": "1Mi",
        "CATTERY_K8S_DISK_REQUEST": "1Mi",
        "CATTERY_K8S_WORKSPACE_ACCESS": "ReadWriteMany",
        "CATTERY_K8S_SKILLS_ACCESS": "ReadWriteMany",
        "K8S_NAMESPACE": name,
    }


@asynccontextmanager
async def _running_worker(
    env: dict[str, str], home: Path, calls_file: Path
) -> AsyncIterator[psutil.Process]:
    log = home / "worker.log"
    with log.open("wb") as file:
        process = psutil.Popen([sys.executable, str(WORKER), str(calls_file)], env=env, stderr=file)
    try:
        async with asyncio.timeout(90):
            while not (home / "ready").exists():
                assert process.is_running(), log.read_text()[-2_000:]
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.is_running():
            process.terminate()
            await asyncio.to_thread(process.wait, 60)


@contextmanager
def namespace(name: str) -> Iterator[None]:
    """Have a namespace as strict as the installation's while the body runs."""
    level: JsonObject = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata: JsonObject = {"name": name, "labels": level}
    kubectl("create", "--filename", "-", given={"kind": "Namespace", "metadata": metadata})
    try:
        yield
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def kubectl(*arguments: str, given: JsonObject | None = None) -> str:
    """Run kubectl and return what it printed."""
    body = json.dumps({"apiVersion": "v1"} | given) if given else ""
    result = subprocess.run(
        ["kubectl", *arguments], input=body, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"kubectl {' '.join(arguments)}: {result.stderr}"
    return result.stdout
