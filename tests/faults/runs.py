"""One run of one lifecycle, with or without the death of its worker, until nothing is left."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tests.faults.invariants import Outside, find_traces, find_violations
from tests.faults.lifecycles import (
    Lifecycle,
    Scene,
    delete_user,
    find_harnesses_left,
    has_no_user,
    set_scene,
    wait,
)
from tests.faults.nursery import CutWorker, SeenCall
from tests.faults.sites import Lane

CONVERGE_SECONDS: Final = 150.0
"""In which what was asked for must have come true, whatever was killed. The longest time-out that a
killed worker leaves is 95 s, of a turn whose death no other worker noticed; an activity's without
heartbeats, 30 s, may follow it."""
SETTLE_SECONDS: Final = 10.0
"""For what ends by itself: a supervisor, a pod, a token."""
LAST_CALLS_SECONDS: Final = 1.0
"""For calls that follow once everything has come true, such as the end of the last activity."""
BEFORE: Final = "before the first call"


@dataclass(frozen=True)
class Cut:
    """One place to die at."""

    lifecycle: Lifecycle
    number: int
    """The place of the call in the undisturbed run; 0 is before the first."""
    call: str


@dataclass(frozen=True)
class Outcome:
    """What came of one cut."""

    site: str
    cut: Cut
    was_reached: bool
    seconds: float
    """From the worker's death until everything had come true."""
    left: list[str]
    log: str

    @property
    def survived(self) -> bool:
        return self.was_reached and not self.left


async def count_calls(lane: Lane, lifecycle: Lifecycle) -> tuple[list[SeenCall], list[str]]:
    """Run a lifecycle undisturbed; return its calls, and what was wrong even so."""
    run = _Run(lane, lifecycle, None)
    left = await run.run()
    if run.died_at is not None:
        left = [*left, f"the worker ended by itself:\n{run.log()}"]
    return run.calls, left


async def try_cut(lane: Lane, cut: Cut) -> Outcome:
    """Run a lifecycle, kill the worker at one call, and look what comes of it."""
    run = _Run(lane, cut.lifecycle, cut.call)
    left = await run.run()
    seconds = max(0.0, run.done_at - run.died_at) if run.died_at and run.done_at else 0.0
    was_reached = run.died_at is not None
    return Outcome(lane.site.name, cut, was_reached, seconds, left, run.log() if left else "")


class _Run:
    """One run of one lifecycle."""

    def __init__(self, lane: Lane, lifecycle: Lifecycle, cut: str | None) -> None:
        self._lane = lane
        self._lifecycle = lifecycle
        self._cut = cut
        self._before: set[str] = set()
        """What an earlier run that failed had left: it is not this one's."""
        self._scene: Scene | None = None
        self._workers: list[CutWorker] = []
        self.calls: list[SeenCall] = []
        self.died_at: float | None = None
        self.done_at: float | None = None

    async def run(self) -> list[str]:
        """Do it from its beginning to the end of all that it made; return what was not right."""
        worker = await self._lane.worker()
        self._workers.append(worker)
        keeping = asyncio.create_task(self._keep_a_worker(worker))
        try:
            return await self._run(worker)
        except Exception as error:  # what goes wrong in one run must not end the campaign
            left = [f"{type(error).__name__}: {error}", *await self._list_open_workflows()]
            await self._clear()
            return left
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def log(self) -> str:
        return "\n".join(f"{worker.name}:\n{worker.tail()}" for worker in self._workers)

    async def _clear(self) -> None:
        """Take away what a failed run leaves, as well as can be, so that the next sees its own."""
        if self._scene is None:
            return
        with suppress(Exception):
            await delete_user(self._lane, self._scene)
            await wait(self._lane, self._scene, has_no_user, CONVERGE_SECONDS)

    async def _list_open_workflows(self) -> list[str]:
        """Say what is under way that should be over, and what of it is tried."""
        client = self._lane.platform.client
        found = []
        async for one in client.list_workflows('ExecutionStatus = "Running"'):
            handle = client.get_workflow_handle(one.id, run_id=one.run_id)
            raw = (await handle.describe()).raw_description
            doing = [
                f"{each.activity_type.name} (try {each.attempt}) {each.last_failure.message}"
                for each in raw.pending_activities
            ]
            if raw.HasField("pending_workflow_task"):
                doing.append(f"workflow task (try {raw.pending_workflow_task.attempt})")
            found.append(f"open: {one.id}: {', '.join(doing) or 'waits'}")
        return found

    async def _run(self, worker: CutWorker) -> list[str]:
        lane, lifecycle = self._lane, self._lifecycle
        self._before = {one.name for one in await lane.site.belongings(lane)}
        scene = self._scene = await set_scene(lane)
        for step in lifecycle.prepare:
            await step(lane, scene)
        if self._cut == BEFORE:
            worker.kill()
        else:
            await worker.arm(scene.ids, self._cut)
        await lifecycle.act(lane, scene)
        await wait(lane, scene, lifecycle.is_done, CONVERGE_SECONDS)
        self.done_at = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_CALLS_SECONDS):
                await worker.died.wait()
        self.calls = worker.calls()
        if not worker.died.is_set():
            await worker.disarm()
        return await self._finish(scene)

    async def _finish(self, scene: Scene) -> list[str]:
        """Look whether everything holds, then delete the user and look that nothing is left."""
        lane = self._lane
        # A suspension has come true once it is claimed; the next worker ends what it left running.
        patience = CONVERGE_SECONDS if self._cut else SETTLE_SECONDS
        left = await _until_empty(lambda: self._find_violations(scene), patience)
        if not await has_no_user(lane, scene):
            await delete_user(lane, scene)
            await wait(lane, scene, has_no_user, CONVERGE_SECONDS)
        return left + await _until_empty(lambda: self._find_left(scene), SETTLE_SECONDS)

    async def _keep_a_worker(self, worker: CutWorker) -> None:
        """Start another worker whenever one dies, as whatever supervises it does."""
        while True:
            await worker.died.wait()
            self.died_at = self.died_at or time.monotonic()
            worker = await self._lane.worker()
            self._workers.append(worker)

    async def _find_violations(self, scene: Scene) -> list[str]:
        lane = self._lane
        harnesses = await find_harnesses_left(lane, scene)
        outside = Outside(
            belongings=await lane.site.belongings(lane),
            posted={each: await lane.site.posted(lane, each) for each in harnesses},
            acknowledged=scene.prompts if harnesses else (),
        )
        return await find_violations(lane.platform.database, outside)

    async def _find_left(self, scene: Scene) -> list[str]:
        lane = self._lane
        outside = await lane.site.belongings(lane)
        mine = [one for one in outside if one.name not in self._before]
        return [f"left: {one.kind} {one.name}" for one in mine] + [
            f"left: {trace}" for trace in await find_traces(lane.platform.database, scene.ids)
        ]


async def _until_empty(look: Callable[[], Awaitable[list[str]]], seconds: float) -> list[str]:
    """Look until there is nothing to be said, for a while; return what was said last."""
    deadline = time.monotonic() + seconds
    while (found := await look()) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return found
