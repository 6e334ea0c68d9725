"""Accepting prompts: a prompt, its turn number and its first event are one transaction.

The harness's row is locked first, so that no sandbox is put to sleep that is about to be used.
Then the row of `session_stream` is, by everybody, so that turn numbers follow the order
of acceptance without a gap and two requests with one idempotency key are one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import select, text as sql, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.event_log import EVENTS_CHANNEL, INLINE_LIMIT, append_in_transaction
from cattery.db.feed import FEED_CHANNEL, announce, encode_feed_item
from cattery.db.idle import note_prompt
from cattery.db.statements import DriverConnection, Statement, run_for_one
from cattery.db.states import PromptStatus, SessionStatus
from cattery.db.tables import PromptRow, SessionStreamRow, UserRow
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
    rows: DriverConnection,
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
    await note_prompt(rows, session_id, user.user_id)
    project_id = await _lock_session(rows, session_id)
    if idempotency_key is not None:
        known = await run_for_one(rows, _FIND_BY_KEY, session_id=session_id, key=idempotency_key)
        if known is not None:
            prompt_id, turn_no, seq, body = known
            if body != text:
                raise ConflictError(
                    "This Idempotency-Key was used for another text. Use a new key for a new "
                    "prompt."
                )
            return AcceptedPrompt(PromptId(prompt_id), turn_no, seq, created=False)
    prompt_id = PromptId(new_id())
    data = {
        "turnId": str(prompt_id),
        "messageId": f"usr_{prompt_id}",
        "text": text,
        "username": user.username,
    }
    row = await run_for_one(
        rows,
        _ACCEPT,
        session_id=session_id,
        prompt_id=prompt_id,
        key=idempotency_key,
        user_id=user.user_id,
        body=text,
        type=EventType.PROMPT_ACCEPTED.value,
        data=orjson.dumps(data).decode(),
        dedupe_key=f"prompt:{prompt_id}",
        events=EVENTS_CHANNEL,
        inline_limit=INLINE_LIMIT,
        feed=FEED_CHANNEL,
        item=encode_feed_item("session", session_id, project_id),
    )
    if row is None:
        raise NotFoundError("session")
    return AcceptedPrompt(prompt_id, row[0], row[1], created=True)


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


async def _lock_session(rows: DriverConnection, session_id: SessionId) -> ProjectId:
    """Lock a session against deletion, and its numbers; check that it takes prompts."""
    row = await run_for_one(rows, _LOCK, session_id=session_id)
    if row is None:
        raise NotFoundError("session")
    status, project_id = row
    if status == SessionStatus.FAILED:
        raise ConflictError("This session has failed and takes no prompts. Open a new session.")
    return ProjectId(project_id)


async def _lock_stream(session: AsyncSession, session_id: SessionId) -> None:
    """Lock the numbering of a session."""
    found = await session.scalar(
        select(SessionStreamRow.session_id)
        .where(SessionStreamRow.session_id == session_id)
        .with_for_update()
    )
    if found is None:
        raise NotFoundError("session")


_LOCK = Statement(
    sql(
        """
        SELECT s.status, h.project_id
        FROM session s JOIN harness h ON h.id = s.harness_id
        JOIN session_stream st ON st.session_id = s.id
        WHERE s.id = :session_id AND s.deleting_at IS NULL
        FOR SHARE OF s FOR UPDATE OF st
        """
    )
)
_FIND_BY_KEY = Statement(
    sql(
        """
        SELECT id, turn_no, accepted_seq, body FROM prompt
        WHERE session_id = :session_id AND idempotency_key = :key
        """
    )
)
_ACCEPT = Statement(
    sql(
        """
        WITH head AS (
            UPDATE session_stream SET last_turn_no = last_turn_no + 1, last_seq = last_seq + 1
            WHERE session_id = :session_id RETURNING last_turn_no AS turn_no, last_seq AS seq
        ), logged AS (
            INSERT INTO session_event (session_id, seq, turn_no, type, data, dedupe_key)
            SELECT :session_id, seq, turn_no, CAST(:type AS text),
                CAST(CAST(:data AS text) AS jsonb), :dedupe_key
            FROM head
        ), queued AS (
            INSERT INTO prompt
                (id, session_id, turn_no, idempotency_key, user_id, body, accepted_seq)
            SELECT :prompt_id, :session_id, turn_no, :key, :user_id, :body, seq FROM head
        )
        SELECT turn_no, seq, pg_notify(:feed, :item), pg_notify(:events,
            '[["' || :session_id || '",' || seq ||
            CASE WHEN octet_length(CAST(:data AS text)) <= :inline_limit
                THEN ',[[' || seq || ',' || turn_no || ',"' || CAST(:type AS text) || '",' ||
                    CAST(:data AS text) || ']]'
                ELSE '' END || ']]')
        FROM head
        """
    )
)
