"""Compares sandboxes with their rows: what is lost is told, what nobody wants is ended.

Both sides are read at once, in an order that makes a sandbox look wanted in doubt. What would be
ended is looked at in two sweeps of the same worker, and once more right before.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import structlog
from temporalio.client import Client

from activities.lost_work import sandbox_of, start_again
from activities.sandbox_losses import find_loss, tell_loss
from cattery.db.engine import Database
from cattery.db.sandbox_rows import (
    HarnessFacts,
    find_harness,
    find_harnesses,
    list_live_harnesses,
)
from cattery.db.states import HarnessStatus
from cattery.db.users import any_user_exists
from cattery.errors import SandboxError
from cattery.ids import HarnessId
from cattery.sandboxes.port import Observation, SandboxRuntime, SandboxState
from cattery.temporal.client import is_open
from cattery.temporal.messages import SweepResult
from cattery.temporal.naming import harness_workflow

log = structlog.get_logger(__name__)

ENDS_PATIENCE: Final = 20.0
"""Seconds that one sweep spends on ending sandboxes; the next goes on."""
ENDS_AT_ONCE: Final = 8

type _Sandboxes = Mapping[HarnessId, Observation]
type _Rows = Mapping[HarnessId, HarnessFacts]


class SandboxSweep:
    """The part of a sweep that is about sandboxes. Keeps what the last one found unwanted.

    A dry run ends nothing: it says in the log what it would end, and counts orphans that are left.
    """

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        client: Client,
        *,
        is_dry_run: bool = False,
    ) -> None:
        self._database = database
        self._runtime = runtime
        self._client = client
        self._is_dry_run = is_dry_run
        self.orphans = 0
        """Sandboxes without a row that the last sweep saw and did not end."""
        self._orphans: set[HarnessId] = set()
        self._strays: set[HarnessId] = set()

    async def run(self) -> SweepResult:
        """Compare once; says how many were lost, orphaned and stray.

        Raises:
            SandboxError: the runtime does not answer.
        """
        async with self._database.read() as rows:
            live = {h.harness_id: h for h in await list_live_harnesses(rows)}
        observed = {o.harness_id: o for o in await self._runtime.observe_all()}
        lost = await self._report_lost(live, observed)
        async with self._database.read() as rows:
            known = await find_harnesses(rows, observed.keys())
            is_empty = not await any_user_exists(rows)
        if observed and is_empty:
            log.error("sweep_refused", sandboxes=len(observed), reason="the database has no user")
            self.orphans = len(observed)
            return SweepResult(lost=lost)
        result = SweepResult(
            lost=lost,
            orphans=await self._remove_orphans(observed, known),
            strays=await self._stop_strays(observed, known),
        )
        ready = [one for one, row in live.items() if row.status is HarnessStatus.READY]
        await self._runtime.keep_running(ready)
        return result

    async def _report_lost(self, live: _Rows, observed: _Sandboxes) -> int:
        """Tell the entities of sandboxes that are not as their rows say."""
        lost = 0
        for harness_id, harness in live.items():
            if harness.deleting:
                continue
            if harness.status is HarnessStatus.READY:
                if (loss := find_loss(harness, observed.get(harness_id))) is not None:
                    lost += 1
                    await tell_loss(self._client, harness, loss)
            elif not await is_open(self._client, harness_workflow(harness_id)):
                lost += 1
                await start_again(self._client, sandbox_of(harness))
        return lost

    async def _remove_orphans(self, observed: _Sandboxes, known: _Rows) -> int:
        """Remove sandboxes whose harness has no row, seen so in two sweeps."""
        orphans = set(observed.keys() - known.keys())
        confirmed, self._orphans = orphans & self._orphans, orphans
        ended = await _end_each(confirmed, self._remove_orphan)
        self.orphans = len(orphans) - ended
        return ended

    async def _remove_orphan(self, harness_id: HarnessId) -> bool:
        log.warning("orphaned_sandbox_found", harness_id=str(harness_id), dry_run=self._is_dry_run)
        if self._is_dry_run:
            return False
        await self._runtime.remove(harness_id)
        return True

    async def _stop_strays(self, observed: _Sandboxes, known: _Rows) -> int:
        """Stop sandboxes that run though their row says that none does, seen so in two sweeps.

        Such as one whose start was given up, whose worker hung and went on much later.
        """
        strays = {one for one, seen in observed.items() if _is_stray(seen, known.get(one))}
        confirmed, self._strays = strays & self._strays, strays
        return await _end_each(confirmed, self._stop_stray)

    async def _stop_stray(self, harness_id: HarnessId) -> bool:
        """Stop it unless somebody looks after it: its workflow is the lock on what it does."""
        if await is_open(self._client, harness_workflow(harness_id)):
            return False
        seen = await self._runtime.observe(harness_id)
        async with self._database.read() as rows:
            harness = await find_harness(rows, harness_id)
        if not _is_stray(seen, harness):
            return False
        log.warning(
            "stray_sandbox_found",
            harness_id=str(harness_id),
            generation=seen.generation,
            dry_run=self._is_dry_run,
        )
        if self._is_dry_run:
            return False
        await self._runtime.stop(harness_id)
        return True


def _is_stray(seen: Observation, harness: HarnessFacts | None) -> bool:
    """Tell whether a sandbox runs, of a generation that its row says has ended."""
    if harness is None or harness.deleting:
        return False
    runs = seen.state in (SandboxState.RUNNING, SandboxState.STARTING)
    has_ended = harness.status in (HarnessStatus.IDLE, HarnessStatus.FAILED)
    return runs and has_ended and seen.generation <= harness.generation


async def _end_each(
    harness_ids: Collection[HarnessId], end: Callable[[HarnessId], Awaitable[bool]]
) -> int:
    """End some sandboxes, several at once; returns how many were.

    One that does not end now is left for the next sweep, and holds up none of the others.
    """
    room = asyncio.Semaphore(ENDS_AT_ONCE)

    async def try_to_end(harness_id: HarnessId) -> bool:
        async with room:
            try:
                return await end(harness_id)
            except SandboxError as error:
                log.warning("sandbox_not_ended", harness_id=str(harness_id), error=error.message)
                return False

    ending = [asyncio.create_task(try_to_end(each)) for each in harness_ids]
    if not ending:
        return 0
    done, late = await asyncio.wait(ending, timeout=ENDS_PATIENCE)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return sum(task.result() for task in done)
