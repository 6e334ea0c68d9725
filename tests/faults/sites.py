"""Where lifecycles are cut: in lanes, each an installation of its own but for its servers.

A lane has a database, a Temporal namespace, a data folder or a namespace of the fake cluster, and
one worker process at a time. Lanes share one PostgreSQL, one Temporal server, one fake cluster, so
that many cuts, which mostly wait for time-outs, are under way at once.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
import orjson

from cattery.db.site_facts import NETWORK, store_fact
from cattery.ids import HarnessId, UserId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.names import (
    GENERATION_ANNOTATION,
    HARNESS_LABEL,
    PROJECT_LABEL,
    SKILLS_CLAIM,
)
from cattery.sandboxes.supervisor.processes import MARK, find_marked, start_ticks
from cattery.sandboxes.supervisor.record import read_record
from cattery.settings import KubernetesSettings
from tests.faults.invariants import Belonging
from tests.faults.nursery import CutWorker, Nursery
from tests.faults.scripted_pods import home_of
from tests.scripted_type import PROMPTS_FILE
from tests.workflows.parts import NOBODY_LISTENS, Platform
from workers.network import write_fact


class Site(Protocol):
    """A kind of place."""

    @property
    def name(self) -> str: ...

    def environment(self, lane: "Lane") -> dict[str, str]:
        """Return what a worker of a lane is told of the place."""

    async def prepare(self, lane: "Lane") -> None:
        """Make what a lane needs once."""

    async def belongings(self, lane: "Lane") -> list[Belonging]:
        """List all that a lane has outside its database."""

    async def posted(self, lane: "Lane", harness_id: HarnessId) -> list[str]:
        """Return the lines that a harness noted, one a prompt that was posted to it."""


@dataclass(eq=False)
class Lane:
    """One installation. Nothing of it is used by two cuts at once."""

    name: str
    site: Site
    platform: Platform
    nursery: Nursery
    folder: Path
    admin: UserId
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _worker: CutWorker | None = field(default=None, init=False)

    async def worker(self) -> CutWorker:
        """Return the worker, started where none lives."""
        if self._worker is None or self._worker.died.is_set():
            self._worker = await self.nursery.start(self.folder, self._environment())
            await self._worker.wait_until_ready()
        return self._worker

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": str(Path(sys.executable).parent),  # without bubblewrap: see scripted_type
            "DATABASE_URL": self.platform.database.url,
            "TEMPORAL_ADDRESS": self.platform.client.service_client.config.target_host,
            "TEMPORAL_NAMESPACE": self.platform.client.namespace,
            "CATTERY_HOME": str(self.platform.home),
            "CATTERY_GATEWAY_URL": NOBODY_LISTENS,
            "CATTERY_DELETION_GRACE": "0",
            **self.site.environment(self),
        }


class LocalSite:
    """Real supervisors and scripted harnesses, as processes of this machine."""

    name = "local"

    def environment(self, lane: Lane) -> dict[str, str]:
        return {"CATTERY_RUNTIME": "local"}

    async def prepare(self, lane: Lane) -> None:
        return

    async def belongings(self, lane: Lane) -> list[Belonging]:
        return await asyncio.to_thread(list_local, lane.platform.home)

    async def posted(self, lane: Lane, harness_id: HarnessId) -> list[str]:
        return lane.platform.posted_prompts(harness_id)


def list_local(home: Path) -> list[Belonging]:
    found = []
    for folder in _children(home / "projects"):
        found.append(Belonging("folder", f"projects/{folder.name}", folder.name))
    for folder in _children(home / "sandboxes"):
        found.append(Belonging("folder", f"sandboxes/{folder.name}", folder.name))
        record = read_record(folder)
        if record and start_ticks(record.supervisor_pid) == record.supervisor_started:
            pid, generation = str(record.supervisor_pid), record.generation
            found.append(Belonging("supervisor", pid, folder.name, True, generation))
    return found + _list_marked(home)


def _list_marked(home: Path) -> list[Belonging]:
    """List the processes that live in sandboxes of an installation; they say so themselves."""
    found = []
    for pid in find_marked(""):
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        values = dict(os.fsdecode(each).partition("=")[::2] for each in environment)
        if values.get("HOME", "").startswith(str(home)):
            found.append(Belonging("process", str(pid), values[MARK].partition(":")[0], runs=True))
    return found


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


class ClusterSite:
    """The fake cluster, in a process of its own; a lane is a namespace of it."""

    name = "kubernetes"

    def __init__(self, folder: Path, url: str, http: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._url = url
        self._http = http

    def environment(self, lane: Lane) -> dict[str, str]:
        return {
            "CATTERY_RUNTIME": "kubernetes",
            "KUBECONFIG": str(self._folder / "kubeconfig"),
            "K8S_NAMESPACE": lane.name,
        }

    async def prepare(self, lane: Lane) -> None:
        """Say that the network was found to be enforced: there is none that could be looked at."""
        settings = KubernetesSettings(namespace=lane.name)
        summary = "The fake cluster has no network."
        finding: JsonObject = {"enforced": True, "well": True, "summary": summary}
        async with lane.platform.database.write() as rows:
            await store_fact(rows, NETWORK, write_fact(finding, settings))

    async def belongings(self, lane: Lane) -> list[Belonging]:
        found = []
        for kind, group in _KINDS.items():
            url = f"{self._url}/{group}/namespaces/{lane.name}/{kind}"
            async with self._http.get(url) as answer:
                listed = orjson.loads(await answer.read())["items"]
            for item in listed:
                meta = item["metadata"]
                if meta["name"] == SKILLS_CLAIM:
                    continue
                labels, notes = meta.get("labels", {}), meta.get("annotations", {})
                generation = notes.get(GENERATION_ANNOTATION)
                harness_id = labels.get(HARNESS_LABEL)
                found.append(
                    Belonging(
                        kind,
                        meta["name"],
                        harness_id or labels.get(PROJECT_LABEL, ""),
                        runs=kind == "pods" and harness_id is not None,
                        generation=int(generation) if generation else None,
                    )
                )
        return found

    async def posted(self, lane: Lane, harness_id: HarnessId) -> list[str]:
        home = home_of(self._folder / "volumes", lane.name, "*", str(harness_id))
        found = list(self._folder.glob(str((home / PROMPTS_FILE).relative_to(self._folder))))
        return found[0].read_text().splitlines() if found else []


_KINDS = {
    "sandboxes": "apis/agents.x-k8s.io/v1beta1",
    "pods": "api/v1",
    "secrets": "api/v1",
    "persistentvolumeclaims": "api/v1",
}


@asynccontextmanager
async def open_cluster_site(folder: Path) -> AsyncIterator[ClusterSite]:
    """Have a fake cluster while the body runs."""
    folder.mkdir()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.faults.cluster_process", str(folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout
        assert process.stdin
        try:
            url = (await process.stdout.readline()).decode().strip()
            assert url, (folder / "log").read_text()
            async with aiohttp.ClientSession() as http:
                yield ClusterSite(folder, url, http)
        finally:
            process.stdin.close()
            await process.wait()
