"""Hears what the runtime sees of sandboxes, and tells the workflows that own them.

Every worker hears the same; a workflow looks for itself before it acts, and does nothing twice.
What one worker misses, because it was not there or the cluster was not, the sweep finds.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import uniform
from typing import Final

import structlog
from temporalio.client import Client

from activities.sandbox_losses import find_loss, tell_loss
from cattery.db.engine import Database
from cattery.db.sandbox_rows import HarnessFacts, SandboxRows, find_harnesses
from cattery.db.states import HarnessStatus
from cattery.ids import HarnessId
from cattery.sandboxes.port import Observation, SandboxRuntime, SandboxState
from cattery.temporal.failures import first_line
from cattery.temporal.messages import SandboxLost

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
"""Seconds between tries, where the runtime, the database or Temporal does not answer."""


@asynccontextmanager
async def observing(
    database: Database, runtime: SandboxRuntime, client: Client
) -> AsyncIterator[None]:
    """Watch while the body runs. Nothing that goes wrong with it ends the body."""
    observer = SandboxObserver(database, runtime, client)
    watching = asyncio.create_task(observer.run(), name="sandbox-observer")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


class SandboxObserver:
    """Watches one runtime for one worker.

    What is heard is only kept; a second task deals with the newest word on each sandbox. So a burst
    costs one look, a database that is away loses nothing, and the watch never waits.
    """

    def __init__(self, database: Database, runtime: SandboxRuntime, client: Client) -> None:
        self._database = database
        self._runtime = runtime
        self._client = client
        self._heard: dict[HarnessId, Observation] = {}
        self._woken = asyncio.Event()
        self._restarts: dict[HarnessId, tuple[int, int]] = {}
        """Generation and restarts that a workflow was told of last."""

    async def run(self) -> None:
        """Watch until cancelled; returns at once where the runtime cannot see changes."""
        dealing = asyncio.create_task(self._deal_for_ever(), name="sandbox-observer-dealing")
        try:
            await self._watch()
        finally:
            dealing.cancel()
            await asyncio.gather(dealing, return_exceptions=True)

    async def _watch(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            try:
                return await self._runtime.watch(self._hear)
            except Exception as error:  # noqa: BLE001 - whatever it is, watching goes on
                log.warning("sandbox_watch_failed", error=repr(error)[:300])
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * uniform(0.5, 1))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _hear(self, observed: Observation) -> None:
        self._heard[observed.harness_id] = observed
        self._woken.set()

    async def _deal_for_ever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await self._woken.wait()
            self._woken.clear()
            heard, self._heard = self._heard, {}
            try:
                await self._deal(heard)
                pause = FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - it is dealt with again
                log.warning("sandbox_observer_failed", error=repr(error)[:300])
                self._heard = {**heard, **self._heard}
                self._woken.set()
                await asyncio.sleep(pause * uniform(0.5, 1))  # noqa: S311 - jitter
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _deal(self, heard: dict[HarnessId, Observation]) -> None:
        """Deal with what was heard, and take it out; what fails stays in."""
        async with self._database.read() as rows:
            harnesses = await find_harnesses(rows, list(heard))
        for harness_id, observed in list(heard.items()):
            harness = harnesses.get(harness_id)
            if harness is None:
                self._restarts.pop(harness_id, None)
            elif _says_it_is_ready(harness) and harness.generation == observed.generation:
                await self._compare(harness, observed)
            del heard[harness_id]

    async def _compare(self, harness: HarnessFacts, observed: Observation) -> None:
        if observed.state is SandboxState.ABSENT:
            return  # it is being ended or was ended by somebody: the sweep tells which
        lost = find_loss(harness, observed)
        if lost is not None:
            await self._tell(harness, observed, lost)
        elif observed.state is SandboxState.STARTING:
            await self._note_waiting(harness, first_line(observed.reason) or None)
        else:
            await self._note_waiting(harness, None)
            if observed.restarts and self._is_news(observed):
                restarted = SandboxLost(
                    generation=harness.generation,
                    reason=observed.reason,
                    crashed=False,
                    restarts=observed.restarts,
                )
                await self._tell(harness, observed, restarted)

    def _is_news(self, observed: Observation) -> bool:
        told = self._restarts.get(observed.harness_id)
        return told != (observed.generation, observed.restarts)

    async def _note_waiting(self, harness: HarnessFacts, reason: str | None) -> None:
        if harness.waiting == reason:
            return
        async with self._database.write() as session:
            rows = SandboxRows(session, harness.harness_id, harness.generation)
            await rows.note_waiting(reason)

    async def _tell(self, harness: HarnessFacts, observed: Observation, lost: SandboxLost) -> None:
        log.warning(
            "sandbox_change_told",
            harness_id=str(harness.harness_id),
            generation=harness.generation,
            state=observed.state.value,
            recoverable=lost.recoverable,
            moved=lost.moved,
            restarts=lost.restarts,
        )
        await tell_loss(self._client, harness, lost)
        self._restarts[harness.harness_id] = (observed.generation, observed.restarts)


def _says_it_is_ready(harness: HarnessFacts) -> bool:
    return harness.status is HarnessStatus.READY and not harness.deleting
