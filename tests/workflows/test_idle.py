"""Sandboxes that nobody uses: suspended, kept awake, woken, and every race between the three."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text
from temporalio.api.sdk.v1 import WorkflowMetadata

from cattery.clock import utc_now
from cattery.db import harnesses, idle, timeline
from cattery.db.harnesses import HarnessRecord
from cattery.db.leases import hold_lease
from cattery.db.states import HarnessStatus
from cattery.events.model import Answer, EventType
from cattery.ids import HarnessId, PromptId, SessionId, UserId
from cattery.temporal import messages, naming
from cattery.temporal.messages import SandboxIdle
from tests.workflows.fake_runtime import FakeRuntime, fake_over
from tests.workflows.parts import (
    Platform,
    of_type,
    open_session,
    processes_of,
    text_of,
    wait_until_open,
    worker_on,
)

TIMEOUT = 60


@dataclass
class Resting:
    """A harness with a session that has had a turn, and that may be suspended after a minute."""

    platform: Platform
    runtime: FakeRuntime
    user: UserId
    harness: HarnessId
    session: SessionId

    async def row(self) -> HarnessRecord:
        return await self.platform.harness_row(self.harness, self.user)

    async def pass_time(self) -> None:
        """Have all that was noted of its use happened long ago."""
        async with self.platform.database.write() as rows:
            await rows.execute(
                text("UPDATE harness SET used_at = used_at - make_interval(hours => 3)")
            )

    async def sweep(self) -> int:
        return (await self.platform.sweep()).idle

    async def suspend(self) -> HarnessRecord:
        """Have it found idle, and wait until it sleeps."""
        await self.platform.wait_for_rest(self.session)
        await self.pass_time()
        assert await self.sweep() == 1
        return await self.wait_until_asleep()

    async def wait_until_asleep(self) -> HarnessRecord:
        async def sleeps() -> bool:
            found = await self.row()
            return found.suspended_at is not None and not processes_of(self.harness)

        await self.platform.until(sleeps, "the sandbox to sleep")
        return await self.row()

    async def signal_idle(self, generation: int = 1) -> None:
        """Tell the sandbox's workflow what a sweep that has read too early would tell it."""
        handle = self.platform.client.get_workflow_handle(naming.harness_workflow(self.harness))
        await handle.signal(messages.SUSPEND_SANDBOX, SandboxIdle(generation=generation))

    async def assert_stays_awake(self, generation: int = 1) -> None:
        """Ask for a sandbox, which answers only after all that was asked for before."""
        await self.platform.lifecycles.start_sandbox(self.harness)
        await asyncio.sleep(0.5)
        found = await self.row()
        assert (found.sandbox_status, found.generation) == (HarnessStatus.READY, generation)
        assert processes_of(self.harness)

    async def prompt(self, wish: str = "deltas=2 size=1") -> PromptId:
        return await self.platform.prompt(self.session, self.user, wish)

    async def lines(self) -> list[tuple[str, str | None]]:
        """What the timeline says, the oldest first."""
        async with self.platform.database.read() as rows:
            found = await timeline.list_timeline(rows, self.harness, before=None, limit=100)
        return [(entry.kind, entry.by) for entry in reversed(found)]


@pytest.fixture
async def resting(bare_platform: Platform) -> AsyncIterator[Resting]:
    runtime = fake_over(bare_platform)
    async with worker_on(bare_platform):
        user, harness, session = await open_session(bare_platform)
        async with bare_platform.database.write() as rows:
            project = (await harnesses.get_harness(rows, harness, user)).project_id
            await harnesses.set_idle_timeout(rows, project, harness, TIMEOUT, by=user)
        await bare_platform.prompt(session, user, "deltas=3 size=1")
        await bare_platform.wait_for_idles(session, 1)
        await bare_platform.wait_for_rest(session)
        yield Resting(bare_platform, runtime, user, harness, session)
        runtime.end_gate.set()


async def test_a_sandbox_that_nobody_uses_is_suspended_and_says_why(resting: Resting) -> None:
    assert await resting.sweep() == 0, "it was used just now"
    asleep = await resting.suspend()
    assert asleep.sandbox_status is HarnessStatus.IDLE
    assert asleep.stopped_reason == "idle"
    assert (asleep.sandbox_url, asleep.steps, asleep.generation) == (None, [], 1)
    assert await resting.sweep() == 0
    async with resting.platform.database.read() as rows:
        live = await rows.scalar(
            text("SELECT count(*) FROM sandbox_token WHERE revoked_at IS NULL")
        )
    assert live == 0


async def test_a_prompt_wakes_it_and_finds_the_conversation_as_it_was(resting: Resting) -> None:
    await resting.suspend()
    before = await resting.platform.events(resting.session)
    await resting.prompt("deltas=3 size=1")
    events = await resting.platform.wait_for_idles(resting.session, 2)
    assert events[: len(before)] == before
    assert [e.data for e in of_type(events, EventType.SESSION_IDLE)] == [
        {"outcome": "completed"},
        {"outcome": "completed"},
    ]
    assert not of_type(events, EventType.SESSION_ERROR)
    awake = await resting.row()
    assert (awake.sandbox_status, awake.generation) == (HarnessStatus.READY, 2)
    assert (awake.suspended_at, awake.stopped_reason) == (None, None)
    assert await resting.lines() == [
        ("created", "ada"),
        ("started", None),
        ("idle_timeout_changed", "ada"),
        ("suspended", None),
        ("woken", "ada"),
        ("started", None),
    ]


async def test_what_it_slept_is_counted_once_and_outlives_the_harness(resting: Resting) -> None:
    database = resting.platform.database
    await resting.suspend()
    async with database.write() as rows:
        await rows.execute(text("UPDATE harness SET suspended_at = now() - interval '1 hour'"))
    async with database.read() as rows:
        assert (await idle.read_savings(rows)).sleeping == 1
        assert (await idle.read_savings(rows)).seconds == pytest.approx(3_600, abs=30)
    await resting.prompt()
    await resting.platform.wait_for_idles(resting.session, 2)
    async with database.write() as rows:
        own = await rows.scalar(text("SELECT suspended_seconds FROM harness"))
        assert own == pytest.approx(3_600, abs=30)
        await rows.execute(text("UPDATE harness SET suspended_seconds = 0"))
    async with database.read() as rows:
        saved = await idle.read_savings(rows)
    assert saved.sleeping == 0
    assert saved.seconds == pytest.approx(3_600, abs=30)


async def test_it_is_not_suspended_while_a_turn_runs_or_waits(resting: Resting) -> None:
    await resting.prompt("deltas=1000 rate=20")
    await resting.prompt("deltas=2 size=1")
    await resting.platform.wait_for_events(resting.session, EventType.MESSAGE_DELTA, 5)
    await resting.pass_time()
    assert await resting.sweep() == 0
    await resting.signal_idle()
    await resting.assert_stays_awake()
    await resting.platform.lifecycles.abort_turn(resting.session, "ada")
    await resting.platform.wait_for_idles(resting.session, 3)
    assert await resting.sweep() == 0, "the end of a turn is a use"
    await resting.suspend()


async def test_it_is_not_suspended_while_a_question_is_open(resting: Resting) -> None:
    await resting.prompt("ask deltas=3")
    (asked,) = await resting.platform.wait_for_events(resting.session, EventType.QUESTION_ASKED)
    await resting.pass_time()
    assert await resting.sweep() == 0
    await resting.signal_idle()
    await resting.assert_stays_awake()
    answers = [Answer("Which colour should I use?", ("Blue",))]
    await resting.platform.lifecycles.answer_question(
        resting.session, str(asked.data["partId"]), answers
    )
    await resting.platform.wait_for_idles(resting.session, 2)
    await resting.suspend()


async def test_a_lease_keeps_it_awake_and_one_that_expired_counts_as_use(resting: Resting) -> None:
    database = resting.platform.database
    async with database.write() as rows:
        assert await hold_lease(rows, resting.harness, "terminal/1", timedelta(minutes=3))
    await resting.pass_time()
    assert await resting.sweep() == 0
    await resting.signal_idle()
    await resting.assert_stays_awake()
    async with database.write() as rows:
        await rows.execute(text("UPDATE sandbox_lease SET expires_at = now() - interval '30 s'"))
    await resting.pass_time()
    assert await resting.sweep() == 0, "its terminal was there until half a minute ago"
    async with database.read() as rows:
        assert await rows.scalar(text("SELECT count(*) FROM sandbox_lease")) == 0
    await resting.suspend()


async def test_never_is_never_and_the_sites_own_time_out_counts_where_none_is_set(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_on(platform, idle_timeout=timedelta(minutes=30)):
        user, harness, _ = await open_session(platform)
        async with platform.database.write() as rows:
            await rows.execute(text("UPDATE harness SET idle_timeout_seconds = 0"))
            await rows.execute(text("UPDATE harness SET used_at = now() - interval '9 days'"))
        assert (await platform.sweep(idle_timeout=timedelta(minutes=30))).idle == 0
        async with platform.database.write() as rows:
            await rows.execute(text("UPDATE harness SET idle_timeout_seconds = NULL"))
        assert (await platform.sweep()).idle == 0
        assert (await platform.sweep(idle_timeout=timedelta(minutes=30))).idle == 1
        await platform.wait_for_harness(harness, user, HarnessStatus.IDLE)


async def test_a_prompt_between_the_look_and_the_suspension_keeps_it_awake(
    resting: Resting,
) -> None:
    await resting.pass_time()
    prompt = await resting.platform.store_prompt(resting.session, resting.user, "deltas=2 size=1")
    await resting.signal_idle()
    await resting.assert_stays_awake()
    await resting.platform.lifecycles.submit_prompt(resting.session, prompt)
    await resting.platform.wait_for_idles(resting.session, 2)
    assert (await resting.row()).generation == 1


async def test_a_prompt_between_the_suspension_and_the_end_waits_for_the_wake_only(
    resting: Resting,
) -> None:
    resting.runtime.end_gate.clear()
    await resting.pass_time()
    assert await resting.sweep() == 1

    async def is_ending() -> bool:
        return resting.runtime.stops == 1

    await resting.platform.until(is_ending, "the end at the gate")
    assert processes_of(resting.harness), "the sandbox still runs"
    assert (await resting.row()).suspended_at is not None
    await resting.prompt("deltas=3 size=1")
    await asyncio.sleep(0.5)
    resting.runtime.end_gate.set()
    events = await resting.platform.wait_for_idles(resting.session, 2)
    assert not of_type(events, EventType.SESSION_ERROR)
    assert text_of(events) == "word0 word1 word2 "
    assert (await resting.row()).generation == 2
    assert len(resting.platform.posted_prompts(resting.harness)) == 2


async def test_a_start_in_mid_suspend_ends_in_a_sandbox_that_runs(resting: Resting) -> None:
    resting.runtime.end_gate.clear()
    await resting.pass_time()
    await resting.sweep()

    async def is_ending() -> bool:
        return resting.runtime.stops == 1

    await resting.platform.until(is_ending, "the end at the gate")
    await resting.platform.lifecycles.start_sandbox(resting.harness)
    resting.runtime.end_gate.set()

    async def again() -> bool:
        found = await resting.row()
        return (found.sandbox_status, found.generation) == (HarnessStatus.READY, 2)

    await resting.platform.until(again, "the next generation")


async def test_a_deletion_in_mid_suspend_ends_in_nothing(resting: Resting) -> None:
    resting.runtime.end_gate.clear()
    await resting.pass_time()
    await resting.sweep()

    async def is_ending() -> bool:
        return resting.runtime.stops == 1

    await resting.platform.until(is_ending, "the end at the gate")
    handle = resting.platform.client.get_workflow_handle(naming.harness_workflow(resting.harness))
    deleting = asyncio.create_task(handle.execute_update(messages.DELETE_SANDBOX))
    await asyncio.sleep(0.3)
    assert not deleting.done()
    resting.runtime.end_gate.set()
    await deleting
    assert not processes_of(resting.harness)
    assert not list(resting.platform.home.glob(f"sandboxes/{resting.harness}"))


@pytest.mark.parametrize("finder", ["sweep", "prompt"])
async def test_one_that_its_cluster_has_ended_sleeps_and_is_woken_by_a_prompt(
    resting: Resting, finder: str
) -> None:
    ended = utc_now() - timedelta(hours=5)
    await resting.runtime.expire(resting.harness, ended)
    if finder == "sweep":
        await resting.platform.sweep()
        asleep = await resting.wait_until_asleep()
        assert asleep.sandbox_status is HarnessStatus.IDLE
        assert (asleep.suspended_at, asleep.stopped_reason) == (ended, "lease")
        assert asleep.failure is None
    await resting.prompt()
    events = await resting.platform.wait_for_idles(resting.session, 2)
    assert not of_type(events, EventType.SESSION_ERROR)
    awake = await resting.row()
    assert (awake.generation, awake.stopped_reason) == (2, None)
    async with resting.platform.database.read() as rows:
        slept = await rows.scalar(text("SELECT suspended_seconds FROM harness"))
    assert slept == pytest.approx(5 * 3_600, abs=60)
    assert ("suspended", None) in await resting.lines()


async def test_a_worker_that_ends_in_mid_suspend_is_followed_by_one_that_ends_the_sandbox(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    runtime = fake_over(platform)
    async with worker_on(platform):
        user, harness, session = await open_session(platform)
        runtime.end_gate.clear()
        async with platform.database.write() as rows:
            await rows.execute(
                text(
                    "UPDATE harness SET idle_timeout_seconds = 60,"
                    " used_at = now() - interval '1 hour'"
                )
            )
        assert (await platform.sweep()).idle == 1

        async def is_ending() -> bool:
            return runtime.stops == 1

        await platform.until(is_ending, "the end at the gate")
    assert processes_of(harness)
    runtime.end_gate.set()
    async with worker_on(platform):

        async def is_ended() -> bool:
            return not processes_of(harness)

        await platform.until(is_ended, "the sandbox to end")
        asleep = await platform.harness_row(harness, user)
        assert asleep.stopped_reason == "idle"
        await platform.prompt(session, user, "deltas=2")
        await platform.wait_for_idles(session, 1)
        assert (await platform.harness_row(harness, user)).generation == 2


async def test_a_stop_of_one_that_sleeps_changes_nothing_and_a_stop_in_its_wake_ends_it(
    resting: Resting,
) -> None:
    asleep = await resting.suspend()
    await resting.platform.lifecycles.stop_sandbox(resting.harness)
    assert (await resting.row()).suspended_at == asleep.suspended_at
    resting.runtime.gate.clear()
    await resting.platform.lifecycles.start_sandbox(resting.harness)
    await resting.platform.wait_for_harness(resting.harness, resting.user, HarnessStatus.STARTING)
    waking = await resting.row()
    assert (waking.suspended_at, waking.stopped_reason) == (None, "idle")
    await resting.platform.lifecycles.stop_sandbox(resting.harness)
    stopped = await resting.row()
    assert stopped.sandbox_status is HarnessStatus.IDLE
    assert (stopped.suspended_at, stopped.stopped_reason) == (None, None)
    assert not processes_of(resting.harness)


async def test_word_of_another_generation_or_of_one_that_does_not_run_is_nothing(
    resting: Resting,
) -> None:
    await resting.pass_time()
    await resting.signal_idle(generation=7)
    await resting.assert_stays_awake()
    await resting.platform.lifecycles.stop_sandbox(resting.harness)
    await resting.signal_idle()
    await asyncio.sleep(0.5)
    stopped = await resting.row()
    assert (stopped.sandbox_status, stopped.suspended_at) == (HarnessStatus.IDLE, None)


async def test_a_sandbox_whose_workflow_was_ended_is_suspended_all_the_same(
    resting: Resting,
) -> None:
    handle = resting.platform.client.get_workflow_handle(naming.harness_workflow(resting.harness))
    await handle.terminate("for a test")
    await resting.pass_time()

    async def sleeps() -> bool:
        await resting.sweep()
        await asyncio.sleep(0.2)
        return (await resting.row()).suspended_at is not None

    await resting.platform.until(sleeps, "the sandbox to sleep")
    await resting.wait_until_asleep()


async def test_an_end_that_is_held_up_says_so_and_comes_to_an_end(resting: Resting) -> None:
    resting.runtime.holds = ["The node does not answer."]
    await resting.pass_time()
    await resting.sweep()

    async def is_held_up() -> bool:
        return (await resting.row()).waiting == "The node does not answer."

    await resting.platform.until(is_held_up, "the reason in the row")
    await resting.wait_until_asleep()

    async def is_over() -> bool:
        return (await resting.row()).waiting is None

    await resting.platform.until(is_over, "the end of the end")
    assert (await resting.row()).stopped_reason == "idle"


async def test_the_details_of_a_session_say_what_its_sandbox_waits_for(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    runtime = fake_over(platform)
    runtime.refusals = ["The quota is used up."] * 100
    async with worker_on(platform):
        user = await platform.make_user()
        project = await platform.make_project(user)
        harness = await platform.make_harness(project, user)
        session = await platform.make_session(project, harness, user)
        handle = platform.client.get_workflow_handle(naming.session_workflow(session))

        async def tells() -> bool:
            metadata: WorkflowMetadata = await handle.query(
                "__temporal_workflow_metadata", result_type=WorkflowMetadata
            )
            return "waits for the sandbox: The quota is used up." in metadata.current_details

        await platform.until(tells, "the details to tell")
        runtime.refusals = []
        await platform.lifecycles.start_sandbox(harness)
        await wait_until_open(platform, session)
