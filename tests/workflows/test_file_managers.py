"""File managers on demand: they start when somebody looks at files, and are there when they die."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client

from activities.sweep import SweepActivities
from api.cluster_access import ClusterAccess
from api.temporal_lifecycles import TemporalLifecycles
from cattery.clock import utc_now
from cattery.db import harnesses, projects
from cattery.db.file_managers import FileManagerFacts, find_file_manager
from cattery.db.harness_logs import find_log, store_log
from cattery.db.site_facts import NETWORK, store_fact
from cattery.db.states import HarnessStatus
from cattery.db.tables import FileManagerRow
from cattery.errors import NotFoundError, UnavailableError
from cattery.files.port import FileTree, Placed
from cattery.ids import ProjectId, new_id
from cattery.jsontypes import JsonObject
from cattery.sandboxes.port import Isolation
from cattery.temporal import messages, naming
from tests.workflows.file_managers import Cluster, cluster_on
from tests.workflows.histories import read_histories
from tests.workflows.parts import Platform


@pytest.fixture
async def cluster(bare_platform: Platform) -> AsyncIterator[Cluster]:
    async with cluster_on(bare_platform) as made:
        yield made


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def make_project(cluster: Cluster) -> tuple[ProjectId, FileTree]:
    user = await cluster.platform.make_user(f"user-{new_id()}")
    project = await cluster.platform.make_project(user)
    return project, cluster.access.workspace_files(project)


async def facts_of(cluster: Cluster, project: ProjectId | None) -> FileManagerFacts | None:
    async with cluster.platform.database.read() as rows:
        return await find_file_manager(rows, project)


async def wait_for_status(cluster: Cluster, project: ProjectId, status: HarnessStatus) -> None:
    async def reached() -> bool:
        facts = await facts_of(cluster, project)
        return facts is not None and facts.status is status

    await cluster.platform.until(reached, f"the file manager to be {status}")


async def texts_of(client: Client) -> dict[str, str]:
    """Read every history that there is; by workflow."""
    return {one.workflow_id: one.text async for one in read_histories(client)}


async def names(tree: FileTree) -> list[str]:
    return [entry.name for entry in await tree.list_folder("")]


class TestStarting:
    async def test_it_starts_when_files_are_first_looked_at(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        assert not cluster.managers.is_alive(project)
        assert await names(tree) == []
        assert await tree.upload("", "a", stream(b"x"), max_bytes=1) == Placed("/a", "a", 1)
        assert (cluster.managers.volume(project) / "work" / "a").read_text() == "x"
        facts = await facts_of(cluster, project)
        assert facts is not None
        assert (facts.status, facts.generation, facts.waiting) == (HarnessStatus.READY, 1, None)
        assert facts.token == cluster.managers.running(project).spec.token

    async def test_the_skills_have_one_of_their_own(self, cluster: Cluster) -> None:
        assert await cluster.access.skills().catalog() == []
        assert cluster.managers.is_alive(None)
        await cluster.access.skills().files.make_folder("", "demo")
        assert (cluster.managers.volume(None) / "demo").is_dir()

    async def test_many_who_look_at_once_start_one(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        other = ClusterAccess(cluster.platform.database, cluster.platform.lifecycles, patience=30)
        trees = [tree, other.workspace_files(project)] * 10
        assert await asyncio.gather(*(names(each) for each in trees)) == [[]] * 20
        await other.close()
        assert len(cluster.managers.specs) == 1

    async def test_who_waits_too_long_is_told_what_it_is_at(self, bare_platform: Platform) -> None:
        async with cluster_on(bare_platform, patience=2) as cluster:
            project, tree = await make_project(cluster)
            cluster.managers.gate.clear()
            with pytest.raises(UnavailableError) as refused:
                await names(tree)
            assert refused.value.message == (
                "The file manager of this project is starting (waits for room in the namespace's "
                "quota). Try again in a few seconds."
            )
            assert refused.value.retry_after == 3
            cluster.managers.gate.set()
            await wait_for_status(cluster, project, HarnessStatus.READY)
            assert await names(tree) == []
            assert len(cluster.managers.specs) == 1

    async def test_who_gets_none_is_told_why_and_may_try_again(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        cluster.managers.refusal = "The volume could not be mounted."
        with pytest.raises(UnavailableError, match="The volume could not be mounted"):
            await names(tree)
        facts = await facts_of(cluster, project)
        assert facts is not None
        assert (facts.status, facts.failure, facts.token) == (
            HarnessStatus.FAILED,
            "The volume could not be mounted.",
            None,
        )
        cluster.managers.refusal = None
        assert await names(tree) == []

    async def test_a_project_that_goes_gets_none(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        async with cluster.platform.database.write() as rows:
            await projects.tombstone_project(rows, project)
        with pytest.raises(UnavailableError, match="no such project"):
            await names(tree)
        assert cluster.managers.specs == []


class TestLosing:
    async def test_the_next_call_after_its_death_works(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        await tree.make_folder("", "a")
        await cluster.managers.kill(project)
        placed = await tree.upload("", "b", stream(b"x"), max_bytes=1)
        assert placed == Placed("/b", "b", 1)
        await cluster.managers.kill(project)
        assert await names(tree) == ["a", "b"]
        assert len(cluster.managers.specs) == 3

    async def test_all_who_meet_its_death_at_once_start_one(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        await names(tree)
        await cluster.managers.kill(project)
        assert await asyncio.gather(*(names(tree) for _ in range(10))) == [[]] * 10
        assert len(cluster.managers.specs) <= 3

    async def test_one_that_lives_is_adopted_and_no_work_there_is_lost(
        self, cluster: Cluster
    ) -> None:
        project, tree = await make_project(cluster)
        await names(tree)
        await cluster.platform.lifecycles.ensure_file_manager(project, lost=1)
        assert [spec.generation for spec in cluster.managers.specs] == [1]

    async def test_one_that_cannot_be_adopted_is_replaced(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        await names(tree)
        first = cluster.managers.running(project)
        await cluster.platform.lifecycles.ensure_file_manager(project, lost=1)
        await cluster.platform.lifecycles.ensure_file_manager(project, lost=1)
        assert [spec.generation for spec in cluster.managers.specs] == [1, 2]
        assert not first.is_alive
        assert await names(tree) == []

    async def test_a_lost_row_is_written_again(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        await names(tree)
        async with cluster.platform.database.write() as rows:
            row = await rows.get_one(FileManagerRow, project)
            row.status, row.base_url = HarnessStatus.IDLE, None
        other = ClusterAccess(cluster.platform.database, cluster.platform.lifecycles, patience=30)
        assert await names(other.workspace_files(project)) == []
        await other.close()


class TestStopping:
    async def test_an_unused_one_is_stopped_and_starts_again(self, bare_platform: Platform) -> None:
        async with cluster_on(bare_platform, idle=timedelta(seconds=1)) as cluster:
            project, tree = await make_project(cluster)
            await tree.make_folder("", "a")
            await wait_for_status(cluster, project, HarnessStatus.IDLE)
            facts = await facts_of(cluster, project)
            assert facts is not None
            assert (facts.base_url, facts.token) == (None, None)

            async def gone() -> bool:
                return not cluster.managers.is_alive(project)

            await cluster.platform.until(gone, "the process to end")
            assert await names(tree) == ["a"]
            assert [spec.generation for spec in cluster.managers.specs] == [1, 2]
            assert len({spec.token for spec in cluster.managers.specs}) == 2

    @pytest.mark.parametrize("status", [HarnessStatus.READY, HarnessStatus.STARTING])
    async def test_one_whose_workflow_was_ended_is_stopped_all_the_same(
        self, bare_platform: Platform, status: HarnessStatus
    ) -> None:
        async with cluster_on(bare_platform, idle=timedelta(seconds=1)) as cluster:
            project, tree = await make_project(cluster)
            await names(tree)
            workflow_id = naming.file_manager_workflow(project)
            await bare_platform.client.get_workflow_handle(workflow_id).terminate()
            async with bare_platform.database.write() as rows:
                row = await rows.get_one(FileManagerRow, project)
                row.status = status
                row.base_url = row.base_url if status is HarnessStatus.READY else None
                row.used_at = utc_now() - timedelta(hours=1)
            swept = await SweepActivities(
                bare_platform.database, bare_platform.runtime, bare_platform.client
            ).run()
            assert swept.file_managers == 1
            await wait_for_status(cluster, project, HarnessStatus.IDLE)
            assert await names(tree) == []

    async def test_one_that_serves_a_long_upload_is_not_unused(
        self, bare_platform: Platform
    ) -> None:
        async with cluster_on(bare_platform, idle=timedelta(seconds=1)) as cluster:
            _, tree = await make_project(cluster)

            async def slow() -> AsyncIterator[bytes]:
                for _ in range(6):
                    yield b"x"
                    await asyncio.sleep(0.5)

            assert (await tree.upload("", "a", slow(), max_bytes=10)).size == 6
            assert len(cluster.managers.specs) == 1

    async def test_a_stop_in_the_middle_of_a_start_wins(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        cluster.managers.gate.clear()
        looking = asyncio.create_task(names(tree))
        await wait_for_status(cluster, project, HarnessStatus.STARTING)
        handle = cluster.platform.client.get_workflow_handle(naming.file_manager_workflow(project))
        await asyncio.wait_for(handle.execute_update(messages.STOP_FILE_MANAGER), 20)
        with pytest.raises(UnavailableError, match="was stopped"):
            await looking
        facts = await facts_of(cluster, project)
        assert facts is not None
        assert (facts.status, facts.token) == (HarnessStatus.IDLE, None)
        assert cluster.managers.specs == []

    async def test_a_teardown_ends_it_before_the_files_go(self, cluster: Cluster) -> None:
        platform = cluster.platform
        project, tree = await make_project(cluster)
        await names(tree)
        async with platform.database.write() as rows:
            await projects.tombstone_project(rows, project)
        await platform.lifecycles.delete_project(project)
        workflow_id = naming.project_teardown_workflow(project)
        await asyncio.wait_for(platform.client.get_workflow_handle(workflow_id).result(), 60)
        assert not cluster.managers.is_alive(project)
        assert await facts_of(cluster, project) is None

    async def test_the_home_of_a_harness_goes_with_it(self, cluster: Cluster) -> None:
        platform = cluster.platform
        user = await platform.make_user()
        project = await platform.make_project(user)
        gone, kept = [await platform.make_harness(project, user) for _ in range(2)]
        homes = cluster.managers.volume(project) / "homes"
        for harness in (gone, kept):
            (homes / str(harness)).mkdir(parents=True)
        async with platform.database.write() as rows:
            await harnesses.tombstone_harness(rows, project, gone)
        await platform.lifecycles.delete_harness(gone)
        workflow_id = naming.harness_deletion_workflow(gone)
        await asyncio.wait_for(platform.client.get_workflow_handle(workflow_id).result(), 60)
        assert [path.name for path in homes.iterdir()] == [str(kept)]

    async def test_a_file_manager_that_does_not_start_holds_up_no_deletion(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        platform = cluster.platform
        monkeypatch.setattr("activities.file_managers.HOME_PATIENCE", 1.0)
        cluster.managers.gate.clear()
        user = await platform.make_user()
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        async with platform.database.write() as rows:
            await harnesses.tombstone_harness(rows, project, harness)
        await platform.lifecycles.delete_harness(harness)
        workflow_id = naming.harness_deletion_workflow(harness)
        await asyncio.wait_for(platform.client.get_workflow_handle(workflow_id).result(), 60)
        cluster.managers.gate.set()
        await wait_for_status(cluster, project, HarnessStatus.READY)


class TestSecrets:
    async def test_no_history_has_a_token_or_an_address(self, cluster: Cluster) -> None:
        project, tree = await make_project(cluster)
        await names(tree)
        await cluster.managers.kill(project)
        await names(tree)
        with pytest.raises(NotFoundError):
            await tree.read_text("canary-in-a-path")
        written = await texts_of(cluster.platform.client)
        assert written[naming.file_manager_workflow(project)]
        for spec in cluster.managers.specs:
            assert not [name for name, text in written.items() if spec.token in text]
        for canary in (cluster.managers.running(project).url, "canary-in-a-path"):
            assert not [name for name, text in written.items() if canary in text]


class TestLogs:
    async def test_a_worker_reads_the_log_and_no_history_has_it(self, cluster: Cluster) -> None:
        platform = cluster.platform
        user = await platform.make_user()
        harness = await platform.make_harness(await platform.make_project(user), user)
        assert await cluster.access.read_log(harness) == ""
        await platform.lifecycles.start_sandbox(harness)
        await platform.wait_for_harness(harness, user, HarnessStatus.READY)
        said = await platform.runtime.read_log(harness)
        assert said
        assert await cluster.access.read_log(harness) == said
        async with platform.database.read() as rows:
            stored = await find_log(rows, harness)
        assert stored is not None
        written = await texts_of(platform.client)
        assert written[naming.log_capture_workflow(harness)]
        line = said.splitlines()[0]
        assert not [name for name, text in written.items() if line in text]
        await platform.lifecycles.stop_sandbox(harness)

    async def test_without_a_worker_the_stored_log_is_given(self, bare_platform: Platform) -> None:
        user = await bare_platform.make_user()
        harness = await bare_platform.make_harness(await bare_platform.make_project(user), user)
        hasty = TemporalLifecycles(bare_platform.client, bare_platform.database, patience=1)
        access = ClusterAccess(bare_platform.database, hasty)
        async with bare_platform.database.write() as rows:
            await store_log(rows, harness, "one\ntwo\0\nthree\n")
        text = await access.read_log(harness, lines=2)
        await access.close()
        first, *rest = text.splitlines()
        assert first.startswith("(As it was read at 20")
        assert rest == ["two\N{REPLACEMENT CHARACTER}", "three"]


async def test_isolation_is_what_a_worker_found_out(bare_platform: Platform) -> None:
    access = ClusterAccess(bare_platform.database, bare_platform.lifecycles)
    pods = "Each sandbox is a pod of its own without privileges."
    unknown = "Whether this cluster enforces network policies is not known yet."
    assert await access.isolation() == Isolation(False, f"{pods} {unknown}")
    for enforced in (True, False, None):
        async with bare_platform.database.write() as rows:
            found: JsonObject = {
                "enforced": enforced,
                "summary": "Words.",
                "checked_at": "2026-01-01T00:00Z",
            }
            await store_fact(rows, NETWORK, found)
        assert await access.isolation() == Isolation(enforced is True, f"{pods} Words.")
    await access.close()
