"""The file manager of one project, or of the skills, as an entity: the lock on its starts and ends.

It is shaped as `workflows.harness_sandbox` is: wishes are noted, one loop acts. It starts on
demand, is looked at every now and then, and stops when nobody has used it for a while.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.file_managers import FileManagerActivities
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.failures import failure_message
    from cattery.temporal.messages import (
        FileManagerFailure,
        FileManagerInput,
        FileManagerReady,
        FileManagerTask,
        FileManagerWish,
    )
    from cattery.temporal.naming import FILES_QUEUE
    from workflows.timing import LOOK, PROVISION, ROWS, TEARDOWN

LINGER = timedelta(seconds=30)
"""How long a workflow without a file manager waits for the next wish before it completes."""
TRUSTED = timedelta(minutes=1)
"""One that was looked at and is said again not to answer within this is replaced unseen."""


class Phase(StrEnum):
    """What the file manager is at; operators see it as a search attribute."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class Wish(StrEnum):
    """What people and other workflows want of it."""

    NOTHING = "nothing"
    RUN = "run"
    STOP = "stop"


@workflow.defn(name=messages.FILE_MANAGER)
class FileManagerWorkflow:
    """Owns one file manager."""

    @workflow.init
    def __init__(self, wanted: FileManagerInput) -> None:
        self._wanted = wanted
        self._phase = Phase.IDLE
        self._wish = Wish.NOTHING
        self._generation = 0
        self._failure = _STOPPED
        self._look_every = LINGER
        self._is_suspect = False
        self._looked_at: datetime | None = None
        self._asked = 0
        """Wishes so far; `_served` is how many of them the loop has dealt with."""
        self._served = 0
        self._joined = 0
        """The last wish to run that the start under way serves."""

    @workflow.run
    async def run(self, wanted: FileManagerInput) -> str:
        """Serve wishes until there is no file manager and no wish; returns the last phase."""
        state = await workflow.execute_activity_method(
            FileManagerActivities.load,
            wanted,
            task_queue=FILES_QUEUE,
            summary="read the row",
            **ROWS,
        )
        self._generation = state.generation
        self._look_every = timedelta(seconds=state.look_seconds)
        self._enter(Phase.READY if state.ready else Phase.IDLE)
        while await self._has_wish():
            covers = self._asked
            await self._serve()
            self._served = max(covers, self._joined)
            if workflow.info().is_continue_as_new_suggested() and self._may_roll():
                workflow.continue_as_new(wanted)
        return self._phase.value

    @workflow.update(name=messages.ENSURE_FILE_MANAGER)
    async def ensure(self, wish: FileManagerWish) -> FileManagerReady:
        """Have a file manager that answers; joins a start that is under way.

        Fails with the reason where the start fails or somebody stops it.
        """
        if wish.lost == self._generation and self._phase is Phase.READY:
            self._is_suspect = True
        await self._ask(Wish.RUN)
        if self._phase is not Phase.READY:
            raise ApplicationError(self._failure, type="file_manager", non_retryable=True)
        return FileManagerReady(generation=self._generation)

    @workflow.update(name=messages.STOP_FILE_MANAGER)
    async def stop(self) -> None:
        """Stop the file manager, in the middle of its start too; returns when it has ended."""
        await self._ask(Wish.STOP)

    @workflow.query(name="status")
    def status(self) -> dict[str, str | int]:
        """Return phase, generation and the last failure, for operators."""
        return {
            "phase": self._phase.value,
            "generation": self._generation,
            "failure": self._failure if self._phase is Phase.FAILED else "",
        }

    async def _ask(self, wish: Wish) -> None:
        self._asked += 1
        mine = self._asked
        if wish is Wish.RUN and self._phase is Phase.STARTING and self._wish is Wish.NOTHING:
            self._joined = mine
        elif self._wish is not Wish.STOP:  # whoever asked for the end gets it
            self._wish = wish
        await workflow.wait_condition(lambda: self._served >= mine)

    async def _has_wish(self) -> bool:
        """Wait for something to do; false when the workflow may complete."""
        is_live = self._phase is Phase.READY
        try:
            await workflow.wait_condition(
                lambda: self._wish is not Wish.NOTHING,
                timeout=self._look_every if is_live else LINGER,
                timeout_summary="look whether it is used" if is_live else "nobody wants it",
            )
        except TimeoutError:
            if is_live:
                return True
            await workflow.wait_condition(workflow.all_handlers_finished)
            return self._wish is not Wish.NOTHING
        return True

    async def _serve(self) -> None:
        wish, self._wish = self._wish, Wish.NOTHING
        match wish:
            case Wish.RUN:
                await self._have_it()
            case Wish.STOP:
                await self._stop()
            case Wish.NOTHING:
                if await self._is_idle() and self._wish is Wish.NOTHING:
                    await self._stop()

    async def _have_it(self) -> None:
        """Start it unless it runs; one that did not answer is looked at, and else replaced."""
        is_suspect, self._is_suspect = self._is_suspect, False
        if self._phase is not Phase.READY:
            await self._start(self._generation + 1)
        elif is_suspect:
            if self._was_looked_at() or not await self._start(self._generation, is_look=True):
                await self._start(self._generation + 1)
            else:
                self._looked_at = workflow.now()

    async def _start(self, generation: int, *, is_look: bool = False) -> bool:
        """Start a generation, unless a stop comes in between; a look adopts one that lives.

        Returns whether there is nothing more to be done: for a look, that it need not be replaced.
        """
        self._generation = generation
        self._enter(Phase.STARTING)
        starting = workflow.start_activity_method(
            FileManagerActivities.ensure,
            self._task(),
            task_queue=FILES_QUEUE,
            summary=f"{'look at' if is_look else 'start'} generation {generation}",
            **(LOOK if is_look else PROVISION),
        )
        await workflow.wait_condition(lambda: starting.done() or self._wish is Wish.STOP)
        is_given_up = not starting.done()
        if is_given_up:
            self._failure = _STOPPED
            self._enter(Phase.STOPPING)
            starting.cancel()
        try:
            await starting
        except ActivityError as error:
            if is_given_up:
                return True
            if is_look:
                return False
            await self._fail(failure_message(error))
        else:
            self._enter(Phase.READY)
        return True

    async def _fail(self, message: str) -> None:
        self._failure = message
        await workflow.execute_activity_method(
            FileManagerActivities.fail,
            FileManagerFailure(
                project_id=self._wanted.project_id, generation=self._generation, message=message
            ),
            task_queue=FILES_QUEUE,
            summary="clean up and say why",
            **TEARDOWN,
        )
        self._enter(Phase.FAILED)

    async def _stop(self) -> None:
        self._failure = _STOPPED
        self._enter(Phase.STOPPING)
        await workflow.execute_activity_method(
            FileManagerActivities.stop,
            self._task(),
            task_queue=FILES_QUEUE,
            summary="end the file manager",
            **TEARDOWN,
        )
        self._enter(Phase.IDLE)

    async def _is_idle(self) -> bool:
        return await workflow.execute_activity_method(
            FileManagerActivities.is_idle,
            self._task(),
            task_queue=FILES_QUEUE,
            summary="look whether it is used",
            **ROWS,
        )

    def _was_looked_at(self) -> bool:
        return self._looked_at is not None and workflow.now() - self._looked_at < TRUSTED

    def _task(self) -> FileManagerTask:
        return FileManagerTask(project_id=self._wanted.project_id, generation=self._generation)

    def _may_roll(self) -> bool:
        return self._wish is Wish.NOTHING and workflow.all_handlers_finished()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        attributes = [search_attributes.PHASE.value_set(phase.value)]
        if self._wanted.project_id is not None:
            project = search_attributes.PROJECT.value_set(str(self._wanted.project_id))
            attributes.append(project)
        workflow.upsert_search_attributes(attributes)
        since = workflow.now().isoformat(timespec="seconds")
        reason = f"\n\n{self._failure}" if phase is Phase.FAILED else ""
        workflow.set_current_details(
            f"Generation {self._generation}: **{phase.value}** since {since}{reason}"
        )


_STOPPED = "The file manager was stopped."
