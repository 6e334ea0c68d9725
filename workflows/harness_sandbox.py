"""The sandbox of one harness, as an entity: the lock on everything that starts or ends it.

Whoever wants something says so by an update or a signal, which only notes the wish; the loop
compares wish and state and acts, one thing at a time. While the sandbox lives the workflow is
open; it completes when the sandbox was stopped or failed, and the next wish starts it again.
"""

from contextlib import suppress
from datetime import timedelta
from enum import StrEnum

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
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
        SandboxLost,
        SandboxReady,
    )
    from cattery.temporal.naming import SANDBOX_QUEUE
    from workflows.timing import PROVISION, ROWS, TEARDOWN

LINGER = timedelta(seconds=30)
"""How long a workflow without a sandbox waits for the next wish before it completes."""
WAITING_PAUSE = timedelta(seconds=5)
LONGEST_WAITING_PAUSE = timedelta(seconds=60)
"""Between two calls that each wait for room for minutes: a day of it stays a short history."""


class Phase(StrEnum):
    """What the sandbox is at; operators see it as a search attribute."""

    IDLE = "idle"
    STARTING = "starting"
    WAITING = "waiting"
    RECOVERING = "recovering"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
    DELETED = "deleted"


COMING_UP = (Phase.STARTING, Phase.WAITING, Phase.RECOVERING)
"""Whoever wants the sandbox to run joins what is under way."""


class Wish(StrEnum):
    """What people and other workflows want of the sandbox."""

    NOTHING = "nothing"
    RUN = "run"
    STOP = "stop"
    DELETE = "delete"


@workflow.defn(name=messages.HARNESS_SANDBOX)
class HarnessSandboxWorkflow:
    """Owns a harness's sandbox."""

    @workflow.init
    def __init__(self, sandbox: HarnessSandboxInput) -> None:
        self._sandbox = sandbox
        self._phase = Phase.IDLE
        self._wish = Wish.NOTHING
        self._generation = 0
        self._name = ""
        self._failure = _STOPPED
        self._lost: SandboxLost | None = None
        self._asked = 0
        """Wishes so far; `_served` is how many of them the loop has dealt with."""
        self._served = 0
        self._joined = 0
        """The last wish to run that the start under way serves."""
        self._restarts = 0
        """Restarts in place of this generation that were dealt with."""

    @workflow.run
    async def run(self, sandbox: HarnessSandboxInput) -> str:
        """Serve wishes until there is no sandbox and no wish; returns the last phase."""
        facts = await workflow.execute_activity_method(
            SandboxActivities.load,
            HarnessRef(harness_id=sandbox.harness_id),
            summary="read the harness",
            **ROWS,
        )
        self._generation, self._name = facts.generation, facts.name
        self._enter(Phase.READY if facts.ready else Phase.IDLE)
        while await self._has_wish():
            covers = self._asked
            await self._serve()
            self._served = max(covers, self._joined)
            if workflow.info().is_continue_as_new_suggested() and self._may_roll():
                workflow.continue_as_new(sandbox)
        return self._phase.value

    @workflow.update(name=messages.ENSURE_READY)
    async def ensure_ready(self) -> SandboxReady:
        """Have a sandbox that answers; joins a start that is under way.

        Fails with the reason where the start fails or somebody stops it.
        """
        await self._ask(Wish.RUN)
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

    @workflow.query(name="status")
    def status(self) -> dict[str, str | int]:
        """Return phase, generation and the last failure, for operators."""
        return {
            "phase": self._phase.value,
            "generation": self._generation,
            "failure": self._failure if self._phase is Phase.FAILED else "",
        }

    async def _ask(self, wish: Wish) -> None:
        self._note(wish)
        mine = self._asked
        await workflow.wait_condition(lambda: self._served >= mine)

    def _note(self, wish: Wish) -> None:
        self._asked += 1
        starting = self._phase in COMING_UP and self._wish is Wish.NOTHING
        if wish is Wish.RUN and starting:
            self._joined = self._asked
        elif self._wish is not Wish.DELETE:
            self._wish = wish

    async def _has_wish(self) -> bool:
        """Wait for something to do; false when the workflow may complete."""
        live = self._phase is Phase.READY
        try:
            await workflow.wait_condition(
                lambda: self._wish is not Wish.NOTHING or self._lost is not None,
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
        match wish:
            case Wish.RUN:
                if self._phase is not Phase.READY or not await self._is_running():
                    await self._start()
            case Wish.STOP:
                await self._stop()
            case Wish.DELETE:
                await self._delete()
            case Wish.NOTHING:
                if lost and lost.generation == self._generation and self._phase is Phase.READY:
                    await self._check_loss(lost)

    async def _start(self) -> None:
        """Start the next generation, unless a stop or a deletion comes in between."""
        self._generation += 1
        self._restarts = 0
        await self._bring_up(Phase.STARTING)

    async def _bring_up(self, phase: Phase) -> None:
        """Have this generation's sandbox answer, however long it has to wait for room."""
        pause = WAITING_PAUSE
        while await self._try(phase):
            phase = Phase.WAITING
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    self._is_unwanted, timeout=pause, timeout_summary="waits for room"
                )
            if self._is_unwanted():
                self._failure = _STOPPED
                return
            pause = min(pause * 2, LONGEST_WAITING_PAUSE)

    async def _try(self, phase: Phase) -> bool:
        """Provision once; true where there is no room for the sandbox now."""
        self._enter(phase)
        task = ProvisionInput(harness_id=self._sandbox.harness_id, generation=self._generation)
        provisioning = workflow.start_activity_method(
            SandboxActivities.provision,
            task,
            task_queue=SANDBOX_QUEUE,
            summary=f"start generation {self._generation}",
            **PROVISION,
        )
        await workflow.wait_condition(lambda: provisioning.done() or self._is_unwanted())
        is_given_up = not provisioning.done()
        if is_given_up:
            self._failure = _STOPPED
            self._enter(Phase.STOPPING)
            provisioning.cancel()
        try:
            await provisioning
        except ActivityError as error:
            if is_given_up:
                return False
            self._failure = failure_message(error)
            if failure_code(error) == SandboxWaitingError.code:
                return True
            show_log = failure_code(error) in (SandboxError.code, SandboxFailedError.code)
            await self._fail(self._failure, show_log=show_log)
        else:
            self._enter(Phase.READY)
        return False

    def _is_unwanted(self) -> bool:
        return self._wish in (Wish.STOP, Wish.DELETE)

    async def _fail(self, message: str, *, show_log: bool) -> None:
        self._failure = message
        note = FailureNote(
            harness_id=self._sandbox.harness_id,
            generation=self._generation,
            message=message,
            show_log=show_log,
        )
        await workflow.execute_activity_method(
            SandboxActivities.fail,
            note,
            task_queue=SANDBOX_QUEUE,
            summary="clean up and say why",
            **TEARDOWN,
        )
        self._enter(Phase.FAILED)

    async def _stop(self) -> None:
        self._failure = _STOPPED
        self._enter(Phase.STOPPING)
        await workflow.execute_activity_method(
            SandboxActivities.stop,
            ProvisionInput(harness_id=self._sandbox.harness_id, generation=self._generation),
            task_queue=SANDBOX_QUEUE,
            summary="end the sandbox",
            **TEARDOWN,
        )
        self._enter(Phase.IDLE)

    async def _delete(self) -> None:
        await self._stop()
        await workflow.execute_activity_method(
            SandboxActivities.remove,
            HarnessRef(harness_id=self._sandbox.harness_id),
            task_queue=SANDBOX_QUEUE,
            summary="delete what it leaves",
            **TEARDOWN,
        )
        self._enter(Phase.DELETED)

    async def _is_running(self) -> bool:
        return await workflow.execute_activity_method(
            SandboxActivities.is_running,
            ProvisionInput(harness_id=self._sandbox.harness_id, generation=self._generation),
            task_queue=SANDBOX_QUEUE,
            summary="look at the sandbox",
            **ROWS,
        )

    async def _check_loss(self, lost: SandboxLost) -> None:
        if lost.recoverable:
            await self._heal(lost)
            return
        if await self._is_running():
            return
        if lost.crashed:
            message = f"The sandbox ended by itself. {lost.reason}".strip()
            await self._fail(message, show_log=True)
        else:
            await self._stop()

    async def _heal(self, lost: SandboxLost) -> None:
        """Bring this generation back, a bounded number of times."""
        seen = await workflow.execute_activity_method(
            SandboxActivities.inspect,
            ProvisionInput(harness_id=self._sandbox.harness_id, generation=self._generation),
            task_queue=SANDBOX_QUEUE,
            summary="look at the sandbox",
            **ROWS,
        )
        restarts = max(lost.restarts, seen.restarts)
        if seen.intact and restarts <= self._restarts:
            return  # somebody else told of it as well
        reason = seen.reason or lost.reason or "Its pod was replaced."
        if seen.failed and not seen.recoverable:
            await self._fail(f"The sandbox ended by itself. {reason}", show_log=True)
            return
        may_recover = await workflow.execute_activity_method(
            SandboxActivities.note_recovery,
            RecoveryNote(
                harness_id=self._sandbox.harness_id, generation=self._generation, reason=reason
            ),
            task_queue=SANDBOX_QUEUE,
            summary="note the recovery",
            **ROWS,
        )
        if not may_recover:
            await self._fail(f"{_LOST_TOO_OFTEN} The last time: {reason}", show_log=True)
            return
        self._restarts = restarts
        self._failure = reason
        await self._bring_up(Phase.RECOVERING)

    def _may_roll(self) -> bool:
        return (
            self._wish is Wish.NOTHING and self._lost is None and workflow.all_handlers_finished()
        )

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        workflow.upsert_search_attributes(
            [
                search_attributes.HARNESS.value_set(str(self._sandbox.harness_id)),
                search_attributes.PROJECT.value_set(str(self._sandbox.project_id)),
                search_attributes.PHASE.value_set(phase.value),
            ]
        )
        since = workflow.now().isoformat(timespec="seconds")
        tells = phase in (Phase.FAILED, Phase.WAITING, Phase.RECOVERING)
        reason = f"\n\n{self._failure}" if tells else ""
        workflow.set_current_details(
            f"Harness **{self._name}**, generation {self._generation}: "
            f"**{phase.value}** since {since}{reason}"
        )


_STOPPED = "The sandbox was stopped."
_LOST_TOO_OFTEN = (
    "The sandbox was lost again and again and is not healed any more. Look at its log, then start "
    "it again."
)
