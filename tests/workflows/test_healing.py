"""Sandboxes that a cluster loses or has no room for: healed, waited for, or given up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select
from temporalio.client import WorkflowUpdateFailedError

from cattery.db import harnesses
from cattery.db.harnesses import HarnessRecord
from cattery.db.states import HarnessStatus
from cattery.db.tables import SandboxTokenRow
from cattery.events.model import EventType
from cattery.ids import HarnessId, ProjectId, SessionId, UserId
from cattery.temporal import naming
from tests.workflows.fake_runtime import (
    EVICTED,
    NODE_LOST,
    FakeRuntime,
    evict_and_hold,
    fake_on,
    wait_until_healed,
)
from tests.workflows.parts import (
    Platform,
    assert_nothing_left,
    processes_of,
    said,
    text_of,
    wait_until_open,
)
from tests.workflows.test_sandboxes import ensure
from workers.observer import observing

NO_ROOM = "The quota of the namespace is used up: pods 10 of 10."
HELD_UP = "The pod does not end: its node does not answer."


@dataclass
class Scene:
    """A platform on a runtime that behaves as a cluster, with a harness nobody has started."""

    platform: Platform
    runtime: FakeRuntime
    user: UserId
    project: ProjectId
    harness: HarnessId

    async def row(self) -> HarnessRecord:
        return await self.platform.harness_row(self.harness, self.user)

    async def wait_for(self, status: HarnessStatus) -> HarnessRecord:
        return await self.platform.wait_for_harness(self.harness, self.user, status)

    async def start(self) -> HarnessRecord:
        await self.platform.lifecycles.start_sandbox(self.harness)
        return await self.wait_for(HarnessStatus.READY)

    async def open_session(self) -> SessionId:
        session = await self.platform.make_session(self.project, self.harness, self.user)
        await wait_until_open(self.platform, session)
        return session

    async def say(self, session: SessionId, text: str, turns: int) -> str:
        """Prompt, and return the answer of the turn."""
        await self.platform.prompt(session, self.user, text)
        return text_of(await self.platform.wait_for_idles(session, turns))

    async def wait_until_healed(self, count: int) -> HarnessRecord:
        return await wait_until_healed(self.platform, self.harness, self.user, count)

    async def evict_and_hold(self) -> None:
        await evict_and_hold(self.platform, self.runtime, self.harness)

    async def wait_for_waiting(self, words: str | None) -> HarnessRecord:
        async def shown() -> bool:
            return (await self.row()).waiting == words

        await self.platform.until(shown, f"the row to wait for {words!r}")
        return await self.row()

    async def live_tokens(self) -> int:
        live = select(func.count()).where(SandboxTokenRow.revoked_at.is_(None))
        async with self.platform.database.read() as rows:
            return await rows.scalar(live) or 0


@pytest.fixture
async def scene(bare_platform: Platform) -> AsyncIterator[Scene]:
    """A scene with a worker, whose observer hears what the runtime tells."""
    platform = bare_platform
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    async with fake_on(platform) as runtime:
        yield Scene(platform, runtime, user, project, harness)


def reasons(row: HarnessRecord) -> list[object]:
    return [one["reason"] for one in row.recoveries if isinstance(one, dict)]


async def test_an_evicted_sandbox_is_healed_and_goes_on_where_it_was(scene: Scene) -> None:
    session = await scene.open_session()
    assert await scene.say(session, "deltas=3 size=1", 1) == said(3)
    before = await scene.row()
    opened = (await scene.platform.session_row(session)).harness_session_id

    await scene.evict_and_hold()
    meanwhile = await scene.row()
    assert meanwhile.sandbox_status is HarnessStatus.STARTING
    assert meanwhile.sandbox_url is None
    assert reasons(meanwhile) == [EVICTED]
    scene.runtime.gate.set()

    healed = await scene.wait_until_healed(1)
    assert healed.generation == before.generation == 1
    assert healed.sandbox_url != before.sandbox_url
    assert healed.failure is None
    assert await scene.live_tokens() == 2, "the one that it was started with stays in force"

    assert await scene.say(session, "deltas=4 size=1", 2) == said(4)
    assert (await scene.platform.session_row(session)).harness_session_id == opened
    assert len(scene.platform.posted_prompts(scene.harness)) == 2
    assert (await scene.row()).generation == 1


async def test_a_turn_that_an_eviction_ends_is_ended_once_and_the_next_one_works(
    scene: Scene,
) -> None:
    session = await scene.open_session()
    await scene.platform.prompt(session, scene.user, "deltas=1000 rate=20")
    await scene.platform.wait_for_events(session, EventType.MESSAGE_DELTA)
    await scene.runtime.evict(scene.harness)
    await scene.platform.wait_for_idles(session, 1)

    assert await scene.say(session, "deltas=3 size=1", 2) == said(3)
    row = await scene.row()
    assert row.generation == 1
    assert reasons(row) == [EVICTED]


async def test_the_address_of_a_sandbox_that_was_moved_is_written(scene: Scene) -> None:
    await scene.start()
    address = await scene.runtime.move(scene.harness)
    row = await scene.wait_until_healed(1)
    assert row.sandbox_url == address
    assert row.generation == 1
    assert reasons(row) == ["Its processes were replaced: it runs at another address now."]


async def test_a_restart_in_place_counts_and_is_shown(scene: Scene) -> None:
    before = await scene.start()
    scene.runtime.restart(scene.harness)
    row = await scene.wait_until_healed(1)
    assert row.sandbox_url == before.sandbox_url
    assert reasons(row) == ["Its program ended and was started again."]
    scene.runtime.restart(scene.harness)
    await scene.wait_until_healed(2)


async def test_what_two_observers_hear_is_healed_once(scene: Scene) -> None:
    platform = scene.platform
    async with observing(platform.database, platform.runtime, platform.client):
        await scene.start()
        await scene.runtime.evict(scene.harness)
        await scene.wait_until_healed(1)
        scene.runtime.restart(scene.harness)
        await scene.wait_until_healed(2)
        await asyncio.sleep(1)
    row = await scene.row()
    assert reasons(row) == [EVICTED, "Its program ended and was started again."]
    assert row.sandbox_status is HarnessStatus.READY
    assert len(scene.runtime.specs) == 3


async def test_a_sandbox_that_is_lost_again_and_again_is_given_up_with_the_reason(
    scene: Scene,
) -> None:
    await scene.start()
    for count in (1, 2, 3):
        await scene.runtime.evict(scene.harness)
        await scene.wait_until_healed(count)
    await scene.runtime.evict(scene.harness)
    row = await scene.wait_for(HarnessStatus.FAILED)
    assert row.failure
    assert row.failure.partition("\n")[0] == (
        f"The sandbox was brought back 3 times in 10 minutes and was lost again. Last: {EVICTED} "
        "Look at its log, then start it again."
    )
    assert reasons(row) == [EVICTED] * 3
    assert await scene.live_tokens() == 0

    assert (await ensure(scene.platform, scene.harness, scene.project)).generation == 2
    assert (await scene.row()).recoveries == [], "people have looked: it counts anew"


async def test_a_sandbox_that_cannot_be_healed_fails_with_the_reason(scene: Scene) -> None:
    await scene.start()
    await scene.runtime.fail(scene.harness, "It ended with exit code 3.", recoverable=False)
    row = await scene.wait_for(HarnessStatus.FAILED)
    assert row.failure
    assert row.failure.startswith("The sandbox ended by itself. It ended with exit code 3.")
    assert row.recoveries == []
    assert len(scene.runtime.specs) == 1
    assert await scene.live_tokens() == 0


async def test_a_stop_wins_over_a_recovery(scene: Scene) -> None:
    await scene.start()
    await scene.evict_and_hold()
    await scene.platform.lifecycles.stop_sandbox(scene.harness)
    scene.runtime.gate.set()

    await asyncio.sleep(0.5)
    row = await scene.row()
    assert row.sandbox_status is HarnessStatus.IDLE
    assert row.recoveries == []
    assert not processes_of(scene.harness)
    assert await scene.live_tokens() == 0


async def test_a_deletion_wins_over_a_recovery_and_leaves_nothing(scene: Scene) -> None:
    await scene.start()
    await scene.evict_and_hold()
    async with scene.platform.database.write() as rows:
        await harnesses.tombstone_harness(rows, scene.project, scene.harness)
    await scene.platform.lifecycles.delete_harness(scene.harness)
    deletion = naming.harness_deletion_workflow(scene.harness)
    await scene.platform.client.get_workflow_handle(deletion).result()
    await assert_nothing_left(scene.platform, harnesses=[scene.harness])


async def test_a_prompt_during_a_recovery_waits_for_it_and_starts_nothing_second(
    scene: Scene,
) -> None:
    session = await scene.open_session()
    await scene.evict_and_hold()
    await scene.platform.prompt(session, scene.user, "deltas=3 size=1")
    asking = asyncio.create_task(ensure(scene.platform, scene.harness, scene.project))
    await asyncio.sleep(1)
    assert not asking.done()
    assert (await scene.row()).sandbox_status is HarnessStatus.STARTING
    scene.runtime.gate.set()

    assert text_of(await scene.platform.wait_for_idles(session, 1)) == said(3)
    assert (await asking).generation == 1
    assert len(scene.runtime.specs) == 2
    assert len(scene.platform.posted_prompts(scene.harness)) == 1


async def test_a_prompt_finds_a_sandbox_that_was_moved_unheard(scene: Scene) -> None:
    session = await scene.open_session()
    scene.runtime.is_silent = True
    address = await scene.runtime.move(scene.harness)
    assert await scene.say(session, "deltas=3 size=1", 1) == said(3)
    row = await scene.row()
    assert row.sandbox_url == address
    assert row.generation == 1


async def test_a_prompt_heals_a_sandbox_that_was_evicted_unheard(scene: Scene) -> None:
    session = await scene.open_session()
    scene.runtime.is_silent = True
    await scene.runtime.evict(scene.harness)
    assert await scene.say(session, "deltas=3 size=1", 1) == said(3)
    row = await scene.row()
    assert reasons(row) == [EVICTED]
    assert row.generation == 1


async def test_a_start_that_finds_no_room_waits_and_says_so_and_starts_by_itself(
    scene: Scene,
) -> None:
    scene.runtime.refusals = [NO_ROOM]
    session = await scene.platform.make_session(scene.project, scene.harness, scene.user)
    await scene.platform.prompt(session, scene.user, "deltas=3 size=1")
    waiting = await scene.wait_for_waiting(NO_ROOM)
    assert waiting.sandbox_status is HarnessStatus.STARTING
    assert waiting.failure is None

    events = await scene.platform.wait_for_idles(session, 1)
    assert text_of(events) == said(3)
    row = await scene.row()
    assert row.sandbox_status is HarnessStatus.READY
    assert row.waiting is None
    assert row.generation == 1
    assert row.recoveries == []


async def test_a_start_that_waits_for_room_can_be_stopped(scene: Scene) -> None:
    scene.runtime.refusals = [NO_ROOM] * 100
    asking = asyncio.create_task(ensure(scene.platform, scene.harness, scene.project))
    await scene.wait_for_waiting(NO_ROOM)
    await scene.platform.lifecycles.stop_sandbox(scene.harness)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asking
    assert "stopped" in str(refused.value.cause)
    row = await scene.row()
    assert (row.sandbox_status, row.waiting, row.failure) == (HarnessStatus.IDLE, None, None)
    assert await scene.live_tokens() == 0


async def test_a_recovery_waits_for_room_as_well(scene: Scene) -> None:
    await scene.start()
    scene.runtime.refusals = [NO_ROOM]
    await scene.runtime.evict(scene.harness)
    waiting = await scene.wait_for_waiting(NO_ROOM)
    assert waiting.sandbox_status is HarnessStatus.STARTING
    ready = await ensure(scene.platform, scene.harness, scene.project)  # and is tried at once
    assert ready.generation == 1
    assert reasons(await scene.wait_until_healed(1)) == [EVICTED]


async def test_a_node_that_goes_silent_shows_on_a_sandbox_that_is_ready(scene: Scene) -> None:
    before = await scene.start()
    await scene.runtime.lose_node(scene.harness)
    waiting = await scene.wait_for_waiting(NODE_LOST)
    assert waiting.sandbox_status is HarnessStatus.READY
    scene.runtime.find_node(scene.harness)
    assert await scene.wait_for_waiting(None) == before, "nothing was lost"
    assert len(scene.runtime.specs) == 1


async def test_a_prompt_to_a_silent_node_waits_for_the_same_generation(scene: Scene) -> None:
    session = await scene.open_session()
    await scene.runtime.lose_node(scene.harness)
    await scene.runtime.inner.stop(scene.harness)
    assert await scene.say(session, "deltas=3 size=1", 1) == said(3)
    row = await scene.row()
    assert (row.generation, reasons(row)) == (1, [NODE_LOST])


async def test_a_stop_that_is_held_up_shows_its_cause_and_succeeds_later(scene: Scene) -> None:
    await scene.start()
    scene.runtime.holds = [HELD_UP, HELD_UP]
    stopping = asyncio.create_task(scene.platform.lifecycles.stop_sandbox(scene.harness))
    held = await scene.wait_for_waiting(HELD_UP)
    assert held.sandbox_status is HarnessStatus.IDLE
    await stopping
    row = await scene.row()
    assert (row.sandbox_status, row.waiting) == (HarnessStatus.IDLE, None)
    assert not processes_of(scene.harness)


async def test_a_sandbox_that_fails_says_so_while_its_end_is_held_up(scene: Scene) -> None:
    await scene.start()
    scene.runtime.holds = [HELD_UP, HELD_UP]
    await scene.runtime.fail(scene.harness, "It ended with exit code 3.", recoverable=False)
    held = await scene.wait_for_waiting(HELD_UP)
    assert held.sandbox_status is HarnessStatus.FAILED
    assert "exit code 3" in str(held.failure)
    later = await scene.wait_for_waiting(None)
    assert later.failure == held.failure
