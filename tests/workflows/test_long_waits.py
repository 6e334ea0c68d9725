"""Waits without an end, over fresh runs of the workflow; and what a thousand sandboxes cost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import override

import pytest
from sqlalchemy import Engine, event, select
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.sweep import SweepActivities
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow
from cattery.errors import SandboxWaitingError
from cattery.events.model import EventType
from cattery.ids import HarnessId, new_id
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import Observation, Report, SandboxSpec, SandboxState
from cattery.settings import SandboxSettings
from cattery.temporal import naming
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.messages import SweepResult
from cattery.temporal.schedules import ensure_search_attributes
from tests.scripted_type import SCRIPTED
from tests.workflows.conftest import TEMPORAL
from tests.workflows.parts import Platform, platform_on, said, text_of, worker_on
from workflows import harness_sandbox

MANY = 20
SIGNAL_EVENTS, TURN_EVENTS = 4, 20
"""In a history: a signal with the task that hears it, and a turn with those of the opening."""
FULL = "The quota of the namespace is used up."


class FullRuntime(LocalRuntime):
    """This machine, with no room on it until `room` is set."""

    def __init__(self, home: Path) -> None:
        confinement = Confinement(None, reason="the scripted harness needs this interpreter.")
        super().__init__(home, home / "tools", SandboxSettings(), SCRIPTED, confinement=confinement)
        self.room = asyncio.Event()
        self.calls = 0

    @override
    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
        self.calls += 1
        if not self.room.is_set():
            raise SandboxWaitingError(FULL)
        return await super().ensure_running(spec, report)


class CrowdedRuntime(FullRuntime):
    """This machine, with stopped sandboxes on it that it only says there are."""

    listed: Sequence[Observation] = ()

    @override
    async def observe_all(self) -> Sequence[Observation]:
        return self.listed


@pytest.fixture
async def forgetful_temporal() -> AsyncIterator[Client]:
    """A Temporal server that suggests a fresh run after a short history."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
        dev_server_extra_args=[
            "--dynamic-config-value",
            "limit.historyCount.suggestContinueAsNew=40",
        ],
    ) as environment:
        await ensure_search_attributes(environment.client)
        yield environment.client


async def run_of(handle: WorkflowHandle[object, object]) -> str | None:
    return (await handle.describe()).run_id


async def test_a_prompt_waits_for_room_over_fresh_runs_of_the_workflow(
    forgetful_temporal: Client,
    database_url: str,
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    async with platform_on(forgetful_temporal, database_url, home) as platform:
        platform.runtime = runtime = FullRuntime(home)
        async with worker_on(platform):
            user = await platform.make_user()
            project = await platform.make_project(user)
            harness = await platform.make_harness(project, user)
            session = await platform.make_session(project, harness, user)
            await platform.prompt(session, user, "deltas=3 size=1")

            async def waits() -> bool:
                return (await platform.harness_row(harness, user)).waiting == FULL

            await platform.until(waits, "the wait to show")
            handle = platform.client.get_workflow_handle(naming.harness_workflow(harness))
            first = await run_of(handle)

            async def rolled() -> bool:  # a wish ends a pause, so that this takes no minutes
                await platform.lifecycles.start_sandbox(harness)
                return await run_of(handle) != first

            await platform.until(rolled, "a fresh run", timeout=60)
            row = await platform.harness_row(harness, user)
            assert (row.sandbox_status, row.generation) == (HarnessStatus.STARTING, 1)
            runtime.room.set()
            await platform.lifecycles.start_sandbox(harness)
            events = await platform.wait_for_idles(session, 1)

            assert text_of(events) == said(3)
            ready = await platform.harness_row(harness, user)
            assert (ready.sandbox_status, ready.generation) == (HarnessStatus.READY, 1)
            assert ready.waiting is None


async def test_a_session_whose_prompts_never_run_out_goes_on_afresh_with_all_of_them(
    forgetful_temporal: Client, database_url: str, tmp_path: Path
) -> None:
    async with (
        platform_on(forgetful_temporal, database_url, tmp_path / "home") as platform,
        worker_on(platform),
    ):
        user = await platform.make_user()
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        session = await platform.make_session(project, harness, user)
        prompts = [await platform.prompt(session, user, "deltas=2 size=1") for _ in range(MANY)]
        events = await platform.wait_for_idles(session, MANY)

    begun = [event for event in events if event.type == EventType.TURN_STARTED]
    assert [event.data["turnId"] for event in begun] == [str(each) for each in prompts]
    runs = [
        await forgetful_temporal.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        async for run in forgetful_temporal.list_workflows(
            f"WorkflowId = '{naming.session_workflow(session)}'"
        )
    ]
    assert len(runs) >= 3
    assert max(len(run.events) for run in runs) < 40 + MANY * SIGNAL_EVENTS + TURN_EVENTS


def test_an_hour_of_waiting_is_a_short_history() -> None:
    """With a runtime that never waits itself: the pauses alone, and what one try writes."""
    *first, last = (pause.total_seconds() for pause in harness_sandbox.WAITING_PAUSES)
    tries = len(first) + (3600 - sum(first)) / last
    events_of_a_try = 28  # timer 2, activity 3, four signals, a workflow task of 3 for most of them
    assert tries * events_of_a_try < 1_800
    assert last <= 60


async def test_a_thousand_sandboxes_cost_a_sweep_a_handful_of_queries(
    bare_platform: Platform,
) -> None:
    bare_platform.runtime = listed = CrowdedRuntime(bare_platform.home)
    user = await bare_platform.make_user()
    project = await bare_platform.make_project(user)
    async with bare_platform.database.write() as rows:
        rows.add_all(
            HarnessRow(
                id=new_id(),
                project_id=project,
                name=f"Cat {number}",
                type="opencode",
                model="gpt-5.5",
                env_vars={},
            )
            for number in range(1_000)
        )
    async with bare_platform.database.read() as rows:
        ids = list(await rows.scalars(select(HarnessRow.id)))
    listed.listed = [
        Observation(HarnessId(each), 0, SandboxState.ABSENT, f"opencode-{each}") for each in ids
    ]
    sweeps = SweepActivities(bare_platform.database, listed, bare_platform.client)
    said_to_database: list[str] = []

    def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        said_to_database.append(statement)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        assert await sweeps.run() == SweepResult()
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert len(said_to_database) < 20
