"""Temporal is lost with all that it knew: `cattery reconcile` starts what must run by the rows."""

import asyncio
import os
import sys
from pathlib import Path

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from cattery.db import projects
from cattery.db.migrate import upgrade
from cattery.db.states import HarnessStatus
from cattery.events.model import EventType
from cattery.temporal import naming
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.schedules import ensure_search_attributes
from tests.conftest import fresh_database
from tests.processes import free_port
from tests.workflows.conftest import TEMPORAL
from tests.workflows.parts import (
    Platform,
    assert_nothing_left,
    of_type,
    open_session,
    platform_on,
    said,
    text_of,
    worker_process,
)

UNDER_WAY = "Everything that must run by the rows is under way."


async def reconcile(
    platform: Platform, *options: str, url: str | None = None, fails: bool = False
) -> str:
    """Run the real command; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "cli.main", "reconcile", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": url or platform.database.url,
            "TEMPORAL_ADDRESS": platform.client.service_client.config.target_host,
            "CATTERY_HOME": str(platform.home),
        },
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert (process.returncode != 0) == fails, text
    return text


async def temporal_at(port: int, file: Path) -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_local(
        ip="127.0.0.1",
        port=port,
        dev_server_existing_path=TEMPORAL,
        dev_server_database_filename=str(file),
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
    )


async def workflows_of(client: Client) -> set[str]:
    return {execution.id async for execution in client.list_workflows()}


async def test_a_site_whose_temporal_is_lost_goes_on_from_its_rows(
    database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    first = await temporal_at(port, tmp_path / "first.db")
    await ensure_search_attributes(first.client)
    async with (
        platform_on(first.client, database_url, tmp_path / "home") as platform,
        worker_process(platform, 1),
    ):
        user, harness, session = await open_session(platform)
        doomed = await platform.make_project(user)
        unwanted = await platform.make_harness(doomed, user)
        await platform.lifecycles.start_sandbox(unwanted)
        await platform.wait_for_harness(unwanted, user, HarnessStatus.READY)
        # Longer than all that comes before the second look at what is under way.
        await platform.prompt(session, user, "deltas=500 rate=20 size=1")
        await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
        await first.shutdown()

        await platform.store_prompt(session, user, "deltas=3 size=1")
        async with platform.database.write() as rows:
            await projects.tombstone_project(rows, doomed)
        second = await temporal_at(port, tmp_path / "second.db")
        try:
            platform.client = second.client
            planned = await reconcile(platform, "--dry-run")
            for workflow_id in (
                naming.harness_workflow(harness),
                naming.session_workflow(session),
                naming.project_teardown_workflow(doomed),
            ):
                assert workflow_id in planned
            assert "would be started" in planned
            assert await workflows_of(second.client) == set()

            done = await reconcile(platform)
            assert planned.count("would be started") == done.count("  started")
            events = await platform.wait_for_idles(session, 2)
            assert [e.turn_no for e in of_type(events, EventType.SESSION_IDLE)] == [1, 2]
            assert text_of(events) == said(3)
            assert len(platform.posted_prompts(harness)) == 2, "no prompt was posted twice"
            teardown = second.client.get_workflow_handle(naming.project_teardown_workflow(doomed))
            await asyncio.wait_for(teardown.result(), 60)
            await assert_nothing_left(platform, projects=[doomed], harnesses=[unwanted])
            schedule = second.client.get_schedule_handle(naming.SWEEP_SCHEDULE)
            assert await schedule.describe()
            assert UNDER_WAY in await reconcile(platform)
            await platform.lifecycles.stop_sandbox(harness)
            await platform.wait_for_harness(harness, user, HarnessStatus.IDLE)
        finally:
            await second.shutdown()


async def test_workflows_that_know_less_than_the_rows_are_replaced(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=60 rate=20 size=1")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    entity = platform.client.get_workflow_handle(naming.harness_workflow(harness))
    before = (await entity.describe()).run_id
    assert UNDER_WAY in await reconcile(platform)
    assert (await entity.describe()).run_id == before

    assert "ended" in await reconcile(platform, "--replace", "--dry-run")
    assert (await entity.describe()).run_id == before
    done = await reconcile(platform, "--replace")
    assert naming.harness_workflow(harness) in done
    assert (await entity.describe()).run_id != before
    events = await platform.wait_for_idles(session, 1)
    assert len(of_type(events, EventType.SESSION_IDLE)) == 1
    assert text_of(events) == said(60)
    assert len(platform.posted_prompts(harness)) == 1
    await platform.lifecycles.stop_sandbox(harness)


async def test_a_database_with_nothing_in_it_starts_and_ends_nothing(
    platform: Platform, postgres_url: str
) -> None:
    _, harness, _ = await open_session(platform)
    entity = platform.client.get_workflow_handle(naming.harness_workflow(harness))
    before = (await entity.describe()).run_id
    with fresh_database(postgres_url, f"empty_{os.getpid()}") as empty:
        answer = await reconcile(platform, "--replace", url=empty, fails=True)
        assert "lacks migrations" in answer
        await asyncio.to_thread(upgrade, empty)
        answer = await reconcile(platform, "--replace", url=empty, fails=True)
        assert "The database has no user" in answer
    answer = await reconcile(platform, "--replace", url=f"{postgres_url}_not_there", fails=True)
    assert "cannot be reached" in answer
    assert (await entity.describe()).run_id == before
