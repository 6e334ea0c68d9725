"""The sandbox of one harness, as an entity: the lock on everything that starts or ends it.

Whoever wants something says so by an update or a signal, which only notes the wish; the loop
compares wish and state and acts, one thing at a time. While the sandbox lives the workflow is
open; it completes when the sandbox was stopped, suspended or failed, and the next wish starts it
again.

A sandbox that was lost is looked at before that is believed, and healed where starting it again is
the remedy. One that waits for room waits for ever: that is no failure.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.idle import IdleActivities
    from activities.sandboxes import SandboxActivities
    from cattery.errors import SandboxError, SandboxFailedError, SandboxWaitingError
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.failures import failure_code, failure_message
    from cattery.temporal.messages import (
        FailureNote,
        HarnessRef,
        HarnessSandboxInput,
        ProvisionInput,
        RecoveryNote,
        SandboxFacts,
        SandboxHealth,
        SandboxIdle,
        SandboxLost,
        SandboxProgress,
        SandboxReady,
        SandboxSeen,
    )
    from cattery.temporal.naming import SANDBOX_QUEUE
    from workflows.sandbox_phases import COMING_UP, WITH_REASON, Phase, Wish
    from workflows.timing import BRING_UP, FIRST_TEARDOWN, ROWS, ROWS_AT_ONCE, TEARDOWN

LINGER = timedelta(seconds=30)
"""How long a workflow without a sandbox waits for the next wish before it completes."""
WAITING_PAUSES = (timedelta(seconds=15), timedelta(seconds=30), timedelta(seconds=60))
"""Between two tries to find room, the last again and again. A try itself waits for minutes, so that
an hour makes some 400 events, and no more than 1,800 with a runtime that never waits."""
ROLL_PAUSE = timedelta(seconds=1)
"""Between the answers to those who wait and continue-as-new, which must not share a task."""

LOOKS_CLOSER = "sandbox-looks-closer"
"""Patch: `sandbox.inspect` instead of `sandbox.is_running`, and healing by what it finds."""
LOADS_LOCALLY = "sandbox-loads-locally"
"""Patch: `sandbox.load` as a local activity."""
SUSPENDS = "sandbox-suspends"
"""Patch: a sandbox that is said to be idle is looked at and suspended. Workers of before ignore the
signal, so that a history may have it without what follows."""


@workflow.defn(name=messages.HARNESS_SANDBOX)
class HarnessSandboxWorkflow:
    """Owns a harness's sandbox."""

    @workflow.init
    def __init__(self, sandbox: HarnessSandboxInput) -> None:
        self._sandbox = sandbox
        self._phase = Phase.IDLE
        self._since = ""
        self._wish = Wish.NOTHING
        self._generation = 0
        self._name = ""
        self._failure = _STOPPED
        self._lost: SandboxLost | None = None
        self._idle: SandboxIdle | None = None
        self._restarts = sandbox.restarts
        """Restarts in place that were dealt with; `None`: the next look tells."""
        self._asked = 0
        """Wishes so far; `_served` is how many of them the loop has dealt with."""
        self._served = 0
        self._joined = 0
        """The last wish to run that the start under way serves."""
        self._is_rolling = False

    @workflow.run
    async def run(self, sandbox: HarnessSandboxInput) -> str:
        """Serve wishes until there is no sandbox and no wish; returns the last phase."""
        facts = await self._load()
        self._generation, self._name = facts.generation, facts.name
        self._enter(Phase.READY if facts.ready else Phase.IDLE)
        if sandbox.is_waiting and not facts.ready and not self._is_unwanted():
            await self._bring_up(Phase.WAITING)
            self._served = max(self._served, self._joined)
        while await self._has_wish():
            covers = self._asked
            await self._serve()
            self._served = max(covers, self._joined)
            if workflow.info().is_continue_as_new_suggested() and self._may_roll():
                self._roll(is_waiting=False)
        return self._phase.value

    @workflow.update(name=messages.ENSURE_READY)
    async def ensure_ready(self) -> SandboxReady:
        """Have a sandbox that answers; joins a start or a recovery that is under way.

        Fails with the reason where the start fails or somebody stops it. Fails as one that waits
        where this run ends in the middle of a wait: ask again, the next run goes on.
        """
        self._note(Wish.RUN)
        mine = self._asked
        await workflow.wait_condition(lambda: self._served >= mine or self._is_rolling)
        if self._served < mine:
            raise ApplicationError("The sandbox waits.", type=SandboxWaitingError.code)
        if self._phase is not Phase.READY:
            raise ApplicationError(self._failure, type="sandbox", non_retryable=True)
        return SandboxReady(generation=self._generation)

    @ensure_ready.validator
    def _refuse_when_deleting(self) -> None:
        if self._wish is Wish.DELETE or self._phase is Phase.DELETED:
            raise ApplicationError("The harness is being deleted.", type="not_found")

    @workflow.update(name=messages.STOP_SANDBOX)
    async def stop(self) -> None:
        """Stop the sandbox, in the middle of its start too; returns when it has ended."""
        await self._ask(Wish.STOP)

    @workflow.update(name=messages.DELETE_SANDBOX)
    async def delete(self) -> None:
        """Stop the sandbox for good and delete what it leaves, but for the workspace."""
        await self._ask(Wish.DELETE)

    @workflow.signal(name=messages.START_SANDBOX)
    def start(self) -> None:
        """Begin to start the sandbox; nothing where it runs."""
        self._note(Wish.RUN)

    @workflow.signal(name=messages.SANDBOX_LOST)
    def lose(self, lost: SandboxLost) -> None:
        """Hear that somebody found the sandbox dead; it is looked at before it is believed."""
        self._lost = lost

    @workflow.signal(name=messages.SUSPEND_SANDBOX)
    def suspend(self, idle: SandboxIdle) -> None:
        """Hear that nobody uses the sandbox; that is looked at again before it is suspended."""
        if self._phase is Phase.READY:
            self._idle = idle

    @workflow.signal(name=messages.SANDBOX_PROGRESS)
    def show_progress(self, progress: SandboxProgress) -> None:
        """Hear how far the start has come; operators see it in the current details."""
        if progress.generation == self._generation and self._phase in COMING_UP:
            self._describe(progress.text)

    @workflow.query(name="status")
    def status(self) -> dict[str, str | int]:
        """Return phase, generation and the last failure, for operators."""
        return {
            "phase": self._phase.value,
            "generation": self._generation,
            "failure": self._failure if self._phase in WITH_REASON else "",
        }

    async def _ask(self, wish: Wish) -> None:
        self._note(wish)
        mine = self._asked
        await workflow.wait_condition(lambda: self._served >= mine)

    async def _load(self) -> SandboxFacts:
        """Read the harness within the present task, so that a start takes one round less."""
        ref = HarnessRef(harness_id=self._sandbox.harness_id)
        if workflow.patched(LOADS_LOCALLY):
            return await workflow.execute_local_activity_method(
                SandboxActivities.load, ref, summary="read the harness", **ROWS_AT_ONCE
            )
        return await workflow.execute_activity_method(
            SandboxActivities.load, ref, summary="read the harness", **ROWS
        )

    def _note(self, wish: Wish) -> None:
        self._asked += 1
        is_coming_up = self._phase in COMING_UP and self._wish is Wish.NOTHING
        if wish is Wish.RUN and is_coming_up:
            self._joined = self._asked
        elif self._wish is not Wish.DELETE:
            self._wish = wish

    def _is_unwanted(self) -> bool:
        return self._wish in (Wish.STOP, Wish.DELETE)

    async def _has_wish(self) -> bool:
        """Wait for something to do; false when the workflow may complete."""
        live = self._phase is Phase.READY
        try:
            await workflow.wait_condition(
                lambda: (
                    self._wish is not Wish.NOTHING
                    or self._lost is not None
                    or self._idle is not None
                ),
                timeout=None if live else LINGER,
                timeout_summary="no sandbox; completes when nobody wants one",
            )
        except TimeoutError:
            await workflow.wait_condition(workflow.all_handlers_finished)
            return self._wish is not Wish.NOTHING
        return True

    async def _serve(self) -> None:
        wish, self._wish = self._wish, Wish.NOTHING
        lost, self._lost = self._lost, None
        idle, self._idle = self._idle, None
        match wish:
            case Wish.RUN:
                await self._have_it_run()
            case Wish.STOP:
                await self._stop()
            case Wish.DELETE:
                await self._delete()
            case Wish.NOTHING if self._phase is Phase.READY:
                if lost and lost.generation == self._generation:
                    await self._check_loss(lost)
                elif idle and idle.generation in (0, self._generation):
                    await self._suspend()

    async def _have_it_run(self) -> None:
        """Start the sandbox unless it runs; bring one back that only has to be started again."""
        if self._phase is not Phase.READY:
            await self._start()
        elif not workflow.patched(LOOKS_CLOSER):
            if not await self._is_running():
                await self._start()
        else:
            seen = await self._inspect()
            if seen.health is SandboxHealth.COMING or self._needs_healing(seen):
                await self._heal(seen.reason)
            elif seen.health is not SandboxHealth.SOUND:
                await self._start()

    async def _check_loss(self, lost: SandboxLost) -> None:
        """Look at a sandbox that is said to be lost, and do what is right for it.

        Of one that is coming up by itself its runtime tells again once it runs. What was told of
        one that is sound was dealt with before, and is not why it is healed now.
        """
        if not workflow.patched(LOOKS_CLOSER):
            if not await self._is_running():
                await self._give_up(lost.reason, has_crashed=lost.crashed)
            return
        seen = await self._inspect()
        is_sound = seen.health is SandboxHealth.SOUND
        reason = seen.reason or ("" if is_sound else lost.reason)
        if self._needs_healing(seen):
            await self._heal(reason)
        elif seen.health in (SandboxHealth.FAILED, SandboxHealth.GONE):
            has_crashed = lost.crashed or seen.health is SandboxHealth.FAILED
            await self._give_up(reason, has_crashed=has_crashed)

    async def _inspect(self) -> SandboxSeen:
        seen = await workflow.execute_activity_method(
            SandboxActivities.inspect,
            self._task(),
            task_queue=SANDBOX_QUEUE,
            summary="look at the sandbox",
            **ROWS,
        )
        if self._restarts is None and seen.health is SandboxHealth.SOUND:
            self._restarts = seen.restarts
        return seen

    def _needs_healing(self, seen: SandboxSeen) -> bool:
        match seen.health:
            case SandboxHealth.MOVED:
                return True
            case SandboxHealth.FAILED:
                return seen.recoverable
            case SandboxHealth.SOUND:
                return self._restarts is not None and seen.restarts > self._restarts
            case _:
                return False

    async def _heal(self, reason: str) -> None:
        """Bring this generation back, a bounded number of times within a while."""
        reason = reason or "Its program ended and was started again."
        self._failure = reason
        may_recover = await workflow.execute_activity_method(
            SandboxActivities.note_recovery,
            RecoveryNote(
                harness_id=self._sandbox.harness_id,
                generation=self._generation,
                at=workflow.now(),
                reason=reason,
            ),
            task_queue=SANDBOX_QUEUE,
            summary="note the recovery",
            **ROWS,
        )
        if may_recover:
            await self._bring_up(Phase.RECOVERING)
        else:
            await self._fail(_LOST_TOO_OFTEN.format(reason=reason), show_log=True)

    async def _give_up(self, reason: str, *, has_crashed: bool) -> None:
        if has_crashed:
            message = f"The sandbox ended by itself. {reason}".strip()
            await self._fail(message, show_log=True)
        else:
            await self._stop()

    async def _start(self) -> None:
        """Start the next generation, unless a stop or a deletion comes in between."""
        self._generation += 1
        await self._bring_up(Phase.STARTING)

    async def _bring_up(self, phase: Phase) -> None:
        """Have this generation's sandbox answer, however long it has to wait for room."""
        tries = 0
        while await self._provision(phase):
            if phase is not Phase.WAITING:
                phase = Phase.WAITING
                self._enter(phase)
            if workflow.info().is_continue_as_new_suggested():
                await self._roll_while_waiting()
            asked = self._asked
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._asked > asked,  # noqa: B023 - awaited here
                    timeout=WAITING_PAUSES[min(tries, len(WAITING_PAUSES) - 1)],
                    timeout_summary="waits for room",
                )
            if self._is_unwanted():
                self._failure = _STOPPED
                return
            tries += 1

    async def _provision(self, phase: Phase) -> bool:
        """Try to bring the sandbox up; true where there is no room for it now."""
        if phase is not self._phase:
            self._enter(phase)
        provisioning = workflow.start_activity_method(
            SandboxActivities.provision,
            self._task(),
            task_queue=SANDBOX_QUEUE,
            summary=f"start generation {self._generation}",
            **BRING_UP,
        )
        await workflow.wait_condition(lambda: provisioning.done() or self._is_unwanted())
        is_given_up = not provisioning.done()
        if is_given_up:
            self._failure = _STOPPED
            self._enter(Phase.STOPPING)
            provisioning.cancel()
        try:
            ready = await provisioning
        except ActivityError as error:
            if is_given_up:
                return False
            code, message = failure_code(error), failure_message(error)
            if code == SandboxWaitingError.code:
                self._failure = message
                return True
            show_log = code in (SandboxError.code, SandboxFailedError.code)
            await self._fail(message, show_log=show_log)
        else:
            self._restarts = ready.restarts
            self._enter(Phase.READY)
        return False

    async def _fail(self, message: str, *, show_log: bool) -> None:
        self._failure = message
        note = FailureNote(
            harness_id=self._sandbox.harness_id,
            generation=self._generation,
            message=message,
            show_log=show_log,
        )
        await self._end(SandboxActivities.fail, note, "clean up and say why")
        self._enter(Phase.FAILED)

    async def _stop(self) -> None:
        self._failure = _STOPPED
        self._enter(Phase.STOPPING)
        await self._end(SandboxActivities.stop, self._task(), "end the sandbox")
        self._enter(Phase.IDLE)

    async def _suspend(self) -> None:
        """Let the sandbox sleep, unless somebody uses it by now.

        Who prompts from here on finds in the rows that it sleeps, and wakes it: that wish is served
        once it has ended.
        """
        if not workflow.patched(SUSPENDS):
            return
        is_idle = await workflow.execute_activity_method(
            IdleActivities.claim, self._task(), summary="look whether it is still idle", **ROWS
        )
        if not is_idle:
            return
        self._failure = _SUSPENDED
        self._enter(Phase.STOPPING)
        await self._end(SandboxActivities.stop, self._task(), "suspend the sandbox")
        self._enter(Phase.SUSPENDED)

    async def _delete(self) -> None:
        await self._stop()
        ref = HarnessRef(harness_id=self._sandbox.harness_id)
        await self._end(SandboxActivities.remove, ref, "delete what it leaves")
        self._enter(Phase.DELETED)

    async def _end[T](
        self, act: Callable[[SandboxActivities, T], Awaitable[None]], given: T, summary: str
    ) -> None:
        """End something, however long it takes; once it is held up, say by what."""
        try:
            await workflow.execute_activity_method(
                act, given, task_queue=SANDBOX_QUEUE, summary=summary, **FIRST_TEARDOWN
            )
        except ActivityError as error:
            self._describe(f"The end is held up, and tried again: {failure_message(error)}")
            await workflow.execute_activity_method(
                act, given, task_queue=SANDBOX_QUEUE, summary=summary, **TEARDOWN
            )

    async def _is_running(self) -> bool:
        return await workflow.execute_activity_method(
            SandboxActivities.is_running,
            self._task(),
            task_queue=SANDBOX_QUEUE,
            summary="look at the sandbox",
            **ROWS,
        )

    def _task(self) -> ProvisionInput:
        return ProvisionInput(harness_id=self._sandbox.harness_id, generation=self._generation)

    def _may_roll(self) -> bool:
        return (
            self._wish is Wish.NOTHING
            and self._lost is None
            and self._idle is None
            and workflow.all_handlers_finished()
        )

    async def _roll_while_waiting(self) -> None:
        """Go on in a fresh run; those who wait here are sent to it. A stop comes before that."""
        self._is_rolling = True
        await workflow.wait_condition(
            lambda: workflow.all_handlers_finished() or self._is_unwanted()
        )
        await workflow.sleep(ROLL_PAUSE, summary="before the next run")
        if workflow.all_handlers_finished() and not self._is_unwanted():
            self._roll(is_waiting=True)
        self._is_rolling = False

    def _roll(self, *, is_waiting: bool) -> NoReturn:
        known = {"restarts": self._restarts, "is_waiting": is_waiting}
        workflow.continue_as_new(self._sandbox.model_copy(update=known))

    def _enter(self, phase: Phase) -> None:
        self._phase, self._since = phase, workflow.now().isoformat(timespec="seconds")
        workflow.upsert_search_attributes(
            [
                search_attributes.HARNESS.value_set(str(self._sandbox.harness_id)),
                search_attributes.PROJECT.value_set(str(self._sandbox.project_id)),
                search_attributes.PHASE.value_set(phase.value),
            ]
        )
        self._describe(self._failure if phase in WITH_REASON else "")

    def _describe(self, reason: str) -> None:
        workflow.set_current_details(
            f"Harness **{self._name}**, generation {self._generation}: "
            f"**{self._phase.value}** since {self._since}" + (f"\n\n{reason}" if reason else "")
        )


_STOPPED = "The sandbox was stopped."
_SUSPENDED = "Nobody used the sandbox. The next prompt starts it again."
_LOST_TOO_OFTEN = (
    "The sandbox was brought back 3 times in 10 minutes and was lost again. Last: {reason} "
    "Look at its log, then start it again."
)
