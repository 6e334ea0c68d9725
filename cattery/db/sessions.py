"""Every query of the routes about sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Uuid, bindparam, func, literal, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database
from cattery.db.event_log import append_in_transaction
from cattery.db.feed import announce
from cattery.db.idle import note_use
from cattery.db.statements import Statement, run_for_one
from cattery.db.states import PromptStatus, SessionPhase, SessionStatus
from cattery.db.tables import PromptRow, SessionRow, SessionStreamRow
from cattery.errors import ConflictError, NotFoundError
from cattery.events.model import EventType, NewEvent
from cattery.ids import HarnessId, ProjectId, SessionId, UserId, new_id

SEEN_EVERY = timedelta(minutes=1)
"""How often at most `last_seen_at` is written."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as its users see it."""

    session_id: SessionId
    harness_id: HarnessId
    status: SessionStatus
    phase: SessionPhase | None
    title: str | None
    harness_session_id: str | None
    created_at: datetime
    last_seen_at: datetime | None
    stopped_at: datetime | None
    failure: str | None
    working: bool
    last_seq: int


async def create_session(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    user_id: UserId,
    *,
    theme: str,
) -> SessionRecord:
    """Add a session that is about to be opened, with its event log.

    Raises:
        ConflictError: the harness is being deleted.
    """
    if not await note_use(session, harness_id, by=user_id, how="By a new session."):
        raise ConflictError("This harness is being deleted. Make another harness for new sessions.")
    session_id = SessionId(new_id())
    await session.execute(
        insert(SessionRow).values(
            id=session_id,
            harness_id=harness_id,
            created_by=user_id,
            status=SessionStatus.CREATING,
            theme=theme,
        )
    )
    await session.execute(insert(SessionStreamRow).values(session_id=session_id))
    await announce(session, "session", session_id, project_id)
    return await get_session(session, session_id)


async def list_sessions(database: Database, harness_id: HarnessId) -> Sequence[SessionRecord]:
    """List a harness's sessions, newest first."""
    rows = await database.fetch_all(_LIST, harness_id=harness_id)
    return [_record(row) for row in rows]


async def get_session(session: AsyncSession, session_id: SessionId) -> SessionRecord:
    """Read a session.

    Raises:
        NotFoundError: there is none, or it is being deleted.
    """
    row = await run_for_one(session, _GET, session_id=session_id)
    if row is None:
        raise NotFoundError("session")
    return _record(row)


async def note_seen(session: AsyncSession, session_id: SessionId) -> None:
    """Remember that somebody looks at a session; written at most once a minute."""
    await session.execute(
        update(SessionRow)
        .where(
            SessionRow.id == session_id,
            or_(
                SessionRow.last_seen_at.is_(None),
                SessionRow.last_seen_at < func.now() - literal(SEEN_EVERY),
            ),
        )
        .values(last_seen_at=func.now())
    )


async def rename_session(
    session: AsyncSession, project_id: ProjectId, session_id: SessionId, title: str
) -> SessionRecord:
    """Give a session another title, and say so in its log, for those who watch it."""
    event = NewEvent(EventType.SESSION_TITLE, {"title": title})
    await append_in_transaction(session, session_id, 0, event)
    await session.execute(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.deleting_at.is_(None))
        .values(title=title)
    )
    await announce(session, "session", session_id, project_id)
    return await get_session(session, session_id)


async def tombstone_session(
    session: AsyncSession, project_id: ProjectId, session_id: SessionId
) -> None:
    """Begin the deletion of a session: it is invisible from now on.

    Raises:
        NotFoundError: somebody else's deletion came first.
    """
    marked = await session.scalar(
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.deleting_at.is_(None))
        .values(deleting_at=func.now())
        .returning(SessionRow.id)
    )
    if marked is None:
        raise NotFoundError("session")
    await announce(session, "session", session_id, project_id)


def _record(row: Sequence[Any]) -> SessionRecord:
    return SessionRecord(
        session_id=SessionId(row[0]),
        harness_id=HarnessId(row[1]),
        status=SessionStatus(row[2]),
        phase=None if row[3] is None else SessionPhase(row[3]),
        title=row[4],
        harness_session_id=row[5],
        created_at=row[6],
        last_seen_at=row[7],
        stopped_at=row[8],
        failure=row[9],
        working=row[10],
        last_seq=row[11],
    )


_WORKING = (
    select(PromptRow.id)
    .where(
        PromptRow.session_id == SessionRow.id,
        PromptRow.status != literal_column(f"'{PromptStatus.DONE}'"),
    )
    .exists()
)
_SESSIONS = (
    select(
        SessionRow.id,
        SessionRow.harness_id,
        SessionRow.status,
        SessionRow.phase,
        SessionRow.title,
        SessionRow.harness_session_id,
        SessionRow.created_at,
        SessionRow.last_seen_at,
        SessionRow.stopped_at,
        SessionRow.failure,
        _WORKING,
        func.coalesce(SessionStreamRow.last_seq, literal_column("0")),
    )
    .outerjoin(SessionStreamRow, SessionStreamRow.session_id == SessionRow.id)
    .where(SessionRow.deleting_at.is_(None))
)
_LIST = Statement(
    _SESSIONS.where(SessionRow.harness_id == bindparam("harness_id", type_=Uuid)).order_by(
        SessionRow.created_at.desc(), SessionRow.id
    )
)
_GET = Statement(_SESSIONS.where(SessionRow.id == bindparam("session_id", type_=Uuid)))
