"""The sweep: picks up what fell between two steps, and has sandboxes compared with their rows.

A row and a signal cannot be written in one transaction; whoever writes the row first and dies
leaves something that nobody works on. The sweep finds it and starts it again. It acts on what the
database says; where the database does not answer, it does nothing, and where the runtime does not,
nothing to sandboxes.
"""

from collections import Counter
from datetime import timedelta

import structlog
from temporalio import activity
from temporalio.client import Client

from activities.idle import NEVER, IdleSweep
from activities.lost_work import PATIENT, Kind, Patience, find_lost, start_again
from activities.sandbox_sweep import SandboxSweep
from cattery.db.engine import Database
from cattery.errors import SandboxError
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.messages import SweepResult

log = structlog.get_logger(__name__)


class SweepActivities:
    """Sweeps. Keeps between sweeps only which sandboxes nobody wants, to look twice."""

    def __init__(
        self,
        database: Database,
        runtime: SandboxRuntime,
        client: Client,
        *,
        patience: Patience = PATIENT,
        idle_timeout: timedelta = NEVER,
    ) -> None:
        self._database = database
        self._client = client
        self._sandboxes = SandboxSweep(database, runtime, client)
        self._idle = IdleSweep(database, client, idle_timeout)
        self._patience = patience

    @activity.defn(name="sweep.run")
    async def run(self) -> SweepResult:
        """Sweep once; returns what was found and acted on."""
        found = await find_lost(self._database, self._client, self._patience)
        for lost in found:
            await start_again(self._client, lost)
        kinds = Counter(lost.kind for lost in found)
        result = SweepResult(
            prompts=kinds[Kind.PROMPT],
            sessions=kinds[Kind.SESSION],
            deletions=kinds[Kind.DELETION],
            file_managers=kinds[Kind.FILE_MANAGER],
            idle=await self._idle.run(),
        )
        try:
            seen = await self._sandboxes.run()
        except SandboxError as error:
            log.warning("sandboxes_were_not_swept", error=error.message)
        else:
            result = result.model_copy(update=seen.model_dump(exclude_unset=True))
        if any(result.model_dump().values()):
            log.info("sweep_acted", **result.model_dump())
        return result
