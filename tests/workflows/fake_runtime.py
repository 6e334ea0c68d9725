"""A runtime whose sandboxes are lost, moved and refused as a cluster's are, on command.

Beneath it is a real local runtime with real harness processes; what a cluster would say of them is
said instead. What happens is told to whoever watches, as the cluster's watch tells it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from cattery.db.harnesses import HarnessRecord
from cattery.db.states import HarnessStatus
from cattery.errors import SandboxError, SandboxWaitingError
from cattery.ids import HarnessId, ProjectId, UserId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.port import (
    Isolation,
    Notice,
    Observation,
    Progress,
    Report,
    SandboxSpec,
    SandboxState,
    Waiting,
)
from tests.workflows.parts import Platform, worker_on

EVICTED = "Evicted: The node was low on resource: memory."
NODE_LOST = "Its node kind-worker does not answer since 12:00:00 UTC."


@dataclass
class Life:
    """What the cluster says of one sandbox, beside or instead of what its processes would."""

    restarts: int = 0
    instead: Observation | None = None


@dataclass
class FakeRuntime:
    """A `SandboxRuntime`. Its verbs beyond the protocol are what a cluster does by itself.

    `gate` holds starts back while it is not set, `end_gate` stops. `refusals` and `holds` are used
    up one a call: starts that find no room, and ends that do not come to an end. `listed` is seen
    beside what there is; nobody is told of anything while it `is_silent`. `fault` fails every look
    at all.
    """

    inner: LocalRuntime
    specs: list[SandboxSpec] = field(default_factory=list)
    """Of every call that asked for a sandbox."""
    refusals: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    listed: list[Observation] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What is said to be there of everything, beside what is."""
    ended: list[HarnessId] = field(default_factory=list)
    """Every sandbox that was stopped or removed, once a call."""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    end_gate: asyncio.Event = field(default_factory=asyncio.Event)
    stops: int = 0
    """Calls of `stop`, also those that wait at the gate."""
    is_silent: bool = False
    fault: str | None = None

    def __post_init__(self) -> None:
        self.gate.set()
        self.end_gate.set()
        self._lives: dict[HarnessId, Life] = {}
        self._watchers: set[asyncio.Queue[HarnessId]] = set()

    @property
    def name(self) -> str:
        return "fake"

    async def evict(self, harness_id: HarnessId, reason: str = EVICTED) -> None:
        """End the pod, as a node does that is short of memory."""
        await self.fail(harness_id, reason, recoverable=True)

    async def fail(self, harness_id: HarnessId, reason: str, *, recoverable: bool) -> None:
        before = await self.inner.observe(harness_id)
        await self.inner.stop(harness_id)
        self._life(harness_id).instead = replace(
            before,
            state=SandboxState.FAILED,
            endpoint=None,
            reason=reason,
            recoverable=recoverable,
        )
        self._tell(harness_id)

    async def expire(self, harness_id: HarnessId, at: datetime) -> None:
        """End the pod as a cluster does that nobody told any more that it is wanted."""
        before = await self.inner.observe(harness_id)
        await self.inner.stop(harness_id)
        self._life(harness_id).instead = replace(
            before, state=SandboxState.ABSENT, endpoint=None, expired_at=at
        )
        self._tell(harness_id)

    async def move(self, harness_id: HarnessId) -> str:
        """Replace the pod by one of the same generation; returns its address."""
        before = await self.inner.observe(harness_id)
        await self.inner.stop(harness_id)
        spec = next(s for s in reversed(self.specs) if s.harness_id == harness_id)
        after = await self.inner.ensure_running(spec, _ignore)
        assert before.endpoint
        assert after.endpoint
        assert before.endpoint.base_url != after.endpoint.base_url
        self._tell(harness_id)
        return after.endpoint.base_url

    def restart(self, harness_id: HarnessId) -> None:
        """Count one more restart of the container in its pod."""
        self._life(harness_id).restarts += 1
        self._tell(harness_id)

    async def lose_node(self, harness_id: HarnessId, reason: str = NODE_LOST) -> None:
        """Have the node go silent; its processes run on, unseen."""
        before = await self.inner.observe(harness_id)
        self._life(harness_id).instead = replace(
            before, state=SandboxState.STARTING, endpoint=None, reason=reason
        )
        self._tell(harness_id)

    def find_node(self, harness_id: HarnessId) -> None:
        self._life(harness_id).instead = None
        self._tell(harness_id)

    async def isolation(self) -> Isolation:
        return await self.inner.isolation()

    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
        """Refuse, wait at the gate, then start for real what the cluster had taken away."""
        self.specs.append(spec)
        if self.refusals:
            reason = self.refusals.pop(0)
            await report(Waiting(reason))
            raise SandboxWaitingError(reason)
        await self.gate.wait()
        before = await self.observe(spec.harness_id)
        is_adopted = (before.state, before.generation) == (SandboxState.RUNNING, spec.generation)
        life = self._life(spec.harness_id)
        life.instead = None
        life.restarts = life.restarts if is_adopted else 0
        started = await self.inner.ensure_running(spec, report)
        return replace(started, restarts=life.restarts)

    async def observe(self, harness_id: HarnessId) -> Observation:
        life = self._life(harness_id)
        seen = life.instead or await self.inner.observe(harness_id)
        return replace(seen, restarts=life.restarts)

    async def observe_all(self) -> Sequence[Observation]:
        if self.fault:
            raise SandboxError(self.fault)
        found = await self.inner.observe_all()
        return [*self.listed, *[await self.observe(one.harness_id) for one in found]]

    async def stop(self, harness_id: HarnessId) -> None:
        """End it, unless something holds that up."""
        self.stops += 1
        await self.end_gate.wait()
        await self._end(harness_id)
        await self.inner.stop(harness_id)

    async def keep_running(self, harness_ids: Collection[HarnessId]) -> int:
        return await self.inner.keep_running(harness_ids)

    async def remove(self, harness_id: HarnessId) -> None:
        """Delete it, unless something holds that up."""
        await self._end(harness_id)
        await self.inner.remove(harness_id)

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        return await self.inner.read_log(harness_id, lines=lines)

    async def create_workspace(self, project_id: ProjectId) -> None:
        await self.inner.create_workspace(project_id)

    async def delete_workspace(self, project_id: ProjectId) -> None:
        await self.inner.delete_workspace(project_id)

    async def list_belongings(
        self, *, project_id: ProjectId | None = None, harness_id: HarnessId | None = None
    ) -> Sequence[str]:
        """Name what there is, beside what is said to be left."""
        there = await self.inner.list_belongings(project_id=project_id, harness_id=harness_id)
        return [*there, *self.left]

    async def watch(self, notice: Notice) -> None:
        """Tell of every sandbox that there is, then of each that changes, until cancelled."""
        changes: asyncio.Queue[HarnessId] = asyncio.Queue()
        for harness_id in self._lives:
            changes.put_nowait(harness_id)
        self._watchers.add(changes)
        try:
            while True:
                await notice(await self.observe(await changes.get()))
        finally:
            self._watchers.discard(changes)

    async def close(self) -> None:
        await self.inner.close()

    async def _end(self, harness_id: HarnessId) -> None:
        if self.holds:
            raise SandboxError(self.holds.pop(0))
        self.ended.append(harness_id)
        self.listed = [one for one in self.listed if one.harness_id != harness_id]
        self._lives.pop(harness_id, None)

    def _life(self, harness_id: HarnessId) -> Life:
        return self._lives.setdefault(harness_id, Life())

    def _tell(self, harness_id: HarnessId) -> None:
        if not self.is_silent:
            for changes in self._watchers:
                changes.put_nowait(harness_id)


async def _ignore(progress: Progress) -> None:
    """Leave unsaid what only the cluster knows of."""


def fake_over(platform: Platform) -> FakeRuntime:
    """Put a fake runtime over the one of a platform that has no worker yet."""
    assert isinstance(platform.runtime, LocalRuntime)
    platform.runtime = runtime = FakeRuntime(platform.runtime)
    return runtime


@asynccontextmanager
async def fake_on(platform: Platform) -> AsyncIterator[FakeRuntime]:
    """Host a worker whose sandboxes run in a fake runtime."""
    runtime = fake_over(platform)
    async with worker_on(platform):
        yield runtime


async def wait_until_healed(
    platform: Platform, harness: HarnessId, user: UserId, count: int
) -> HarnessRecord:
    """Wait until a sandbox has been healed so often and is ready again."""

    async def healed() -> bool:
        row = await platform.harness_row(harness, user)
        return len(row.recoveries) == count and row.sandbox_status is HarnessStatus.READY

    await platform.until(healed, f"{count} recoveries")
    return await platform.harness_row(harness, user)


async def evict_and_hold(platform: Platform, runtime: FakeRuntime, harness: HarnessId) -> None:
    """Evict a sandbox, and hold its recovery back at the gate."""
    runtime.gate.clear()
    asked = len(runtime.specs)
    await runtime.evict(harness)

    async def held() -> bool:
        return len(runtime.specs) > asked

    await platform.until(held, "a recovery at the gate")
