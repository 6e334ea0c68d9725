"""A session, as an entity: opens it in its harness and runs its turns, one after the other.

Prompts come as signals and are remembered in order; each runs as one `turn.run` activity, which
any worker may take over. An abort and an answer are updates, since somebody waits for the result,
and reach the harness beside the running turn. The workflow completes when nothing was asked of it
for a while: all state is in rows, and the next prompt starts it again.
"""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.lifecycles import LifecycleActivities
    from activities.turns import TurnActivities
    from cattery.ids import PromptId
    from cattery.temporal import messages, search_attributes
    from cattery.temporal.failures import failure_code, failure_message
    from cattery.temporal.messages import (
        AnswerInput,
        AnswerRef,
        EndTurnInput,
        HarnessSandboxInput,
        OpenSessionInput,
        PromptRef,
        SandboxLost,
        SandboxNews,
        SessionFailure,
        SessionInput,
        SessionRef,
        TurnInput,
        TurnOutcome,
        TurnResult,
    )
    from cattery.temporal.naming import (
        MESSAGES_QUEUE,
        SANDBOX_WAITS_QUEUE,
        harness_workflow,
    )
    from workflows.timing import ENSURE, HANDSHAKE, MESSAGE_TO_HARNESS, ROWS, TITLE, TURN

LINGER = timedelta(minutes=15)
"""How long an idle session stays open, so that its next turn starts without a replay."""
ABORT_PATIENCE = timedelta(seconds=10)
"""How long a harness may take to stop before the turn is ended without it."""
MAX_RESTARTS = 3
"""How often one turn may start its sandbox or reopen its session before it is given up."""
LOST_SANDBOX = ("sandbox", "stream_lost")
"""Codes of failures that a sandbox which answers would mend."""
OPENS_ONCE_MORE = "session-opens-once-more"
"""Patch: a sandbox that is lost while the session is opened in it is started again for that."""
ROLLS_WITH_ITS_QUEUE = "session-rolls-with-its-queue"
"""Patch: a session whose prompts never run out continues as new too, and takes them along."""
HARNESS_PAUSE = timedelta(seconds=1)
"""Before a harness that failed at the prompt is given it once more."""
REMEMBERED = 500
"""Prompt ids kept to leave out a signal that comes twice."""


@workflow.defn(name=messages.SESSION)
class SessionWorkflow:
    """Owns a session."""

    @workflow.init
    def __init__(self, session: SessionInput) -> None:
        self._session = session
        self._queue: deque[PromptId] = deque(session.queue)
        self._seen: deque[PromptId] = deque(session.queue, maxlen=REMEMBERED)
        self._wants_open = False
        self._wants_again = False
        self._is_open = False
        self._closing = False
        self._running: PromptId | None = None
        self._aborted = False
        self._phase = "idle"
        self._awaits_sandbox = False

    @workflow.run
    async def run(self, session: SessionInput) -> None:
        """Open the session where asked to, then run turns until nothing comes any more."""
        self._describe("idle", "waits for a prompt", self._names())
        if self._wants_open and not await self._open():
            return
        self._is_open = True
        while await self._has_work():
            if self._closing:
                break
            if self._wants_again:
                self._wants_again = False
                if not await self._open():
                    return
                self._describe("idle", "is open")
                continue
            await self._run_turn(self._queue.popleft())
            self._describe("idle", "waits for a prompt")
            if workflow.info().is_continue_as_new_suggested() and self._may_roll():
                workflow.continue_as_new(session.model_copy(update={"queue": (*self._queue,)}))
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal(name=messages.OPEN_SESSION)
    def open(self) -> None:
        """Open the session in its harness, starting the sandbox where it does not run.

        An open one is looked at again: a terminal asks when its sandbox has gone. Histories from
        before that have no answer to a second signal.
        """
        self._wants_again = self._is_open and workflow.patched("session-opens-again")
        self._wants_open = True

    @workflow.signal(name=messages.SUBMIT_PROMPT)
    def submit_prompt(self, prompt: PromptRef) -> None:
        """Queue a prompt; one that was queued before is left out."""
        if prompt.prompt_id not in self._seen:
            self._seen.append(prompt.prompt_id)
            self._queue.append(prompt.prompt_id)

    @workflow.signal(name=messages.CLOSE_SESSION)
    def close(self) -> None:
        """End the running turn and run no more; the session is being deleted."""
        self._closing = True
        self._aborted = True

    @workflow.signal(name=messages.SANDBOX_NEWS)
    def show_sandbox(self, news: SandboxNews) -> None:
        """Hear what the sandbox that is waited for is at; operators see it. No command follows."""
        if self._awaits_sandbox:
            self._show(f"waits for the sandbox: {news.text}")

    @workflow.update(name=messages.ABORT_TURN)
    async def abort(self) -> None:
        """Stop the running turn; returns when the harness was told, or nothing runs.

        While the session is being opened, the first prompt that waits for it is ended instead.
        """
        if self._running is None:
            if self._queue:
                await self._end(self._queue.popleft(), TurnOutcome.ABORTED, None)
            return
        self._aborted = True
        await self._tell_agent_to_stop()

    @workflow.update(name=messages.ANSWER_QUESTION)
    async def answer(self, answer: AnswerRef) -> None:
        """Give an answer to the harness, beside the turn that waits for it."""
        try:
            await workflow.execute_activity_method(
                TurnActivities.answer_question,
                AnswerInput(session_id=self._session.session_id, answer_id=answer.answer_id),
                task_queue=MESSAGES_QUEUE,
                summary="answer the agent",
                **MESSAGE_TO_HARNESS,
            )
        except ActivityError as error:
            raise ApplicationError(
                failure_message(error), type=failure_code(error) or "unavailable"
            ) from error

    async def _has_work(self) -> bool:
        """Wait for a prompt; false when the workflow may complete."""
        try:
            await workflow.wait_condition(
                lambda: bool(self._queue) or self._closing or self._wants_again,
                timeout=LINGER,
                timeout_summary="idle; completes when no prompt comes",
            )
        except TimeoutError:
            await workflow.wait_condition(workflow.all_handlers_finished)
            return bool(self._queue) or self._wants_again
        return True

    async def _open(self) -> bool:
        """Open the session in its harness; false where that failed for good."""
        phase = "sandbox_error"
        try:
            for tries_left in reversed(range(MAX_RESTARTS)):
                phase = "sandbox_error"
                self._describe("creating", "waits for the sandbox")
                await self._ensure_sandbox()
                phase = "handshake_error"
                self._describe("creating", "opens the session in the harness")
                if await self._open_unless_lost(is_last=not tries_left):
                    break
        except ActivityError as error:
            failure = SessionFailure(
                session_id=self._session.session_id, phase=phase, message=failure_message(error)
            )
            self._describe("failed", failure.message)
            await workflow.execute_activity_method(
                TurnActivities.fail_session,
                failure,
                task_queue=MESSAGES_QUEUE,
                summary="say why",
                **ROWS,
            )
            await self._refuse_queue(failure.message)
            raise ApplicationError(failure.message, type=phase, non_retryable=True) from error
        return True

    async def _run_turn(self, prompt_id: PromptId) -> None:
        """Run one turn to its one end, starting what it needs on the way."""
        self._running, self._aborted = prompt_id, self._closing
        reason = ""
        try:
            for _ in range(MAX_RESTARTS):
                self._describe("running", f"runs turn `{prompt_id}`")
                try:
                    result = await self._attempt(prompt_id)
                except ActivityError as error:
                    if not await self._mend(prompt_id, error):
                        return
                    reason = failure_message(error)
                else:
                    await self._follow_up(result)
                    if result.behind is not None:
                        self._put_first(result.behind, prompt_id)
                    return
            await self._end(prompt_id, TurnOutcome.FAILED, f"{reason} {_GIVEN_UP}")
        finally:
            self._running = None

    def _put_first(self, earlier: PromptId, later: PromptId) -> None:
        """Run prompts in the order in which they were accepted, whatever that of their signals."""
        if earlier in self._queue:
            self._queue.remove(earlier)
        self._seen.append(earlier)
        self._queue.extendleft((later, earlier))

    async def _attempt(self, prompt_id: PromptId) -> TurnResult:
        """Run the turn; a harness that will not stop when asked is given up after a while."""
        turn = workflow.start_activity_method(
            TurnActivities.run_turn,
            TurnInput(session_id=self._session.session_id, prompt_id=prompt_id),
            summary="run the turn",
            **TURN,
        )
        await workflow.wait_condition(lambda: turn.done() or self._aborted)
        if not turn.done():
            self._describe("stopping", "waits for the agent to stop")
            if self._closing:
                await self._tell_agent_to_stop()
            try:
                await workflow.wait_condition(
                    turn.done, timeout=ABORT_PATIENCE, timeout_summary="the agent stops"
                )
            except TimeoutError:
                turn.cancel()
        return await turn

    async def _tell_agent_to_stop(self) -> None:
        try:
            await workflow.execute_activity_method(
                TurnActivities.abort_turn,
                SessionRef(session_id=self._session.session_id),
                task_queue=MESSAGES_QUEUE,
                summary="stop the agent",
                **MESSAGE_TO_HARNESS,
            )
        except ActivityError as error:
            workflow.logger.warning("The harness could not be told to stop: %s", error.cause)

    async def _mend(self, prompt_id: PromptId, error: ActivityError) -> bool:
        """Bring back what the turn lacked; false where the turn was ended instead."""
        code = failure_code(error)
        try:
            if self._aborted:
                code = None
            if code in LOST_SANDBOX:
                self._describe("running", "waits for the sandbox to start")
                await self._ensure_sandbox()
                await self._open_in_harness()
            elif code == "harness_session_gone":
                await self._open_in_harness()
            elif code == "harness":
                await workflow.sleep(HARNESS_PAUSE, summary="before the harness is asked again")
            else:
                await self._end(prompt_id, TurnOutcome.FAILED, failure_message(error))
                return False
        except ActivityError as failed:
            await self._end(prompt_id, TurnOutcome.FAILED, failure_message(failed))
            return False
        return True

    async def _ensure_sandbox(self) -> None:
        """Wait for a sandbox that answers, but no longer than somebody wants it."""
        sandbox = HarnessSandboxInput(
            harness_id=self._session.harness_id, project_id=self._session.project_id
        )
        self._awaits_sandbox = True
        try:
            await self._unless_aborted(
                workflow.start_activity_method(
                    LifecycleActivities.ensure_sandbox,
                    sandbox,
                    task_queue=SANDBOX_WAITS_QUEUE,
                    summary="have a sandbox that answers",
                    **ENSURE,
                )
            )
        finally:
            self._awaits_sandbox = False

    async def _open_in_harness(self) -> None:
        await workflow.execute_activity_method(
            TurnActivities.open_session,
            OpenSessionInput(session_id=self._session.session_id),
            summary="open the session in the harness",
            **HANDSHAKE,
        )

    async def _open_unless_lost(self, *, is_last: bool) -> bool:
        """Open the session in the harness; false where its sandbox was lost since it answered."""
        try:
            await self._open_in_harness()
        except ActivityError as error:
            is_lost = failure_code(error) in LOST_SANDBOX
            if is_last or not is_lost or not workflow.patched(OPENS_ONCE_MORE):
                raise
            return False
        return True

    async def _unless_aborted(self, activity: "workflow.ActivityHandle[object]") -> None:
        await workflow.wait_condition(lambda: activity.done() or self._aborted)
        if not activity.done():
            activity.cancel()
        await activity

    async def _follow_up(self, result: TurnResult) -> None:
        """Pass on what the turn found out, without holding up the next one."""
        if result.lost is not None:
            await self._tell_sandbox(result.lost)
        if result.wants_title and result.outcome is TurnOutcome.COMPLETED:
            workflow.start_activity_method(
                TurnActivities.find_title,
                SessionRef(session_id=self._session.session_id),
                summary="wait for a title",
                **TITLE,
            )

    async def _tell_sandbox(self, lost: SandboxLost) -> None:
        sandbox = workflow.get_external_workflow_handle(harness_workflow(self._session.harness_id))
        try:
            await sandbox.signal(messages.SANDBOX_LOST, lost)
        except ApplicationError:
            workflow.logger.info("The sandbox's workflow had completed already")

    async def _end(self, prompt_id: PromptId, outcome: TurnOutcome, message: str | None) -> None:
        """End a turn that could not be run; one that was stopped ends without an error."""
        if self._aborted:
            outcome, message = TurnOutcome.ABORTED, None
        await workflow.execute_activity_method(
            TurnActivities.end_turn,
            EndTurnInput(
                session_id=self._session.session_id,
                prompt_id=prompt_id,
                outcome=outcome,
                message=message,
            ),
            task_queue=MESSAGES_QUEUE,
            summary="end the turn",
            **ROWS,
        )

    async def _refuse_queue(self, message: str) -> None:
        while self._queue:
            await self._end(self._queue.popleft(), TurnOutcome.FAILED, message)

    def _may_roll(self) -> bool:
        if self._closing or not workflow.all_handlers_finished():
            return False
        return not self._queue or workflow.patched(ROLLS_WITH_ITS_QUEUE)

    def _names(self) -> list[SearchAttributeUpdate[str]]:
        return [
            search_attributes.SESSION.value_set(str(self._session.session_id)),
            search_attributes.HARNESS.value_set(str(self._session.harness_id)),
            search_attributes.PROJECT.value_set(str(self._session.project_id)),
        ]

    def _describe(
        self, phase: str, what: str, names: Sequence[SearchAttributeUpdate[str]] = ()
    ) -> None:
        """Say what the session is at; what it belongs to is said once, since each turn waits."""
        workflow.upsert_search_attributes([*names, search_attributes.PHASE.value_set(phase)])
        self._phase = phase
        self._show(what)

    def _show(self, what: str) -> None:
        since = workflow.now().isoformat(timespec="seconds")
        waiting = f", {len(self._queue)} prompts wait" if self._queue else ""
        workflow.set_current_details(f"**{self._phase}**: {what}, since {since}{waiting}")


_GIVEN_UP = (
    "This turn was given up after several tries. "
    "Look at the harness's log, then send the prompt again."
)
