"""The sweep: picks up what fell between two steps, and has sandboxes compared with their rows.

A row and a signal cannot be written in one transaction; whoever writes the row first and dies
leaves something that nobody works on. The sweep finds it and starts it again. It acts on what the
database says; where the database does not answer, it does nothing, and where the runtime does not,
nothing to sandboxes.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.folding import FoldSweep
from activities.idle import NEVER, IdleSweep
from activities.lost_work import PATIENT, Kind, LostWork, Patience, find_lost, start_again
from activities.sandbox_sweep import SandboxSweep
from cattery.db.engine import Database
from cattery.db.site_facts import SWEEP, store_fact
from cattery.db.unfinished import count_stuck_deletions
from cattery.errors import SandboxError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.messages import SweepResult

log = structlog.get_logger(__name__)


class SweepActivities:
    """Sweeps. Keeps between sweeps only what the last one found, to look twice."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        client: Client,
        *,
        patience: Patience = PATIENT,
        idle_timeout: timedelta = NEVER,
        fold_after: timedelta = NEVER,
        is_dry_run: bool = False,
    ) -> None:
        self._database = database
        self._client = client
        self._sandboxes = SandboxSweep(database, runtime, client, is_dry_run=is_dry_run)
        self._idle = IdleSweep(database, client, idle_timeout)
        self._folding = FoldSweep(database, fold_after)
        self._patience = patience
        self._lost_before: set[tuple[Kind, str]] = set()

    @activity.defn(name="sweep.run")
    async def run(self) -> SweepResult:
        """Sweep once; returns what was found and acted on."""
        found = await find_lost(self._database, self._client, self._patience)
        for lost in found:
            await start_again(self._client, lost)
        stuck = await self._count_stuck(found)
        kinds = Counter(lost.kind for lost in found)
        result = SweepResult(
            prompts=kinds[Kind.PROMPT],
            sessions=kinds[Kind.SESSION],
            deletions=kinds[Kind.DELETION],
            file_managers=kinds[Kind.FILE_MANAGER],
            idle=await self._idle.run(),
            folded=await self._folding.run(),
        )
        try:
            seen = await self._sandboxes.run()
        except SandboxError as error:
            log.warning("sandboxes_were_not_swept", error=error.message)
        else:
            result = result.model_copy(update=seen.model_dump(exclude_unset=True))
        if any(result.model_dump().values()):
            log.info("sweep_acted", **result.model_dump())
        await self._write_down(stuck)
        return result

    async def _count_stuck(self, found: Sequence[LostWork]) -> Counter[Kind]:
        """Count what the sweep before this one has started again in vain, and stuck deletions."""
        lost = {(one.kind, one.workflow_id) for one in found if not one.tells_open}
        stuck = Counter(kind for kind, _ in lost & self._lost_before)
        self._lost_before = lost
        async with self._database.read() as rows:
            stuck[Kind.DELETION] += await count_stuck_deletions(rows)
        return stuck

    async def _write_down(self, stuck: Counter[Kind]) -> None:
        """Keep what was found for the metrics of every worker."""
        counts: JsonObject = {kind.value: stuck[kind] for kind in Kind if stuck[kind]}
        async with self._database.write() as rows:
            await store_fact(rows, SWEEP, {"orphans": self._sandboxes.orphans, "stuck": counts})
