"""The course of every deletion: its grace, the point of no return, steps that never give up.

Each deletion workflow is one of these and adds what it deletes. People reach it by an update and
four signals, which only note what they want; the course acts on that, one thing at a time. Its row
in the database has the last word on the point of no return.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.deletion_course import DeletionCourseActivities
    from cattery.errors import ConflictError
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.failures import failure_message
    from cattery.temporal.messages import (
        DeletionFacts,
        DeletionForce,
        DeletionForced,
        DeletionHitch,
        DeletionPart,
        DeletionRef,
        DeletionStep,
        DeletionTarget,
        DeletionUndo,
        DeletionUndone,
    )
    from cattery.temporal.naming import HARNESS_WAITS_QUEUE
    from workflows.timing import DRAIN, ROWS, ROWS_AT_ONCE, TEARDOWN, ActivityOptions

HAS_GRACE = "deletion-has-grace"
"""Before it, a deletion had neither grace nor row, and a step that failed was tried in silence."""

PAUSES = (1, 2, 5, 10)
"""Between tries of a step that is stuck, as multiples of the first pause: a minute."""
TOO_LATE = "This deletion is past the point of no return: it cannot be undone any more."


class DeletionCourse:
    """The state of one deletion and what people may ask of it."""

    def __init__(self, target: DeletionTarget) -> None:
        self._target = target
        self._facts = DeletionFacts(is_due=False)
        self._phase = "starting"
        self._since: datetime | None = None
        self._is_committed = False
        self._hurry = False
        self._is_news = False
        self._retry = False
        self._force: DeletionForce | None = None
        self._undos: list[tuple[str, asyncio.Future[str | None]]] = []

    @workflow.update(name=messages.UNDO_DELETION)
    async def undo(self, wish: DeletionUndo) -> None:
        """Bring everything back, while the grace lasts; says why where that cannot be."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._undos.append((wish.by, answer))
        refusal = await answer
        if refusal is not None:
            raise ApplicationError(refusal, type=ConflictError.code, non_retryable=True)

    @undo.validator
    def _refuse_undo(self, wish: DeletionUndo) -> None:  # noqa: ARG002 - as the update has it
        if self._is_committed:
            raise ApplicationError(TOO_LATE, type=ConflictError.code, non_retryable=True)

    @workflow.signal(name=messages.HURRY_DELETION)
    def delete_now(self) -> None:
        """Skip the rest of the grace."""
        self._hurry = True

    @workflow.signal(name=messages.LOOK_AGAIN)
    def look_again(self) -> None:
        """Read the rows again before the end: the object may have been deleted once more."""
        self._is_news = True

    @workflow.signal(name=messages.RETRY_DELETION)
    def retry_now(self) -> None:
        """Try the step that is stuck again at once."""
        self._retry = True

    @workflow.signal(name=messages.FORCE_DELETION)
    def force(self, wish: DeletionForce) -> None:
        """Skip the step that is stuck. Kept in the record, with the reason."""
        if self._phase == "stuck":
            self._force = wish

    @workflow.query(name="status")
    def status(self) -> dict[str, str]:
        """Return the phase, for operators."""
        return {"phase": self._phase}

    async def _follow(self, delete: Callable[[], Awaitable[None]]) -> str:
        """Lead a deletion to its end, whatever happens to the workflow on the way.

        A cancellation undoes it in its grace; past the point of no return there is no way but on.
        """
        course = asyncio.create_task(self._lead(delete))
        while True:
            try:
                return await asyncio.shield(course)
            except asyncio.CancelledError:
                if course.done():
                    raise
                if self._is_committed:
                    workflow.logger.warning("A deletion past its grace cannot be cancelled")
                else:
                    answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
                    self._undos.append(("an operator", answer))

    async def _lead(self, delete: Callable[[], Awaitable[None]]) -> str:
        outcome = "nothing to delete"
        while True:
            while (await self._load()).is_due:
                if self._facts.wait_seconds is not None and not await self._pass_grace():
                    outcome = "undone"
                    continue
                self._is_committed = True
                await self._answer_undos(TOO_LATE)
                self._enter("deleting")
                await delete()
                outcome = "deleted"
            await self._answer_undos(None if self._facts.is_kept else TOO_LATE)
            self._enter(outcome)
            await workflow.wait_condition(workflow.all_handlers_finished)
            if not self._is_news:
                return outcome

    async def _load(self) -> DeletionFacts:
        """Read how it stands, and again where it has changed meanwhile."""
        self._is_news = True
        while self._is_news:
            self._is_news = False
            self._facts = await workflow.execute_activity_method(
                DeletionCourseActivities.load,
                self._target,
                summary="read how it stands",
                **ROWS,
            )
        return self._facts

    async def _pass_grace(self) -> bool:
        """Wait for the end of the grace; false where everything was brought back instead."""
        self._is_committed = False
        seconds = self._facts.wait_seconds or 0.0
        until = workflow.now() + timedelta(seconds=seconds)
        drain = self._drain() if seconds > 0 else None
        self._enter("grace", f"everything is kept until {until.isoformat(timespec='seconds')}")
        while True:
            left = until - workflow.now()
            with suppress(TimeoutError):
                if left > timedelta(0):
                    await workflow.wait_condition(
                        lambda: self._hurry or bool(self._undos),
                        timeout=left,
                        timeout_summary="the grace",
                    )
            if drain is not None:
                await _cease(drain)
            if self._undos:
                if await self._undo():
                    self._hurry = False
                    return False
                drain = self._drain()
            elif self._hurry or workflow.now() >= until:
                return await self._commit()

    def _drain(self) -> "workflow.ActivityHandle[None]":
        """Begin to stop what runs; the deletion itself does that again, for certain."""
        return workflow.start_activity_method(
            DeletionCourseActivities.drain,
            self._target,
            task_queue=HARNESS_WAITS_QUEUE,
            summary="stop what runs",
            **DRAIN,
        )

    async def _commit(self) -> bool:
        return await workflow.execute_activity_method(
            DeletionCourseActivities.commit,
            self._ref(),
            summary="the point of no return",
            **ROWS,
        )

    async def _undo(self) -> bool:
        """Bring everything back; false where that is refused, which those who asked are told."""
        try:
            await workflow.execute_activity_method(
                DeletionCourseActivities.undo,
                DeletionUndone(deletion_id=self._ref().deletion_id, by=self._undos[0][0]),
                summary="bring everything back",
                **ROWS,
            )
        except ActivityError as error:
            await self._answer_undos(failure_message(error))
            return False
        await self._answer_undos(None)
        return True

    async def _answer_undos(self, refusal: str | None) -> None:
        asked, self._undos = self._undos, []
        for _, answer in asked:
            answer.set_result(refusal)

    def _ref(self) -> DeletionRef:
        if self._facts.deletion_id is None:
            raise ApplicationError("This deletion has no row.", non_retryable=True)
        return DeletionRef(deletion_id=self._facts.deletion_id)

    def _part(self) -> DeletionPart:
        return DeletionPart(
            target=self._target,
            deletion_id=self._facts.deletion_id,
            is_own=self._facts.is_own,
        )

    def _is_full(self, page: Sequence[object]) -> bool:
        """Tell whether there may be more, for which a fresh run is begun."""
        return len(page) >= self._facts.page

    async def _remove_rows(self) -> None:
        """Make sure that nothing is left outside the database, then remove the rows."""
        part = self._part()
        await self._step(
            "looking whether anything is left",
            DeletionCourseActivities.require_nothing_left,
            part.target,
        )
        await self._step("removing the rows", DeletionCourseActivities.purge, part)

    async def _step[T, R](
        self,
        name: str,
        act: Callable[..., Awaitable[R]],
        given: T,
        options: ActivityOptions = TEARDOWN,
    ) -> R | None:
        """Do one step for certain: once it has failed a few times it is stuck, and says so.

        Then it is tried again for ever, with growing pauses or when somebody asks for it. Returns
        `None` where an operator had it skipped.
        """
        await self._tell_step(name)
        bounded: ActivityOptions = {
            **options,
            "retry_policy": RetryPolicy(
                initial_interval=timedelta(seconds=1), maximum_attempts=self._facts.tries
            ),
        }
        since: datetime | None = None
        rounds = attempts = 0
        while True:
            try:
                done = await workflow.execute_activity_method(act, given, summary=name, **bounded)
            except ActivityError as error:
                since = since or workflow.now()
                attempts += 1 if _is_final(error) else self._facts.tries
                factor = PAUSES[min(rounds, len(PAUSES) - 1)]
                pause = timedelta(seconds=self._facts.pause_seconds * factor)
                rounds += 1
                if await self._be_stuck(name, failure_message(error), since, attempts, pause):
                    return None
            else:
                if since is not None:
                    await self._come_free()
                return done

    async def _tell_step(self, name: str) -> None:
        """Say what is being done, in the record too where the deletion is about this object."""
        self._describe(name)
        if self._facts.deletion_id is not None and self._facts.is_own:
            await workflow.execute_local_activity_method(
                DeletionCourseActivities.note_step,
                DeletionStep(deletion_id=self._facts.deletion_id, step=name),
                summary="say what is being done",
                **ROWS_AT_ONCE,
            )

    async def _be_stuck(
        self, step: str, reason: str, since: datetime, attempts: int, pause: timedelta
    ) -> bool:
        """Say what is stuck, and wait before the next try; true where the step is to be skipped."""
        self._retry, self._force = False, None
        next_try = workflow.now() + pause
        self._enter("stuck", _tell_stuck(step, reason, since, attempts, next_try))
        if self._facts.deletion_id is not None:
            await workflow.execute_activity_method(
                DeletionCourseActivities.note_hitch,
                DeletionHitch(
                    deletion_id=self._facts.deletion_id,
                    step=step,
                    reason=reason,
                    since=since,
                    attempts=attempts,
                    next_try_at=next_try,
                ),
                summary="say what is stuck",
                **ROWS,
            )
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._retry or self._force is not None,
                timeout=pause,
                timeout_summary=f"before “{step}” is tried again",
            )
        return await self._skip(step, self._force)

    async def _skip(self, step: str, wish: DeletionForce | None) -> bool:
        """Skip a step where an operator wants it, and keep that; tells whether it was."""
        if wish is None:
            return False
        self._enter("deleting", f"{step}: skipped by {wish.by}: {wish.reason}")
        if self._facts.deletion_id is None:
            return True
        await workflow.execute_activity_method(
            DeletionCourseActivities.note_force,
            DeletionForced(
                deletion_id=self._facts.deletion_id,
                step=step,
                reason=wish.reason,
                by=wish.by,
                at=workflow.now(),
            ),
            summary="keep who had it skipped, and why",
            **ROWS,
        )
        return True

    async def _come_free(self) -> None:
        self._enter("deleting")
        if self._facts.deletion_id is not None:
            await workflow.execute_activity_method(
                DeletionCourseActivities.clear_hitch,
                self._ref(),
                summary="nothing is stuck any more",
                **ROWS,
            )

    def _enter(self, phase: str, what: str = "") -> None:
        self._phase, self._since = phase, workflow.now()
        key = search_attributes.OF_KIND[self._target.kind.value]
        workflow.upsert_search_attributes(
            [
                search_attributes.PHASE.value_set(phase),
                key.value_set(str(self._target.object_id)),
            ]
        )
        self._describe(what)

    def _describe(self, what: str) -> None:
        since = (self._since or workflow.now()).isoformat(timespec="seconds")
        subject = f"{self._target.kind} `{self._target.object_id}`"
        text = f"{subject}: **{self._phase}** since {since}"
        workflow.set_current_details(f"{text}\n\n{what}" if what else text)


async def _cease(drain: "workflow.ActivityHandle[None]") -> None:
    if not drain.done():
        drain.cancel()
    with suppress(ActivityError):
        await drain


def _is_final(error: ActivityError) -> bool:
    return isinstance(error.cause, ApplicationError) and error.cause.non_retryable


def _tell_stuck(step: str, reason: str, since: datetime, attempts: int, next_try: datetime) -> str:
    return (
        f"**{step}** keeps failing since {since.isoformat(timespec='seconds')} "
        f"({attempts} tries): {reason}\n\n"
        f"The next try is at {next_try.isoformat(timespec='seconds')}. Signal `retry_now` tries at "
        "once; signal `force` with `reason` and `by` skips this step."
    )
