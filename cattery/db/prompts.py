"""Accepting prompts: a prompt, its turn number and its first event are one transaction.

The harness's row is locked first, so that no sandbox is put to sleep that is about to be used.
Then the row of `session_stream` is, by everybody, so that turn numbers follow the order
of acceptance without a gap and two requests with one idempotency key are one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.event_log import append_in_transaction
from cattery.db.feed import announce
from cattery.db.idle import note_prompt
from cattery.db.states import PromptStatus, SessionStatus
from cattery.db.tables import HarnessRow, PromptRow, SessionRow, SessionStreamRow, UserRow
from cattery.errors import ConflictError, NotFoundError
from cattery.events.model import EventType, NewEvent
from cattery.ids import ProjectId, PromptId, SessionId, UserId, new_id


@dataclass(frozen=True, slots=True)
class PromptAuthor:
    """Who prompts."""

    user_id: UserId
    username: str


@dataclass(frozen=True, slots=True)
class AcceptedPrompt:
    """A prompt that is in the log. `created` is false where the key named one from before."""

    prompt_id: PromptId
    turn_no: int
    seq: int
    created: bool


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A prompt that runs or waits."""

    turn_id: PromptId
    turn_no: int
    text: str
    status: PromptStatus
    username: str | None
    created_at: datetime


async def accept_prompt(
    session: AsyncSession,
    session_id: SessionId,
    user: PromptAuthor,
    text: str,
    idempotency_key: str | None,
) -> AcceptedPrompt:
    """Take a prompt into a session's queue and its log.

    Raises:
        NotFoundError: the session is being deleted.
        ConflictError: it has failed, or the key was used for another text.
    """
    await note_prompt(session, session_id, user.user_id)
    project_id = await _lock_session(session, session_id)
    turn_no = await _lock_stream(session, session_id) + 1
    known = await _find_by_key(session, session_id, idempotency_key)
    if known is not None:
        if known.body != text:
            raise ConflictError(
                "This Idempotency-Key was used for another text. Use a new key for a new prompt."
            )
        return AcceptedPrompt(PromptId(known.id), known.turn_no, known.accepted_seq, created=False)
    prompt_id = PromptId(new_id())
    await session.execute(
        update(SessionStreamRow)
        .where(SessionStreamRow.session_id == session_id)
        .values(last_turn_no=turn_no)
    )
    event = NewEvent(
        EventType.PROMPT_ACCEPTED,
        {
            "turnId": str(prompt_id),
            "messageId": f"usr_{prompt_id}",
            "text": text,
            "username": user.username,
        },
        dedupe_key=f"prompt:{prompt_id}",
    )
    seq = await append_in_transaction(session, session_id, turn_no, event)
    if seq is None:
        raise NotFoundError("session")
    await session.execute(
        insert(PromptRow).values(
            id=prompt_id,
            session_id=session_id,
            turn_no=turn_no,
            idempotency_key=idempotency_key,
            user_id=user.user_id,
            body=text,
            accepted_seq=seq,
        )
    )
    await announce(session, "session", session_id, project_id)
    return AcceptedPrompt(prompt_id, turn_no, seq, created=True)


async def list_open_prompts(session: AsyncSession, session_id: SessionId) -> Sequence[PromptRecord]:
    """List the prompts that run or wait, in their order."""
    rows = await session.execute(
        select(PromptRow, UserRow.username)
        .outerjoin(UserRow, UserRow.id == PromptRow.user_id)
        .where(PromptRow.session_id == session_id, PromptRow.status != PromptStatus.DONE)
        .order_by(PromptRow.turn_no)
    )
    return [
        PromptRecord(PromptId(row.id), row.turn_no, row.body, row.status, username, row.created_at)
        for row, username in rows
    ]


async def remove_queued_prompt(
    session: AsyncSession, project_id: ProjectId, session_id: SessionId, prompt_id: PromptId
) -> None:
    """Take a prompt that still waits out of the queue, and say so in the log.

    Raises:
        NotFoundError: the session has no such prompt.
        ConflictError: it already runs, or is over.
    """
    await _lock_stream(session, session_id)
    turn_no = await session.scalar(
        update(PromptRow)
        .where(
            PromptRow.id == prompt_id,
            PromptRow.session_id == session_id,
            PromptRow.status == PromptStatus.QUEUED,
        )
        .values(status=PromptStatus.DONE)
        .returning(PromptRow.turn_no)
    )
    if turn_no is None:
        exists = await session.scalar(
            select(PromptRow.id).where(
                PromptRow.id == prompt_id, PromptRow.session_id == session_id
            )
        )
        if exists is None:
            raise NotFoundError("prompt")
        raise ConflictError("This prompt runs already or is over. Stop its turn instead.")
    event = NewEvent(
        EventType.PROMPT_REMOVED,
        {"turnId": str(prompt_id)},
        dedupe_key=f"prompt-removed:{prompt_id}",
    )
    await append_in_transaction(session, session_id, turn_no, event)
    await announce(session, "session", session_id, project_id)


async def _lock_session(session: AsyncSession, session_id: SessionId) -> ProjectId:
    """Keep a session from being deleted meanwhile, and check that it takes prompts."""
    row = (
        await session.execute(
            select(SessionRow.status, HarnessRow.project_id)
            .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
            .where(SessionRow.id == session_id, SessionRow.deleting_at.is_(None))
            .with_for_update(read=True, of=SessionRow)
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("session")
    if row.status is SessionStatus.FAILED:
        raise ConflictError("This session has failed and takes no prompts. Open a new session.")
    return ProjectId(row.project_id)


async def _lock_stream(session: AsyncSession, session_id: SessionId) -> int:
    """Lock the numbering of a session; return the last turn number."""
    last_turn_no = await session.scalar(
        select(SessionStreamRow.last_turn_no)
        .where(SessionStreamRow.session_id == session_id)
        .with_for_update()
    )
    if last_turn_no is None:
        raise NotFoundError("session")
    return last_turn_no


async def _find_by_key(
    session: AsyncSession, session_id: SessionId, idempotency_key: str | None
) -> PromptRow | None:
    if idempotency_key is None:
        return None
    found: PromptRow | None = await session.scalar(
        select(PromptRow).where(
            PromptRow.session_id == session_id, PromptRow.idempotency_key == idempotency_key
        )
    )
    return found
