"""The folder of `cattery up` is copied and put back, by the recipes of docs/operations.md."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from cattery.settings import TemporalSettings
from cattery.temporal.client import connect
from cli.home import Home
from cli.ports import read_ports
from cli.temporal_setup import read_setup
from tests.e2e.client import Client
from tests.e2e.site import Site
from tests.workflows.recipes import run_recipe


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.timeout(600)
async def test_a_folder_is_backed_up_and_restored_with_all_that_is_in_it(
    site: Site, tmp_path: Path
) -> None:
    shell = {"CATTERY_HOME": str(site.home), "BACKUP": str(tmp_path / "backup"), "HOME": "/root"}
    async with aiohttp.ClientSession() as http:
        client = await Client(http, site.url).sign_in("admin", site.password)
        project = await client.create_project("Kept")
        harness = await client.create_harness(project, "Archivist")
        session = await client.create_session(harness)
        async with client.watch(session) as watcher:
            await client.prompt(session, "Create a file hello.txt")
            await watcher.until(lambda event: event.type == "session.idle")
        before = await client.history(session)

        await run_recipe("back-up-folder", shell)
        site.start()
        await client.create_project("Made since")
        assert (await client.ask("DELETE", f"/projects/{project}")).status == 204
        await run_recipe("restore-folder", shell)
        site.start()

        projects = await client.get("/projects")
        assert isinstance(projects, list)
        assert [one["project_id"] for one in projects if isinstance(one, dict)] == [project]
        assert await client.history(session) == before
        async with client.watch(session) as watcher:
            ended = await watcher.until(lambda event: event.type == "session.idle")
            await client.prompt(session, "run cat hello.txt")
            await watcher.until(lambda event: event.type == "session.idle", after=ended.seq)
            assert "Hello" in watcher.said(after=ended.seq)
        assert await kept_for(site) == read_setup().retention


async def kept_for(site: Site) -> timedelta:
    """How long the site's own Temporal keeps the histories of what has ended."""
    port = read_ports(Home(site.home))["temporal"]
    client = await connect(TemporalSettings(address=f"127.0.0.1:{port}"))
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace="default")
    )
    return described.config.workflow_execution_retention_ttl.ToTimedelta()
