"""Activities of a session: open it in its harness, run its turns, abort, answer, find a title."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.heartbeat import TURN_INTERVAL, heartbeating
from activities.turn_run import TurnRun, TurnServices
from cattery.db.event_log import read_event_by_key, read_events
from cattery.db.fences import Fence, claim_fence
from cattery.db.sandbox_rows import HarnessFacts, find_harness
from cattery.db.states import PromptStatus, SessionPhase
from cattery.db.turns import (
    SessionFacts,
    TurnRows,
    drop_answer,
    find_answer,
    find_session,
    find_turn,
    finish_turn,
)
from cattery.errors import NotFoundError, SandboxError
from cattery.events.ledger import Ledger, answer_key, question_key
from cattery.events.model import (
    Answer,
    ErrorRaised,
    EventType,
    NewEvent,
    Question,
    QuestionAnswered,
    QuestionAsked,
    QuestionKind,
    QuestionOption,
    TitleChanged,
)
from cattery.ids import HarnessSessionId, SessionId
from cattery.jsontypes import Json, JsonObject
from cattery.temporal.failures import final_after, translated_errors
from cattery.temporal.messages import (
    AnswerInput,
    EndTurnInput,
    OpenSessionInput,
    SessionFailure,
    SessionRef,
    TurnInput,
    TurnOutcome,
    TurnResult,
)

log = structlog.get_logger(__name__)

HANDOFF = "turn_handoff"
"""Failure type of an attempt that ends because its worker shuts down: another takes over."""
HANDOFF_DELAY = timedelta(milliseconds=50)
TITLE_TRIES = 20
TITLE_INTERVAL = 1.0
HANDSHAKE_TRIES = 5
"""After so many a harness that opens no session is given up, with what it said at last."""


class TurnActivities:
    """What a session's workflow has done for it."""

    def __init__(self, services: TurnServices) -> None:
        self._services = services
        self._database = services.database

    @activity.defn(name="session.open")
    async def open_session(self, task: OpenSessionInput) -> None:
        """Open the session in its harness and say that it is ready; nothing where it is open."""
        with final_after(HANDSHAKE_TRIES), translated_errors():
            async with heartbeating():
                session = await self._find(task.session_id)
                await self._set_phase(session, SessionPhase.HANDSHAKE)
                harness = await self._find_harness(session)
                async with self._services.connections.use(harness) as connection:
                    known = session.harness_session_id
                    if known is None or not await connection.client.session_exists(known):
                        known = await connection.client.create_session(theme=session.theme)
                async with self._database.write() as rows:
                    await TurnRows(rows, session).set_ready(known)

    @activity.defn(name="session.fail")
    async def fail_session(self, failure: SessionFailure) -> None:
        """Say why a session could not be opened."""
        with translated_errors():
            session = await self._find(failure.session_id)
            async with self._database.write() as rows:
                await TurnRows(rows, session).set_failed(
                    SessionPhase(failure.phase), failure.message
                )

    @activity.defn(name="turn.run")
    async def run_turn(self, task: TurnInput) -> TurnResult:
        """Run a turn, or take it over from an attempt that died; see `activities.turn_run`."""
        info = activity.info()
        attempt_at = int(info.current_attempt_scheduled_time.timestamp() * 1_000_000)
        run = TurnRun(self._services, task, attempt_at)
        with translated_errors():
            stopping = self._services.stopping
            # A turn that will not stop is cancelled in the end, which a beat's answer says.
            async with heartbeating(TURN_INTERVAL, is_urgent=lambda: task.session_id in stopping):
                return await self._run_until_shutdown(run)

    @activity.defn(name="turn.end")
    async def end_turn(self, task: EndTurnInput) -> None:
        """End a turn that cannot be run, with the reason; nothing where it has ended."""
        with translated_errors():
            session = await self._find(task.session_id)
            turn = await find_turn(self._database, task.prompt_id)
            if turn is None or turn.status is PromptStatus.DONE:
                return
            attempt_at = int(activity.info().current_attempt_scheduled_time.timestamp() * 1e6)
            fence = Fence(task.session_id, turn.turn_no, attempt_at)
            async with self._database.quick() as rows:
                if not await claim_fence(rows, fence, self._services.owner):
                    raise SandboxError("The turn is being run by a later attempt.")
            ledger = Ledger(turn.turn_no)
            ledger.replay(await read_events(self._database, task.session_id, turn_no=turn.turn_no))
            events = ledger.admit(ErrorRaised(task.message)) if task.message else []
            outcome: JsonObject = {"outcome": task.outcome.value}
            if turn.stop_requested_by:
                outcome = {
                    "outcome": TurnOutcome.ABORTED.value,
                    "stoppedBy": turn.stop_requested_by,
                }
            turn_log = self._services.appender.open_turn(fence)
            await turn_log.append([*events, *ledger.end(outcome)])
            await turn_log.flush()
            async with self._database.quick() as rows:
                await finish_turn(rows, session, turn)

    @activity.defn(name="turn.abort")
    async def abort_turn(self, ref: SessionRef) -> None:
        """Tell the harness to stop what it does in a session; safe where it does nothing."""
        with translated_errors():
            session = await self._find(ref.session_id)
            harness = await self._find_harness(session)
            if session.harness_session_id is None:
                return
            async with self._services.connections.use(harness) as connection:
                await connection.client.abort(session.harness_session_id)

    @activity.defn(name="turn.answer")
    async def answer_question(self, task: AnswerInput) -> None:
        """Give an answer to the harness and write that it was given."""
        with translated_errors():
            session = await self._find(task.session_id)
            answer_id = UUID(task.answer_id)
            async with self._database.read() as rows:
                found = await find_answer(rows, answer_id)
            if found is None:
                return  # an earlier attempt delivered it
            question_id, given = found
            try:
                turn_no, asked = await self._open_question(task.session_id, question_id)
                answers = [_parse_answer(each) for each in given]
                harness = await self._find_harness(session)
                async with self._services.connections.use(harness) as connection:
                    harness_session = session.harness_session_id or HarnessSessionId("")
                    await connection.client.answer(harness_session, asked, answers)
            except NotFoundError:
                async with self._database.write() as rows:
                    await drop_answer(rows, answer_id)
                raise
            answered = QuestionAnswered(question_id, tuple(answers))
            event = NewEvent(answered.type, answered.data(), answer_key(question_id))
            async with self._database.write() as rows:
                await TurnRows(rows, session).append(turn_no, event)
                await drop_answer(rows, answer_id)

    @activity.defn(name="session.find_title")
    async def find_title(self, ref: SessionRef) -> None:
        """Wait a little for a title that comes after the turn that it was made of."""
        with translated_errors():
            async with heartbeating():
                session = await self._find(ref.session_id)
                harness = await self._find_harness(session)
                if session.harness_session_id is None:
                    return
                async with self._services.connections.use(harness) as connection:
                    for _ in range(TITLE_TRIES):
                        title = await connection.client.fetch_title(session.harness_session_id)
                        if title:
                            await self._keep_title(session, title)
                            return
                        await asyncio.sleep(TITLE_INTERVAL)

    async def _run_until_shutdown(self, run: TurnRun) -> TurnResult:
        """Run, but hand the turn over when this worker is asked to stop."""
        running = asyncio.create_task(run.run(), name="turn-run")
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown(), name="turn-stop")
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await self._let_part_end(run, running)
            if running.done():
                return running.result()
            await _cancel(running)
            await run.flush()
            raise ApplicationError(
                "The worker is shutting down; another one goes on with the turn.",
                type=HANDOFF,
                category=ApplicationErrorCategory.BENIGN,
                next_retry_delay=HANDOFF_DELAY,
            )
        except asyncio.CancelledError:
            await _cancel(running)
            raise
        finally:
            stopping.cancel()

    async def _let_part_end(self, run: TurnRun, running: asyncio.Task[TurnResult]) -> None:
        """Wait a little for the end of what the turn is saying, or of the turn."""
        ended = asyncio.create_task(run.between_parts.wait(), name="turn-part")
        patience = self._services.handoff_patience
        try:
            await asyncio.wait(
                {running, ended}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()

    async def _find(self, session_id: SessionId) -> SessionFacts:
        session = await find_session(self._database, session_id)
        if session is None:
            raise NotFoundError("session")
        return session

    async def _find_harness(self, session: SessionFacts) -> HarnessFacts:
        async with self._database.read() as rows:
            harness = await find_harness(rows, session.harness_id)
        if harness is None:
            raise NotFoundError("harness")
        return harness

    async def _set_phase(self, session: SessionFacts, phase: SessionPhase) -> None:
        if session.harness_session_id is None:
            async with self._database.write() as rows:
                await TurnRows(rows, session).set_phase(phase)

    async def _keep_title(self, session: SessionFacts, title: str) -> None:
        async with self._database.write() as rows:
            writer = TurnRows(rows, session)
            if await writer.set_title(title):
                event = TitleChanged(title)
                await writer.append(0, NewEvent(event.type, event.data()))

    async def _open_question(
        self, session_id: SessionId, question_id: str
    ) -> tuple[int, QuestionAsked]:
        """Return the turn and the question; raises where it is not open."""
        asked = await read_event_by_key(self._database, session_id, question_key(question_id))
        closed = await read_event_by_key(self._database, session_id, answer_key(question_id))
        if asked is None or closed is not None or asked.type != EventType.QUESTION_ASKED:
            raise NotFoundError("open question")
        return asked.turn_no, _parse_asked(asked.data)


async def _cancel(task: asyncio.Task[TurnResult]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _parse_answer(value: Json) -> Answer:
    data = value if isinstance(value, dict) else {}
    labels = data.get("selectedLabels")
    notes = data.get("notes")
    return Answer(
        question=str(data.get("question", "")),
        selected_labels=tuple(str(x) for x in labels) if isinstance(labels, list) else (),
        notes=notes if isinstance(notes, str) else None,
    )


def _parse_asked(data: JsonObject) -> QuestionAsked:
    questions = data.get("questions")
    return QuestionAsked(
        question_id=str(data["partId"]),
        questions=tuple(
            _parse_question(q)
            for q in (questions if isinstance(questions, list) else [])
            if isinstance(q, dict)
        ),
        kind=QuestionKind(str(data.get("kind", QuestionKind.QUESTION))),
    )


def _parse_question(data: JsonObject) -> Question:
    options = data.get("options")
    return Question(
        question=str(data.get("question", "")),
        header=str(data.get("header", "")),
        options=tuple(
            QuestionOption(str(o.get("label", "")), str(o.get("description", "")))
            for o in (options if isinstance(options, list) else [])
            if isinstance(o, dict)
        ),
        multi_select=data.get("multiSelect") is True,
    )
