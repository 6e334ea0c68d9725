"""Shows how far a start has come: in the harness's row, and in its workflow's current details.

Nothing that is reported holds the start up: one task writes what is new, and what comes while it
writes goes with the next write.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from temporalio import activity
from temporalio.service import RPCError

from cattery.db.engine import Database
from cattery.db.sandbox_rows import SandboxRows
from cattery.ids import HarnessId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.port import Progress, Report, RuntimeEvent, Step, StepName, Waiting
from cattery.temporal.messages import SANDBOX_PROGRESS, SandboxProgress

log = structlog.get_logger(__name__)

EVENTS_KEPT: Final = 50
"""Events of one start that its row keeps, the newest."""
SETTLED: Final = 1.0
"""Seconds that a step lasts before the workflow is told of it. Operators read of what takes long;
telling it of every step would make half of a short start's history."""
RETRY_PAUSE: Final = 1.0


class ProgressWriter:
    """Keeps what one try of a start reports, and writes it."""

    def __init__(self, database: Database, harness_id: HarnessId, generation: int) -> None:
        self._database = database
        self._harness_id = harness_id
        self._generation = generation
        self._steps: dict[StepName, Step] = {}
        self._events: dict[str, RuntimeEvent] = {}
        self._waiting: str | None = None
        self._is_written = True
        self._news = asyncio.Event()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Report]:
        """Write what the body reports, all of it before this ends."""
        tasks = [asyncio.create_task(self._write_for_ever()), asyncio.create_task(self._tell())]
        try:
            yield self._note
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if not self._is_written:
                await self._write()

    async def _note(self, progress: Progress) -> None:
        """Keep a step, an event (in place of an earlier one of its name) or what is waited for."""
        match progress:
            case Step():
                self._steps[progress.name] = progress
            case RuntimeEvent():
                self._events.pop(progress.key, None)
                self._events[progress.key] = progress
            case Waiting():
                self._waiting = progress.reason
        self._is_written = False
        self._news.set()

    async def _write_for_ever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._write()
            except Exception as error:  # noqa: BLE001 - such as a database that is away: go on
                harness_id = str(self._harness_id)
                log.warning("progress_was_not_written", harness_id=harness_id, error=str(error))
                self._news.set()
                await asyncio.sleep(RETRY_PAUSE)

    async def _write(self) -> None:
        steps: list[Json] = [_describe_step(step) for step in self._steps.values()]
        events = list(self._events.values())[-EVENTS_KEPT:]
        described: list[Json] = [_describe_event(event) for event in events]
        self._is_written = True
        try:
            async with self._database.write() as session:
                rows = SandboxRows(session, self._harness_id, self._generation)
                await rows.write_progress(steps, described, self._waiting)
        except BaseException:
            self._is_written = False
            raise

    async def _tell(self) -> None:
        """Tell the workflow what is waited for, once that lasts; it does without where it must."""
        workflow_id = activity.info().workflow_id
        if workflow_id is None:
            return
        handle = activity.client().get_workflow_handle(workflow_id)
        told = ""
        while True:
            text = self._summarise()
            await asyncio.sleep(SETTLED)
            if text in ("", told) or text != self._summarise():
                continue
            with suppress(RPCError):
                note = SandboxProgress(generation=self._generation, text=text)
                await handle.signal(SANDBOX_PROGRESS, note)
                told = text

    def _summarise(self) -> str:
        """Say what the start is at; empty where it is at nothing."""
        if self._waiting is not None:
            return self._waiting
        under_way = [step for step in self._steps.values() if step.finished_at is None]
        last = under_way[-1] if under_way else None
        return f"{last.name.value}: {last.detail or 'under way'}" if last else ""


def _describe_step(step: Step) -> JsonObject:
    return {
        "name": step.name.value,
        "started_at": step.started_at.isoformat(),
        "finished_at": step.finished_at.isoformat() if step.finished_at else None,
        "detail": step.detail,
    }


def _describe_event(event: RuntimeEvent) -> JsonObject:
    return {
        "at": event.at.isoformat(),
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "is_warning": event.is_warning,
    }
