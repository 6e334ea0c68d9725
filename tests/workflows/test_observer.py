"""The observer of one worker: what it tells, what it leaves out, and what it survives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import override

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs
from temporalio.client import WorkflowHistoryEventFilterType
from temporalio.service import RPCError

from cattery.db.sandbox_rows import SandboxRows, find_harnesses
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import Notice, Observation, SandboxState
from cattery.settings import SandboxSettings
from cattery.temporal import messages, naming
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.messages import SandboxLost
from tests.scripted_type import SCRIPTED
from tests.workflows.parts import Platform
from workers import observer as observing

EVICTED = "It was evicted: the node was low on memory."
HERE = HarnessEndpoint("http://10.0.0.1:4096", "secret")


class ToldRuntime(LocalRuntime):
    """This machine, whose watch tells what the test says, after it has failed so often."""

    def __init__(self, home: Path) -> None:
        confinement = Confinement(None, reason="nothing is started here.")
        super().__init__(home, home / "tools", SandboxSettings(), SCRIPTED, confinement=confinement)
        self.failures: list[Exception] = []
        self.said: asyncio.Queue[Observation] = asyncio.Queue()

    @override
    async def watch(self, notice: Notice) -> None:
        if self.failures:
            raise self.failures.pop(0)
        while True:
            await notice(await self.said.get())


@dataclass
class Watched:
    """A harness whose row says that its second generation is ready, and nobody has a worker."""

    platform: Platform
    runtime: ToldRuntime
    harness: HarnessId
    seen: Observation
    told: list[SandboxLost] = field(default_factory=list)

    def say(self, **changed: object) -> None:
        """Have the runtime tell of the sandbox, as it is but for some changes."""
        self.runtime.said.put_nowait(replace(self.seen, **changed))  # type: ignore[arg-type]

    async def losses(self) -> list[SandboxLost]:
        """What the sandbox's workflow was told: no worker runs it, so its history keeps all."""
        handle = self.platform.client.get_workflow_handle(naming.harness_workflow(self.harness))
        try:
            history = await handle.fetch_history(
                event_filter_type=WorkflowHistoryEventFilterType.ALL_EVENT
            )
        except RPCError:
            return []
        found: list[SandboxLost] = []
        for event in history.events:
            signal = event.workflow_execution_signaled_event_attributes
            if signal.signal_name == messages.SANDBOX_LOST:
                found += await DATA_CONVERTER.decode(signal.input.payloads, [SandboxLost])
        return found

    async def wait_for_losses(self, count: int) -> list[SandboxLost]:
        async def enough() -> bool:
            return len(await self.losses()) >= count

        await self.platform.until(enough, f"{count} losses to be told")
        await self.settle()
        return await self.losses()

    async def settle(self) -> None:
        """Wait until the observer has dealt with what was said before."""
        while not self.runtime.said.empty():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)

    async def waiting(self) -> str | None:
        async with self.platform.database.read() as rows:
            found = await find_harnesses(rows, [self.harness])
        return found[self.harness].waiting


@pytest.fixture
async def watched(bare_platform: Platform) -> Watched:
    user = await bare_platform.make_user()
    harness = await bare_platform.make_harness(await bare_platform.make_project(user), user)
    async with bare_platform.database.write() as session:
        rows = SandboxRows(session, harness, 2)
        await rows.begin("secret")
        await rows.finish("opencode-1", HERE)
    runtime = ToldRuntime(bare_platform.home)
    where = HarnessEndpoint(HERE.base_url)
    seen = Observation(harness, 2, SandboxState.RUNNING, "opencode-1", endpoint=where)
    return Watched(bare_platform, runtime, harness, seen)


@asynccontextmanager
async def observer_on(watched: Watched) -> AsyncIterator[None]:
    platform = watched.platform
    async with observing.observing(platform.database, watched.runtime, platform.client):
        yield


async def test_what_a_row_does_not_say_is_told_and_what_it_says_is_not(watched: Watched) -> None:
    elsewhere = HarnessEndpoint("http://10.0.0.2:4096")
    async with observer_on(watched):
        watched.say()
        watched.say(generation=1, state=SandboxState.FAILED, reason=EVICTED)
        watched.say(state=SandboxState.ABSENT, endpoint=None)
        await watched.settle()
        assert await watched.losses() == []

        watched.say(state=SandboxState.FAILED, reason=EVICTED, recoverable=True)
        await watched.wait_for_losses(1)
        watched.say(endpoint=elsewhere)
        assert await watched.wait_for_losses(2) == [
            SandboxLost(generation=2, reason=EVICTED, crashed=True, recoverable=True),
            SandboxLost(
                generation=2,
                reason="Its processes were replaced: it runs at another address now.",
                crashed=False,
                moved=True,
            ),
        ]


async def test_a_restart_in_place_is_told_once(watched: Watched) -> None:
    async with observer_on(watched):
        for _ in range(3):
            watched.say(restarts=1)
            await watched.settle()
        watched.say(restarts=2)
        told = await watched.wait_for_losses(2)
    assert [each.restarts for each in told] == [1, 2]


async def test_a_burst_costs_one_signal(watched: Watched) -> None:
    for number in range(1, 101):
        watched.say(restarts=number)
    async with observer_on(watched):
        told = await watched.wait_for_losses(1)
    assert len(told) < 5
    assert told[-1].restarts == 100


async def test_a_node_that_does_not_answer_shows_until_it_does(watched: Watched) -> None:
    async with observer_on(watched):
        watched.say(state=SandboxState.STARTING, endpoint=None, reason="Its node is away.\nlog")
        await watched.settle()
        assert await watched.waiting() == "Its node is away."
        watched.say()
        await watched.settle()
        assert await watched.waiting() is None
    assert await watched.losses() == []


async def test_a_watch_that_fails_is_begun_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "FIRST_PAUSE", 0.05)
    watched.runtime.failures = [OSError("connection reset"), ValueError("a line was not JSON")]
    with capture_logs() as logs:
        async with observer_on(watched):
            watched.say(state=SandboxState.FAILED, reason=EVICTED, recoverable=True)
            await watched.wait_for_losses(1)
    failed = [each for each in logs if each["event"] == "sandbox_watch_failed"]
    assert len(failed) == 2


async def test_what_is_heard_while_the_database_is_away_is_dealt_with_later(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observing, "FIRST_PAUSE", 0.05)
    with capture_logs() as logs:
        await rename_table(watched.platform, "harness", "harness_away")
        async with observer_on(watched):
            watched.say(state=SandboxState.FAILED, reason=EVICTED, recoverable=True)
            await watched.settle()
            await rename_table(watched.platform, "harness_away", "harness")
            assert len(await watched.wait_for_losses(1)) == 1
    assert "sandbox_observer_failed" in {each["event"] for each in logs}


async def rename_table(platform: Platform, before: str, after: str) -> None:
    async with platform.database.write() as session:
        await session.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))


async def test_a_runtime_that_sees_no_changes_costs_nothing(platform: Platform) -> None:
    observer = observing.SandboxObserver(platform.database, platform.runtime, platform.client)
    async with asyncio.timeout(1):
        await observer.run()
