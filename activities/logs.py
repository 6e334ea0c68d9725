"""Brings the log of a harness to its row, for the HTTP process, which cannot reach sandboxes."""

from temporalio import activity

from cattery.db.engine import Database
from cattery.db.harness_logs import store_log
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.failures import translated_errors
from cattery.temporal.messages import LogCaptureInput


class LogActivities:
    """Reads logs; their text goes to the database and nowhere else."""

    def __init__(self, database: Database, runtime: SandboxRuntime) -> None:
        self._database = database
        self._runtime = runtime

    @activity.defn(name="log.capture")
    async def capture(self, wanted: LogCaptureInput) -> None:
        """Store the last lines of a harness's log. Of one that has none, what is stored stays."""
        with translated_errors():
            text = await self._runtime.read_log(wanted.harness_id, lines=wanted.lines)
        if text:
            async with self._database.write() as session:
                await store_log(session, wanted.harness_id, text)
