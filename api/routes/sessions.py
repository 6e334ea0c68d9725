"""Sessions: open, read, rename, delete; stop a turn, answer a question (contract/api.md)."""

from fastapi import APIRouter, status

from api.dependencies import (
    Db,
    HarnessAccess,
    HarnessAccessEvenDeleting,
    LifecyclesDep,
    SessionAccess,
)
from api.follow_up import tell_lifecycles
from api.schemas.errors import answers
from api.schemas.sessions import QuestionReply, Session, SessionCreate, SessionUpdate
from cattery.db import sessions
from cattery.events.model import Answer

router = APIRouter(tags=["sessions"])

DEFAULT_THEME = "dark"


@router.get("/harnesses/{harness_id}/sessions", responses=answers(401, 404))
async def list_sessions(access: HarnessAccess, database: Db) -> list[Session]:
    """List a harness's sessions, newest first."""
    found = await sessions.list_sessions(database, access.harness_id)
    return [Session.model_validate(record) for record in found]


@router.post(
    "/harnesses/{harness_id}/sessions",
    status_code=status.HTTP_201_CREATED,
    responses=answers(400, 401, 404, 409),
)
async def create_session(
    access: HarnessAccessEvenDeleting,
    database: Db,
    lifecycles: LifecyclesDep,
    wanted: SessionCreate | None = None,
) -> Session:
    """Open a session; the harness's sandbox starts if it does not run."""
    theme = (wanted.theme if wanted else None) or DEFAULT_THEME
    async with database.write() as session:
        record = await sessions.create_session(
            session, access.project_id, access.harness_id, access.user.user_id, theme=theme
        )
    await tell_lifecycles(lifecycles.open_session(record.session_id))
    return Session.model_validate(record)


@router.get("/sessions/{session_id}", responses=answers(401, 404))
async def read_session(access: SessionAccess, database: Db) -> Session:
    """Read a session and how it is."""
    async with database.write() as session:
        await sessions.note_seen(session, access.session_id)
        return Session.model_validate(await sessions.get_session(session, access.session_id))


@router.patch("/sessions/{session_id}", responses=answers(400, 401, 404))
async def rename_session(access: SessionAccess, change: SessionUpdate, database: Db) -> Session:
    """Give a session another title."""
    async with database.write() as session:
        record = await sessions.rename_session(
            session, access.project_id, access.session_id, change.title
        )
    return Session.model_validate(record)


@router.delete(
    "/sessions/{session_id}", status_code=status.HTTP_204_NO_CONTENT, responses=answers(401, 404)
)
async def delete_session(access: SessionAccess, database: Db, lifecycles: LifecyclesDep) -> None:
    """Delete a session with its history; what runs in it is stopped."""
    async with database.write() as session:
        await sessions.tombstone_session(session, access.project_id, access.session_id)
    await tell_lifecycles(lifecycles.delete_session(access.session_id))


@router.post(
    "/sessions/{session_id}/abort",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 404, 503),
)
async def abort_turn(access: SessionAccess, lifecycles: LifecyclesDep) -> None:
    """Stop the running turn, if one runs."""
    access.require_chat()
    await lifecycles.abort_turn(access.session_id, stopped_by=access.user.username)


@router.post(
    "/sessions/{session_id}/answer",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=answers(400, 401, 404, 503),
)
async def answer_question(
    access: SessionAccess, reply: QuestionReply, lifecycles: LifecyclesDep
) -> None:
    """Answer an open question of the agent."""
    access.require_chat()
    given = [
        Answer(answer.question, tuple(answer.selectedLabels), answer.notes)
        for answer in reply.answers
    ]
    await lifecycles.answer_question(access.session_id, reply.questionId, given)
