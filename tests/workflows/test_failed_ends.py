"""Starts that fail and ends that are held up: how often they are tried, and what is shown."""

from pathlib import Path
from typing import override

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from cattery.clock import utc_now
from cattery.db.harness_logs import find_log
from cattery.db.states import HarnessStatus
from cattery.errors import SandboxError, SandboxFailedError
from cattery.ids import HarnessId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import Observation, Report, RuntimeEvent, SandboxSpec, Step, StepName
from cattery.settings import SandboxSettings
from cattery.temporal import naming
from tests.scripted_type import SCRIPTED
from tests.workflows.parts import Platform, worker_on

HELD = "Pod opencode-1 is still there after 60 s: held by finalizer example.com/keep of its owner."


class FailingRuntime(LocalRuntime):
    """This machine, where starts fail in the middle and ends may be held up."""

    def __init__(self, home: Path) -> None:
        confinement = Confinement(None, reason="nothing is started here.")
        super().__init__(home, home / "tools", SandboxSettings(), SCRIPTED, confinement=confinement)
        self.error = SandboxError("Its container ended with code 3.")
        self.starts = 0
        self.held: str | None = None
        self.log = ""

    @override
    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
        self.starts += 1
        self.log = "out of licences\n"
        await report(Step(StepName.SCHEDULED, utc_now(), utc_now(), "node-1"))
        await report(RuntimeEvent("1", utc_now(), "BackOff", "It is started again.", 3))
        raise self.error

    @override
    async def stop(self, harness_id: HarnessId) -> None:
        if self.held:
            raise SandboxError(self.held)
        self.log = ""

    @override
    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        return self.log


@pytest.mark.parametrize(
    ("error", "starts"),
    [
        (SandboxError("Its container ended with code 3."), 3),
        (SandboxFailedError("It did not answer within 300 seconds."), 1),
    ],
)
async def test_a_start_that_failed_keeps_its_steps_its_events_and_the_end_of_its_log(
    bare_platform: Platform, error: SandboxError, starts: int
) -> None:
    platform = bare_platform
    platform.runtime = runtime = FailingRuntime(platform.home)
    runtime.error = error
    user = await platform.make_user()
    harness = await platform.make_harness(await platform.make_project(user), user)
    async with worker_on(platform):
        await platform.lifecycles.start_sandbox(harness)
        row = await platform.wait_for_harness(harness, user, HarnessStatus.FAILED)
    async with platform.database.read() as rows:
        stored = await find_log(rows, harness)

    assert row.failure == f"{error.message}\nThe last lines of its log:\nout of licences"
    assert stored is not None
    assert stored.log == "out of licences\n"
    assert [one["detail"] for one in row.steps if isinstance(one, dict)] == ["node-1"]
    assert [one["count"] for one in row.runtime_events if isinstance(one, dict)] == [3]
    assert runtime.starts == starts, "one that was watched to its end is not tried again"


async def test_what_holds_an_end_up_stands_in_the_details_of_the_workflow(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    platform.runtime = runtime = FailingRuntime(platform.home)
    runtime.held = HELD
    user = await platform.make_user()
    harness = await platform.make_harness(await platform.make_project(user), user)
    handle = platform.client.get_workflow_handle(naming.harness_workflow(harness))

    async def tells() -> bool:
        metadata: WorkflowMetadata = await handle.query(
            "__temporal_workflow_metadata", result_type=WorkflowMetadata
        )
        return HELD in metadata.current_details

    async with worker_on(platform):
        await platform.lifecycles.start_sandbox(harness)
        await platform.until(tells, "the details to tell")
        row = await platform.harness_row(harness, user)
        assert (row.sandbox_status, row.waiting) == (HarnessStatus.FAILED, HELD)
        runtime.held = None

        async def is_over() -> bool:
            return (await platform.harness_row(harness, user)).waiting is None

        await platform.until(is_over, "the end", timeout=60)
        ended = await platform.harness_row(harness, user)
        assert ended.failure == row.failure
