"""File managers as pods of the real cluster, started because somebody looks at files."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import Client

from api.cluster_access import ClusterAccess
from cattery.db import projects
from cattery.db.file_managers import find_file_manager
from cattery.db.states import HarnessStatus
from cattery.errors import UnavailableError
from cattery.files.port import Placed
from cattery.ids import ProjectId
from cattery.sandboxes.names import name_file_manager, name_workspace
from cattery.settings import KubernetesSettings
from cattery.temporal import naming
from tests.cluster.kubectl import Kubectl
from tests.cluster.runtime_site import SMALL, RuntimeSite, namespace  # noqa: F401 - a fixture
from tests.scripted_type import SCRIPTED
from tests.workflows.conftest import temporal  # noqa: F401 - a fixture
from tests.workflows.parts import NOBODY_LISTENS, Platform, platform_on
from workers.process import WorkerParts, running_workers
from workers.settings import WorkerSettings

IDLE = timedelta(seconds=15)


class Cluster:
    """A platform whose sandboxes and files are on the cluster."""

    def __init__(self, platform: Platform, site: RuntimeSite) -> None:
        self.platform = platform
        self.site = site
        self.access = ClusterAccess(platform.database, platform.lifecycles, patience=60)
        self.hasty = ClusterAccess(platform.database, platform.lifecycles, patience=0.5)

    async def make_project(self) -> ProjectId:
        return await self.platform.make_project(await self.platform.make_user())

    async def pods(self, project: ProjectId) -> list[str]:
        """The uids of the project's pods."""
        selector = ("--selector", f"cattery.dev/project-id={project}")
        pods = await asyncio.to_thread(self.site.items, "pods", *selector)
        return [str(pod["metadata"]["uid"]) for pod in pods if isinstance(pod["metadata"], dict)]

    async def wait_for_status(self, project: ProjectId, status: HarnessStatus) -> None:
        async def reached() -> bool:
            async with self.platform.database.read() as rows:
                found = await find_file_manager(rows, project)
            return found is not None and found.status is status

        await self.platform.until(reached, f"the file manager to be {status}", timeout=90)


@pytest.fixture
async def cluster(
    kubectl: Kubectl,
    namespace: str,  # noqa: F811
    images: str,
    temporal: Client,  # noqa: F811
    database_url: str,
    tmp_path: Path,
) -> AsyncIterator[Cluster]:
    settings = KubernetesSettings.model_validate(
        {"namespace": namespace, "image_tag": images, "start_timeout": timedelta(minutes=2)} | SMALL
    )
    site = RuntimeSite(kubectl, settings, dict(SCRIPTED))
    async with platform_on(temporal, database_url, tmp_path / "home") as platform:
        runtime = await site.worker()
        parts = WorkerParts(
            *(platform.client, platform.database, runtime, SCRIPTED, NOBODY_LISTENS),
            files=runtime,
            file_manager_idle=IDLE,
        )
        made = Cluster(platform, site)
        async with running_workers(parts, WorkerSettings()):
            yield made
        await made.access.close()
        await made.hasty.close()
    await site.close()


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_file_manager_lives_as_long_as_somebody_looks_at_files(cluster: Cluster) -> None:
    project = await cluster.make_project()
    tree = cluster.access.workspace_files(project)
    with pytest.raises(UnavailableError, match="is starting") as refused:
        await cluster.hasty.workspace_files(project).list_folder("")
    assert refused.value.retry_after
    started_at = time.monotonic()
    assert await tree.list_folder("") == []
    print(f"first look: {time.monotonic() - started_at:.1f} s; at first: {refused.value}")
    placed = await tree.upload("", "a", stream(b"x" * 2**20, b"y"), max_bytes=2**30)
    assert placed == Placed("/a", "a", 2**20 + 1)

    [first] = await cluster.pods(project)
    started_at = time.monotonic()
    name = name_file_manager(project)
    arguments = ("--namespace", cluster.site.namespace, "delete", "pod", name, "--wait=false")
    await asyncio.to_thread(cluster.site.kubectl.run, *arguments)
    await asyncio.sleep(2)
    assert [entry.name for entry in await tree.list_folder("")] == ["a"]
    print(f"first look after the pod's deletion: {time.monotonic() - started_at:.1f} s")

    await cluster.wait_for_status(project, HarnessStatus.IDLE)

    async def gone() -> bool:
        return not await cluster.pods(project)

    await cluster.platform.until(gone, "the pod to end", timeout=60)
    opened = await tree.open_file("a")
    assert b"".join([chunk async for chunk in opened.chunks]) == b"x" * 2**20 + b"y"
    assert await cluster.pods(project) != [first]

    async with cluster.platform.database.write() as rows:
        await projects.tombstone_project(rows, project)
    await cluster.platform.lifecycles.delete_project(project)
    teardown = naming.project_teardown_workflow(project)
    await asyncio.wait_for(cluster.platform.client.get_workflow_handle(teardown).result(), 90)
    assert await cluster.pods(project) == []
    claims = await asyncio.to_thread(cluster.site.items, "persistentvolumeclaims")
    assert name_workspace(project) not in str(claims)


async def test_the_skills_have_one_too(cluster: Cluster) -> None:
    library = cluster.access.skills()
    await library.files.make_folder("", "demo")
    assert [(skill.slug, skill.valid) for skill in await library.catalog()] == [("demo", False)]
