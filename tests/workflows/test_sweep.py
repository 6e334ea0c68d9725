"""What fell between a row and its signal, and between a row and its sandbox: the sweep finds it."""

import aiohttp
import pytest
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from activities.lost_work import AT_ONCE, Kind
from activities.sandbox_sweep import SandboxSweep
from activities.sweep import SweepActivities
from cattery.db import harnesses, projects, sessions
from cattery.db.engine import connect
from cattery.db.sandbox_rows import SandboxRows
from cattery.db.site_facts import SWEEP, find_fact
from cattery.db.states import HarnessStatus
from cattery.events.model import EventType
from cattery.ids import HarnessId, UserId, new_id
from cattery.sandboxes.port import Observation, SandboxState
from cattery.settings import DatabaseSettings
from cattery.temporal import messages, naming
from cattery.temporal.messages import SweepResult
from tests.processes import free_port
from tests.workflows.fake_runtime import EVICTED, fake_on, fake_over, wait_until_healed
from tests.workflows.parts import (
    Platform,
    of_type,
    open_session,
    processes_of,
    said,
    text_of,
    wait_until_open,
)
from workers.sweep_metrics import showing_sweeps

NOBODY = "postgresql://cat:cat@127.0.0.1:9/cats?connect_timeout=2"


def sweeper_of(platform: Platform) -> SweepActivities:
    """Sweeps that remember, as those of one worker do."""
    return SweepActivities(platform.database, platform.runtime, platform.client)


async def start_harness(platform: Platform) -> tuple[UserId, HarnessId]:
    user = await platform.make_user()
    harness = await platform.make_harness(await platform.make_project(user), user)
    await platform.lifecycles.start_sandbox(harness)
    await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    return user, harness


async def end_workflow(platform: Platform, harness: HarnessId) -> None:
    handle = platform.client.get_workflow_handle(naming.harness_workflow(harness))
    await handle.terminate("nobody looks after the sandbox any more")


def seen_running(harness: HarnessId, generation: int) -> Observation:
    return Observation(harness, generation, SandboxState.RUNNING, f"opencode-{harness}")


async def test_a_prompt_whose_signal_was_lost_is_run(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    handle = platform.client.get_workflow_handle(naming.session_workflow(session))
    await handle.terminate("no workflow knows of it")
    await platform.store_prompt(session, user, "deltas=3 size=1")
    assert (await platform.sweep()).prompts == 1
    events = await platform.wait_for_idles(session, 1)

    assert text_of(events) == said(3)
    assert (await platform.sweep()).prompts == 0
    assert len(platform.posted_prompts(harness)) == 1


async def test_a_prompt_whose_signal_was_lost_is_run_by_a_workflow_that_is_open(
    platform: Platform,
) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_idles(session, 1)
    await platform.store_prompt(session, user, "deltas=3 size=1")

    async def signalled() -> bool:
        return (await platform.sweep()).prompts == 1

    # A turn has told of its end before its row says so; until then the next one is not due.
    await platform.until(signalled, "the sweep to signal the prompt")
    events = await platform.wait_for_idles(session, 2)

    assert text_of(events) == said(3)
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_turn_that_runs_and_those_behind_it_are_left_alone(platform: Platform) -> None:
    user, harness, session = await open_session(platform)
    await platform.prompt(session, user, "deltas=120 rate=20")
    await platform.prompt(session, user, "deltas=1")
    await platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    for _ in range(3):
        assert (await platform.sweep()).prompts == 0
    events = await platform.wait_for_idles(session, 2)
    assert [e.turn_no for e in of_type(events, EventType.SESSION_IDLE)] == [1, 2]
    assert len(platform.posted_prompts(harness)) == 2


async def test_a_session_whose_opening_was_lost_is_opened(platform: Platform) -> None:
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    async with platform.database.write() as rows:
        made = await sessions.create_session(rows, project, harness, user, theme="dark")
    assert (await platform.sweep()).sessions == 1
    await wait_until_open(platform, made.session_id)
    assert (await platform.sweep()).sessions == 0


async def test_the_sweep_runs_as_its_schedule_starts_it(platform: Platform) -> None:
    await open_session(platform)
    found: SweepResult = await platform.client.execute_workflow(
        messages.SWEEP,
        id="sweep-in-a-test",
        task_queue=naming.ORCHESTRATION_QUEUE,
        result_type=SweepResult,
    )
    assert found == SweepResult()


async def test_an_eviction_that_nobody_heard_of_is_healed(bare_platform: Platform) -> None:
    async with fake_on(bare_platform) as runtime:
        user, harness = await start_harness(bare_platform)
        runtime.is_silent = True
        await runtime.evict(harness)
        assert await sweeper_of(bare_platform).run() == SweepResult(lost=1)
        row = await wait_until_healed(bare_platform, harness, user, 1)
        assert row.generation == 1
        assert [one["reason"] for one in row.recoveries if isinstance(one, dict)] == [EVICTED]
        assert await sweeper_of(bare_platform).run() == SweepResult()


async def test_an_address_that_nobody_heard_of_is_written(bare_platform: Platform) -> None:
    async with fake_on(bare_platform) as runtime:
        user, harness = await start_harness(bare_platform)
        runtime.is_silent = True
        address = await runtime.move(harness)
        assert await sweeper_of(bare_platform).run() == SweepResult(lost=1)
        row = await wait_until_healed(bare_platform, harness, user, 1)
        assert (row.sandbox_url, row.generation) == (address, 1)
        assert await sweeper_of(bare_platform).run() == SweepResult()


async def test_a_start_whose_workflow_was_ended_is_started_again(platform: Platform) -> None:
    user, harness = await start_harness(platform)
    await end_workflow(platform, harness)
    async with platform.database.write() as rows:
        await SandboxRows(rows, harness, 1).begin("x")
    assert await sweeper_of(platform).run() == SweepResult(lost=1)
    row = await platform.wait_for_harness(harness, user, HarnessStatus.READY)
    assert row.generation == 2


async def test_a_prompt_is_found_while_the_cluster_does_not_answer(bare_platform: Platform) -> None:
    async with fake_on(bare_platform) as runtime:
        user, _, session = await open_session(bare_platform)
        runtime.fault = "The cluster has not answered for 90 seconds."
        await bare_platform.store_prompt(session, user, "deltas=3 size=1")
        assert await bare_platform.sweep() == SweepResult(prompts=1)
        assert text_of(await bare_platform.wait_for_idles(session, 1)) == said(3)


async def test_a_sandbox_without_a_row_is_removed_once_it_was_seen_twice(
    bare_platform: Platform,
) -> None:
    async with fake_on(bare_platform) as runtime:
        _, harness = await start_harness(bare_platform)
        orphan, stubborn = HarnessId(new_id()), HarnessId(new_id())
        runtime.listed = [seen_running(orphan, 1), seen_running(stubborn, 1)]
        sweeper = sweeper_of(bare_platform)
        assert await sweeper.run() == SweepResult()
        runtime.holds = ["It does not end."]
        assert await sweeper.run() == SweepResult(orphans=1), "one is held up, the other is not"
        assert await sweeper.run() == SweepResult(orphans=1)
        assert sorted(runtime.ended) == sorted([orphan, stubborn])
        assert await sweeper.run() == SweepResult()
        assert processes_of(harness)


async def test_a_dry_run_names_and_counts_what_it_would_end_and_ends_nothing(
    platform: Platform,
) -> None:
    user, harness = await start_harness(platform)
    await end_workflow(platform, harness)
    async with platform.database.write() as rows:
        await SandboxRows(rows, harness, 1).fail("It did not answer within 60 seconds.")
    runtime = fake_over(platform)
    orphan = HarnessId(new_id())
    runtime.listed = [seen_running(orphan, 1)]
    sweeper = SandboxSweep(platform.database, runtime, platform.client, is_dry_run=True)
    with capture_logs() as logs:
        for _ in range(2):
            assert (await sweeper.run()).orphans == 0
    found = {line["event"]: line for line in logs if "dry_run" in line}
    assert found["orphaned_sandbox_found"]["harness_id"] == str(orphan)
    assert found["stray_sandbox_found"]["harness_id"] == str(harness)
    assert (sweeper.orphans, runtime.ended) == (1, [])
    assert processes_of(harness), f"the stray of {user} was ended"


async def test_a_site_whose_harnesses_are_all_deleted_still_loses_its_orphans(
    bare_platform: Platform,
) -> None:
    await bare_platform.make_user()
    runtime = fake_over(bare_platform)
    runtime.listed = [seen_running(HarnessId(new_id()), 1)]
    sweeper = sweeper_of(bare_platform)
    assert [(await sweeper.run()).orphans for _ in range(2)] == [0, 1]


async def test_a_database_without_a_user_has_nothing_removed(bare_platform: Platform) -> None:
    runtime = fake_over(bare_platform)
    runtime.listed = [seen_running(HarnessId(new_id()), 1)]
    sweeper = sweeper_of(bare_platform)
    with capture_logs() as logs:
        for _ in range(3):
            assert await sweeper.run() == SweepResult()
    assert runtime.ended == []
    refusals = [line for line in logs if line["event"] == "sweep_refused"]
    assert [(line["log_level"], line["sandboxes"]) for line in refusals] == [("error", 1)] * 3


async def test_a_sandbox_that_woke_up_after_its_start_was_given_up_is_stopped(
    platform: Platform,
) -> None:
    user, harness = await start_harness(platform)
    await end_workflow(platform, harness)
    async with platform.database.write() as rows:
        await SandboxRows(rows, harness, 1).fail("It did not answer within 60 seconds.")
    sweeper = sweeper_of(platform)
    assert await sweeper.run() == SweepResult()
    assert processes_of(harness)
    assert await sweeper.run() == SweepResult(strays=1)
    assert not processes_of(harness)
    row = await platform.harness_row(harness, user)
    assert row.failure == "It did not answer within 60 seconds."
    assert await sweeper.run() == SweepResult()


async def test_a_sandbox_that_somebody_looks_after_is_no_stray(platform: Platform) -> None:
    _, harness = await start_harness(platform)
    async with platform.database.write() as rows:
        await SandboxRows(rows, harness, 1).stop()
    sweeper = sweeper_of(platform)
    for _ in range(3):
        assert await sweeper.run() == SweepResult()
    assert processes_of(harness)


async def test_a_sandbox_of_a_later_generation_or_of_a_deletion_is_no_stray(
    bare_platform: Platform,
) -> None:
    user = await bare_platform.make_user()
    project = await bare_platform.make_project(user)
    later, deleted = [await bare_platform.make_harness(project, user) for _ in range(2)]
    async with bare_platform.database.write() as rows:
        await SandboxRows(rows, later, 0).stop()
        await harnesses.tombstone_harness(rows, project, deleted)
    runtime = fake_over(bare_platform)
    runtime.listed = [seen_running(later, 1), seen_running(deleted, 0)]
    sweeper = sweeper_of(bare_platform)
    for _ in range(3):
        assert await sweeper.run() == SweepResult()
    assert runtime.ended == []


async def test_a_database_that_does_not_answer_has_nothing_removed(bare_platform: Platform) -> None:
    runtime = fake_over(bare_platform)
    runtime.listed = [seen_running(HarnessId(new_id()), 1)]
    await bare_platform.make_user()
    working, broken = bare_platform.database, connect(DatabaseSettings(url=SecretStr(NOBODY)))
    try:
        sweeper = SweepActivities(broken, bare_platform.runtime, bare_platform.client)
        for _ in range(3):
            with pytest.raises(OperationalError):
                await sweeper.run()
        assert runtime.ended == []
    finally:
        await broken.close()
        bare_platform.database = working


async def test_what_a_sweep_finds_is_shown_by_every_worker(bare_platform: Platform) -> None:
    runtime = fake_over(bare_platform)
    user = await bare_platform.make_user()
    project = await bare_platform.make_project(user)
    runtime.listed = [seen_running(HarnessId(new_id()), 1)]
    runtime.holds = ["It does not end."] * 10
    async with bare_platform.database.write() as rows:
        await projects.tombstone_project(rows, project)
    teardown = naming.project_teardown_workflow(project)
    sweeper = SweepActivities(
        bare_platform.database, runtime, bare_platform.client, patience=AT_ONCE
    )
    await sweeper.run()  # no worker is there that would go on with it
    await bare_platform.client.get_workflow_handle(teardown).terminate("it keeps dying")
    await sweeper.run()
    async with bare_platform.database.read() as rows:
        fact = await find_fact(rows, SWEEP)
    assert fact
    assert fact.value == {"orphans": 1, "stuck": {"deletion": 1}}
    await bare_platform.client.get_workflow_handle(teardown).terminate("the test is over")

    address = f"127.0.0.1:{free_port()}"
    metrics = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=address)))
    async with (
        showing_sweeps(bare_platform.database, metrics.metric_meter),
        aiohttp.ClientSession() as http,
    ):
        shown = ""

        async def is_shown() -> bool:
            nonlocal shown
            async with http.get(f"http://{address}/metrics") as answer:
                shown = await answer.text()
            return "cattery_sweep_age_seconds" in shown

        await bare_platform.until(is_shown, "the metrics")
    values = {
        line.rpartition(" ")[0]: line.rpartition(" ")[2]
        for line in shown.splitlines()
        if line.startswith("cattery_")
    }
    assert [value for name, value in values.items() if name.startswith("cattery_orphans")] == ["1"]
    stuck = {name: value for name, value in values.items() if name.startswith("cattery_stuck")}
    assert len(stuck) == len(Kind)
    assert [value for name, value in stuck.items() if 'kind="deletion"' in name] == ["1"]
