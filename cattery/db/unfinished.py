"""What rows say is under way: the prompts that wait or run, the sessions that nobody opened.

For whoever makes workflows again from rows: the sweep, and `cattery reconcile`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import func, literal, select

from cattery.db.engine import ReadSession
from cattery.db.states import PromptStatus, SessionStatus
from cattery.db.tables import DeletionRow, HarnessRow, ProjectRow, PromptRow, SessionRow
from cattery.deletion_states import DeletionPhase
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId

SESSION_IS_STUCK_AFTER: Final = timedelta(minutes=5)
"""Of its deletion."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """A session and what it belongs to."""

    session_id: SessionId
    harness_id: HarnessId
    project_id: ProjectId


@dataclass(frozen=True, slots=True)
class UnfinishedPrompt:
    """A prompt that waits or runs. The head of its session's queue is the next to run, or runs."""

    place: SessionPlace
    prompt_id: PromptId
    status: PromptStatus
    is_head: bool


async def list_unfinished_prompts(
    session: ReadSession, *, older_than: timedelta
) -> Sequence[UnfinishedPrompt]:
    """List the prompts of live sessions that have waited for so long, in the order of turns."""
    place_in_queue = func.row_number().over(
        partition_by=PromptRow.session_id, order_by=PromptRow.turn_no
    )
    queued = (
        select(
            PromptRow.session_id,
            HarnessRow.id.label("harness_id"),
            HarnessRow.project_id,
            PromptRow.id,
            PromptRow.status,
            place_in_queue.label("place"),
            (PromptRow.created_at < func.now() - literal(older_than)).label("is_due"),
        )
        .join(SessionRow, SessionRow.id == PromptRow.session_id)
        .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
        .where(
            PromptRow.status != PromptStatus.DONE,
            SessionRow.deleting_at.is_(None),
            SessionRow.status != SessionStatus.FAILED,
            HarnessRow.deleting_at.is_(None),
        )
        .subquery()
    )
    rows = await session.execute(
        select(queued).where(queued.c.is_due).order_by(queued.c.session_id, queued.c.place)
    )
    return [
        UnfinishedPrompt(
            place=SessionPlace(
                SessionId(row.session_id), HarnessId(row.harness_id), ProjectId(row.project_id)
            ),
            prompt_id=PromptId(row.id),
            status=row.status,
            is_head=row.place == 1,
        )
        for row in rows
    ]


async def list_unopened_sessions(
    session: ReadSession, *, older_than: timedelta
) -> Sequence[SessionPlace]:
    """List sessions that have been in the making for so long."""
    rows = await session.execute(
        select(SessionRow.id, HarnessRow.id, HarnessRow.project_id)
        .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
        .where(
            SessionRow.status == SessionStatus.CREATING,
            SessionRow.deleting_at.is_(None),
            HarnessRow.deleting_at.is_(None),
            SessionRow.created_at < func.now() - literal(older_than),
        )
    )
    return [SessionPlace(SessionId(s), HarnessId(h), ProjectId(p)) for s, h, p in rows]


async def count_stuck_deletions(session: ReadSession) -> int:
    """Count the deletions of which a step keeps failing, and those of sessions that go on for long.

    The latter have no record that says so, and are done within seconds where all is well.
    """
    recorded = await session.scalar(
        select(func.count())
        .select_from(DeletionRow)
        .where(DeletionRow.phase == DeletionPhase.STUCK, DeletionRow.ended_at.is_(None))
    )
    sessions = await session.scalar(
        select(func.count())
        .select_from(SessionRow)
        .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
        .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
        .where(
            SessionRow.deleting_at < func.now() - literal(SESSION_IS_STUCK_AFTER),
            HarnessRow.deleting_at.is_(None),
            ProjectRow.deleting_at.is_(None),
        )
    )
    return (recorded or 0) + (sessions or 0)
