"""Sessions and their turns as the workers see and write them."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import (
    FromClause,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from cattery.db.engine import Database, ReadSession
from cattery.db.event_log import append_in_transaction
from cattery.db.feed import announce
from cattery.db.fences import Fence, claim_fence
from cattery.db.idle import note_use
from cattery.db.sandbox_rows import HarnessFacts, harness_facts
from cattery.db.statements import Rows, Statement, run, run_for_one
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


async def find_session(database: Database, session_id: SessionId) -> SessionFacts | None:
    """Read a session, also one that is being deleted."""
    row = await database.fetch_one(_FIND_SESSION, session_id=session_id)
    return None if row is None else _session(*_read_row(row, _SESSION, _HARNESS))


@dataclass(frozen=True, slots=True)
class TurnToRun:
    """A prompt with where it is to be run."""

    turn: TurnFacts
    session: SessionFacts
    harness: HarnessFacts
    behind: PromptId | None
    """The first prompt of the session that was accepted before this one, and is not over."""


async def find_turn_to_run(database: Database, prompt_id: PromptId) -> TurnToRun | None:
    """Read all that a turn needs to begin, in one statement; `None` where it was removed."""
    row = await database.fetch_one(FIND_TO_RUN, prompt_id=prompt_id)
    if row is None:
        return None
    prompt, found, harness = _read_row(row, _PROMPT, _SESSION, _HARNESS)
    behind = PromptId(row[-1]) if row[-1] else None
    return TurnToRun(_turn(prompt), _session(found, harness), harness_facts(harness), behind)


async def find_turn(database: Database, prompt_id: PromptId) -> TurnFacts | None:
    """Read a prompt; `None` where it was removed."""
    row = await database.fetch_one(_FIND_TURN, prompt_id=prompt_id)
    return None if row is None else _turn(*_read_row(row, _PROMPT))


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """What an attempt got: the turn or not, unless the prompt was removed meanwhile."""

    claimed: bool
    removed: bool = False
    message_id: HarnessMessageId | None = None


async def start_turn(
    rows: Rows,
    session: SessionFacts,
    turn: TurnFacts,
    fence: Fence,
    owner: str,
    message_id: HarnessMessageId | None,
) -> StartedTurn:
    """Take a turn over for one attempt, and fix the id that its prompt is posted under.

    Returns:
        Whether the attempt has the turn, and the message id: that of the first attempt that
        had one to give, on every later one.
    """
    if not await claim_fence(rows, fence, owner):
        return StartedTurn(claimed=False)
    row = await run_for_one(rows, _START, prompt_id=turn.prompt_id, message_id=message_id)
    if row is None:
        return StartedTurn(claimed=True, removed=True)
    await announce(rows, "session", session.session_id, session.project_id)
    kept = HarnessMessageId(row[0]) if row[0] else None
    return StartedTurn(claimed=True, message_id=kept)


async def unfix_message(rows: Rows, prompt_id: PromptId, fence: Fence) -> None:
    """Say that nothing was posted under a turn's message id, if the attempt still has the turn."""
    await run(
        rows,
        _UNFIX,
        prompt_id=prompt_id,
        session_id=fence.session_id,
        turn_no=fence.turn_no,
        attempt_at=fence.attempt_at,
    )


async def finish_turn(rows: Rows, session: SessionFacts, turn: TurnFacts) -> None:
    """Say that a turn is over, and its sandbox at rest from now on."""
    await note_use(rows, session.harness_id)  # first: the harness is locked before its sessions
    await run(rows, _FINISH, prompt_id=turn.prompt_id)
    await announce(rows, "session", session.session_id, session.project_id)


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

    async def set_title(self, title: str) -> bool:
        """Keep the title that the harness found; false where a person has given one meanwhile."""
        kept = await self._session.scalar(
            update(SessionRow)
            .where(SessionRow.id == self._facts.session_id, SessionRow.title.is_(None))
            .values(title=title)
            .returning(SessionRow.id)
        )
        if kept is None:
            return False
        await self._announce()
        return True

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


_PROMPT, _SESSION, _HARNESS = PromptRow.__table__, SessionRow.__table__, HarnessRow.__table__
_FIND_TURN = Statement(select(_PROMPT).where(PromptRow.id == bindparam("prompt_id", type_=Uuid)))
_FIND_SESSION = Statement(
    select(_SESSION, _HARNESS)
    .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
    .where(SessionRow.id == bindparam("session_id", type_=Uuid))
)
_EARLIER = aliased(PromptRow)
_FIRST_OPEN = (
    select(_EARLIER.id)
    .where(
        _EARLIER.session_id == PromptRow.session_id,
        _EARLIER.turn_no < PromptRow.turn_no,
        _EARLIER.status != literal_column("'done'"),
    )
    .order_by(_EARLIER.turn_no)
    .limit(literal_column("1"))
    .scalar_subquery()
)
FIND_TO_RUN = Statement(
    select(_PROMPT, _SESSION, _HARNESS, _FIRST_OPEN)
    .join(SessionRow, SessionRow.id == PromptRow.session_id)
    .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
    .where(PromptRow.id == bindparam("prompt_id", type_=Uuid))
)
_START = Statement(
    text(
        """
        UPDATE prompt SET status = 'running',
            harness_message_id = coalesce(harness_message_id, CAST(:message_id AS text))
        WHERE id = :prompt_id AND status <> 'done' RETURNING harness_message_id
        """
    )
)
_UNFIX = Statement(
    text(
        """
        UPDATE prompt SET harness_message_id = NULL
        WHERE id = :prompt_id AND EXISTS (
            SELECT 1 FROM session_stream WHERE session_id = :session_id
                AND turn_no = :turn_no AND attempt_at = :attempt_at)
        """
    )
)
_FINISH = Statement(text("UPDATE prompt SET status = 'done' WHERE id = :prompt_id"))


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


def _read_row(row: Sequence[Any], *tables: FromClause) -> list[Any]:
    """Give the values that stand one table's after the other's the names of their columns."""
    values = iter(row)
    return [SimpleNamespace(zip(table.columns.keys(), values, strict=False)) for table in tables]


def _session(row: SessionRow, harness: HarnessRow) -> SessionFacts:
    return SessionFacts(
        session_id=SessionId(row.id),
        harness_id=HarnessId(row.harness_id),
        project_id=ProjectId(harness.project_id),
        status=SessionStatus(row.status),
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
        status=PromptStatus(row.status),
        harness_message_id=(
            HarnessMessageId(row.harness_message_id) if row.harness_message_id else None
        ),
        stop_requested_by=row.stop_requested_by,
    )
