"""The main paths with no workflow kept in memory: each task replays its history from the start."""

from datetime import timedelta

from cattery.db import projects
from cattery.db.states import HarnessStatus
from cattery.events.model import Answer, EventType
from cattery.temporal import naming
from tests.workflows.file_managers import cluster_on
from tests.workflows.parts import (
    Platform,
    assert_nothing_left,
    of_type,
    open_session,
    worker_on,
)
from workers.settings import WorkerSettings


async def test_a_life_replays_at_every_step(bare_platform: Platform) -> None:
    platform = bare_platform
    async with worker_on(platform, WorkerSettings(cached_workflows=0)):
        user, harness, session = await open_session(platform)
        project = (await platform.harness_row(harness, user)).project_id
        await platform.prompt(session, user, "ask deltas=3")
        await platform.prompt(session, user, "deltas=1000 rate=20")
        await platform.prompt(session, user, "deltas=100 die-after=3")
        await platform.prompt(session, user, "deltas=2")
        (asked,) = await platform.wait_for_events(session, EventType.QUESTION_ASKED)
        answers = [Answer("Which colour should I use?", ("Blue",))]
        await platform.lifecycles.answer_question(session, str(asked.data["partId"]), answers)
        await platform.wait_for_events(session, EventType.MESSAGE_DELTA, 10)
        await platform.lifecycles.abort_turn(session, "ada")
        events = await platform.wait_for_idles(session, 4)
        outcomes = [e.data["outcome"] for e in of_type(events, EventType.SESSION_IDLE)]
        assert outcomes == ["completed", "aborted", "failed", "completed"]

        await platform.lifecycles.stop_sandbox(harness)
        await platform.lifecycles.start_sandbox(harness)
        await platform.wait_for_harness(harness, user, HarnessStatus.READY)
        async with platform.database.write() as rows:
            await projects.tombstone_project(rows, project)
        await platform.lifecycles.delete_project(project)
        await platform.client.get_workflow_handle(
            naming.project_teardown_workflow(project)
        ).result()
        await assert_nothing_left(
            platform, projects=[project], harnesses=[harness], sessions=[session]
        )


async def test_a_file_managers_life_replays_at_every_step(bare_platform: Platform) -> None:
    settings = WorkerSettings(cached_workflows=0)
    idle = timedelta(seconds=1)
    async with cluster_on(bare_platform, idle=idle, settings=settings) as cluster:
        project = await bare_platform.make_project(await bare_platform.make_user())
        tree = cluster.access.workspace_files(project)
        await tree.make_folder("", "a")
        await cluster.managers.kill(project)
        assert len(await tree.list_folder("")) == 1

        async def stopped() -> bool:
            return not cluster.managers.is_alive(project)

        await bare_platform.until(stopped, "the file manager to be stopped unused")
        assert len(await tree.list_folder("")) == 1
        await bare_platform.lifecycles.ensure_file_manager(project, lost=2)
        async with bare_platform.database.write() as rows:
            await projects.tombstone_project(rows, project)
        await bare_platform.lifecycles.delete_project(project)
        teardown = naming.project_teardown_workflow(project)
        await bare_platform.client.get_workflow_handle(teardown).result()
        assert not cluster.managers.is_alive(project)
