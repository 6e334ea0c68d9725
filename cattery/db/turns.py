"""Sessions and their turns as the workers see and write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database, ReadSession
from cattery.db.event_log import append_in_transaction
from cattery.db.feed import announce
from cattery.db.fences import Fence, claim_fence
from cattery.db.idle import note_use
from cattery.db.sandbox_rows import HarnessFacts, harness_facts
from cattery.db.states import PromptStatus, SessionPhase, SessionStatus
from cattery.db.tables import AnswerRow, HarnessRow, PromptRow, SessionRow
from cattery.events.model import Answer, EventType, NewEvent
from cattery.ids import (
    HarnessId,
    HarnessMessageId,
    HarnessSessionId,
    ProjectId,
    PromptId,
    SessionId,
    new_id,
)
from cattery.jsontypes import Json


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session and where its harness is."""

    session_id: SessionId
    harness_id: HarnessId
    project_id: ProjectId
    status: SessionStatus
    title: str | None
    theme: str
    harness_session_id: HarnessSessionId | None
    deleting: bool


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """A prompt to be run."""

    prompt_id: PromptId
    session_id: SessionId
    turn_no: int
    body: str
    status: PromptStatus
    harness_message_id: HarnessMessageId | None
    stop_requested_by: str | None


async def find_session(session: ReadSession, session_id: SessionId) -> SessionFacts | None:
    """Read a session, also one that is being deleted."""
    row = (
        await session.execute(
            select(SessionRow, HarnessRow)
            .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
            .where(SessionRow.id == session_id)
        )
    ).first()
    return None if row is None else _session(*row)


async def find_turn_to_run(
    session: ReadSession, prompt_id: PromptId
) -> tuple[TurnFacts, SessionFacts, HarnessFacts] | None:
    """Read a prompt with its session and its harness, in one statement."""
    row = (
        await session.execute(
            select(PromptRow, SessionRow, HarnessRow)
            .join(SessionRow, SessionRow.id == PromptRow.session_id)
            .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
            .where(PromptRow.id == prompt_id)
        )
    ).first()
    if row is None:
        return None
    prompt, found, harness = row
    return _turn(prompt), _session(found, harness), harness_facts(harness)


async def find_turn(session: ReadSession, prompt_id: PromptId) -> TurnFacts | None:
    """Read a prompt; `None` where it was removed."""
    row = await session.get(PromptRow, prompt_id)
    return None if row is None else _turn(row)


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """What an attempt got: the turn or not, unless the prompt was removed meanwhile."""

    claimed: bool
    removed: bool = False
    message_id: HarnessMessageId | None = None


class TurnRows:
    """Writes the rows of one session."""

    def __init__(self, session: AsyncSession, facts: SessionFacts) -> None:
        self._session = session
        self._facts = facts

    async def set_phase(self, phase: SessionPhase | None) -> None:
        """Say how far the making of the session has come."""
        await self._set(phase=phase)

    async def set_ready(self, harness_session_id: HarnessSessionId) -> None:
        """Say that the harness has the session."""
        await self._set(
            status=SessionStatus.READY,
            phase=None,
            failure=None,
            harness_session_id=harness_session_id,
        )

    async def set_failed(self, phase: SessionPhase, message: str) -> None:
        """Say why the session could not be made."""
        await self._set(
            status=SessionStatus.FAILED, phase=phase, failure=message, stopped_at=func.now()
        )

    async def set_title(self, title: str) -> None:
        """Keep the title that the harness found, unless a person has given one meanwhile."""
        await self._session.execute(
            update(SessionRow)
            .where(SessionRow.id == self._facts.session_id, SessionRow.title.is_(None))
            .values(title=title)
        )
        await self._announce()

    async def start_turn(
        self, turn: TurnFacts, fence: Fence, owner: str, message_id: HarnessMessageId | None
    ) -> StartedTurn:
        """Take a turn over for one attempt, and fix the id that its prompt is posted under.

        Returns:
            Whether the attempt has the turn, and the message id: that of the first attempt that
            had one to give, on every later one.
        """
        if not await claim_fence(self._session, fence, owner):
            return StartedTurn(claimed=False)
        row = (
            await self._session.execute(
                update(PromptRow)
                .where(PromptRow.id == turn.prompt_id, PromptRow.status != PromptStatus.DONE)
                .values(
                    status=PromptStatus.RUNNING,
                    harness_message_id=func.coalesce(PromptRow.harness_message_id, message_id),
                )
                .returning(PromptRow.harness_message_id)
            )
        ).first()
        if row is None:
            return StartedTurn(claimed=True, removed=True)
        await self._announce()
        kept = HarnessMessageId(row[0]) if row[0] else None
        return StartedTurn(claimed=True, message_id=kept)

    async def finish_turn(self, turn: TurnFacts) -> None:
        """Say that a turn is over, and its sandbox at rest from now on."""
        await note_use(self._session, self._facts.harness_id)
        await self._session.execute(
            update(PromptRow).where(PromptRow.id == turn.prompt_id).values(status=PromptStatus.DONE)
        )
        await self._announce()

    async def append(self, turn_no: int, event: NewEvent) -> int | None:
        """Append an event of the platform's own to the session's log."""
        return await append_in_transaction(self._session, self._facts.session_id, turn_no, event)

    async def request_stop(self, username: str) -> PromptId | None:
        """Note who wants the running turn, or the next to run, stopped; which it is."""
        first = (
            select(PromptRow.id)
            .where(
                PromptRow.session_id == self._facts.session_id,
                PromptRow.status != PromptStatus.DONE,
            )
            .order_by(PromptRow.turn_no)
            .limit(1)
            .scalar_subquery()
        )
        found = await self._session.scalar(
            update(PromptRow)
            .where(PromptRow.id == first)
            .values(stop_requested_by=func.coalesce(PromptRow.stop_requested_by, username))
            .returning(PromptRow.id)
        )
        return PromptId(found) if found else None

    async def _set(self, **values: object) -> None:
        await self._session.execute(
            update(SessionRow).where(SessionRow.id == self._facts.session_id).values(**values)
        )
        await self._announce()

    async def _announce(self) -> None:
        await announce(self._session, "session", self._facts.session_id, self._facts.project_id)


async def store_answer(
    database: Database, session_id: SessionId, question_id: str, answers: Sequence[Answer]
) -> UUID:
    """Keep an answer until it is delivered; returns the id that workflows carry."""
    answer_id = new_id()
    async with database.write() as session:
        session.add(
            AnswerRow(
                id=answer_id,
                session_id=session_id,
                question_id=question_id,
                answers=[answer.data() for answer in answers],
            )
        )
    return answer_id


async def find_answer(session: ReadSession, answer_id: UUID) -> tuple[str, list[Json]] | None:
    """Read an answer on its way: the question's id and the answers."""
    row = await session.get(AnswerRow, answer_id)
    return None if row is None else (row.question_id, row.answers)


async def drop_answer(session: AsyncSession, answer_id: UUID) -> None:
    """Forget an answer that was delivered or refused."""
    await session.execute(delete(AnswerRow).where(AnswerRow.id == answer_id))


def idle_event(turn_no: int, outcome: str, *, stopped_by: str | None = None) -> NewEvent:
    """Make the one event that ends a turn."""
    data: dict[str, Json] = {"outcome": outcome}
    if stopped_by:
        data["stoppedBy"] = stopped_by
    return NewEvent(EventType.SESSION_IDLE, data, f"idle:{turn_no}")


def _session(row: SessionRow, harness: HarnessRow) -> SessionFacts:
    return SessionFacts(
        session_id=SessionId(row.id),
        harness_id=HarnessId(row.harness_id),
        project_id=ProjectId(harness.project_id),
        status=row.status,
        title=row.title,
        theme=row.theme,
        harness_session_id=(
            HarnessSessionId(row.harness_session_id) if row.harness_session_id else None
        ),
        deleting=row.deleting_at is not None,
    )


def _turn(row: PromptRow) -> TurnFacts:
    return TurnFacts(
        prompt_id=PromptId(row.id),
        session_id=SessionId(row.session_id),
        turn_no=row.turn_no,
        body=row.body,
        status=row.status,
        harness_message_id=(
            HarnessMessageId(row.harness_message_id) if row.harness_message_id else None
        ),
        stop_requested_by=row.stop_requested_by,
    )
