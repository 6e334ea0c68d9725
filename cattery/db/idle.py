"""Which sandboxes nobody uses, and what keeps one awake. The rows are the truth.

A sandbox is in use while one of its turns runs or waits (an open question is part of its turn),
while a session is being opened, and while somebody holds a lease: a terminal that is attached, or a
person who said so. What has ended by then leaves its moment in `used_at`.

Whoever uses a sandbox writes `used_at` before anything else, and so locks the harness's row; who
lets it sleep locks it too. So one of them comes first, and the other one sees it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import ReadSession
from cattery.db.feed import announce
from cattery.db.statements import Rows, Statement, run_for_one
from cattery.db.states import HarnessStatus, StoppedReason
from cattery.db.tables import HarnessRow
from cattery.db.timeline import Happening
from cattery.ids import HarnessId, ProjectId, SessionId, UserId

SAVED: Final = "slept"
"""The site's fact `{seconds}`: how long sandboxes have slept that were woken again."""
ONE_LOOK: Final = 200
"""Sandboxes that one look finds; the next look finds the others."""


@dataclass(frozen=True, slots=True)
class IdleSandbox:
    """A sandbox that runs and that nobody uses."""

    harness_id: HarnessId
    project_id: ProjectId
    generation: int


async def note_use(
    rows: Rows, harness_id: HarnessId, *, by: UserId | None = None, how: str = ""
) -> bool:
    """Say that a harness is being used now; false where it is being deleted.

    Called before anything else is locked: deletions lock the harness first, too.

    Args:
        rows: the transaction.
        harness_id: which one.
        by: who uses it, where that wakes it.
        how: what wakes it then, in words.
    """
    found = await run_for_one(rows, _USE, harness_id=harness_id)
    if found is None:
        return False
    await _note_waking(rows, harness_id, found[0], by, how)
    return True


async def note_prompt(rows: Rows, session_id: SessionId, by: UserId) -> None:
    """Say that somebody prompts in a session, which wakes its sandbox where it sleeps."""
    found = await run_for_one(rows, _USE_BY_PROMPT, session_id=session_id)
    if found is not None:
        await _note_waking(rows, HarnessId(found[1]), found[0], by, "By a prompt.")


async def _note_waking(
    rows: Rows, harness_id: HarnessId, status: str, by: UserId | None, how: str
) -> None:
    if by is not None and status in (HarnessStatus.IDLE, HarnessStatus.FAILED):
        await timeline.record(rows, harness_id, Happening.WOKEN, by=by, detail=how)


_USE: Final = Statement(
    text(
        """
        UPDATE harness SET used_at = now() WHERE id = :harness_id AND deleting_at IS NULL
        RETURNING status
        """
    )
)
_USE_BY_PROMPT: Final = Statement(
    text(
        """
        UPDATE harness h SET used_at = now()
        FROM session s WHERE s.id = :session_id AND h.id = s.harness_id AND h.deleting_at IS NULL
        RETURNING h.status, h.id
        """
    )
)


async def find_idle(session: ReadSession, default: timedelta) -> Sequence[IdleSandbox]:
    """Find sandboxes that nobody has used for long enough, those first that rest the longest."""
    rows = await session.execute(
        text(FIND_IDLE),
        {"default": default.total_seconds(), "limit": ONE_LOOK},
    )
    return [IdleSandbox(HarnessId(h), ProjectId(p), generation) for h, p, generation in rows]


async def claim_idle(
    session: AsyncSession, harness_id: HarnessId, generation: int, default: timedelta
) -> bool:
    """Say that a sandbox sleeps from now on; false where somebody uses it or it does not run.

    Safe to repeat: true again as long as it is that generation that sleeps. Whoever prompts after
    this transaction finds no sandbox, and wakes one.
    """
    row = await session.get(HarnessRow, harness_id, with_for_update={"key_share": True})
    if row is None or row.generation != generation:
        return False
    if row.status is HarnessStatus.IDLE and row.stopped_reason == StoppedReason.IDLE:
        return True
    idle = await session.scalar(
        text(f"SELECT h.id {_IDLE} AND h.id = :harness_id"),
        {"default": default.total_seconds(), "harness_id": harness_id},
    )
    if idle is None:
        return False
    resting = await session.scalar(
        update(HarnessRow)
        .where(HarnessRow.id == harness_id)
        .values(
            status=HarnessStatus.IDLE,
            suspended_at=func.now(),
            stopped_reason=StoppedReason.IDLE,
            endpoint_url=None,
            endpoint_password=None,
            waiting=None,
        )
        .returning(func.extract("epoch", func.now() - HarnessRow.used_at))
    )
    detail = f"Nobody used it for {in_words(timedelta(seconds=float(resting or 0)))}."
    await timeline.record(session, harness_id, Happening.SUSPENDED, detail=detail)
    await announce(session, "harness", harness_id, ProjectId(row.project_id))
    return True


async def count_sleep(session: AsyncSession, harness_id: HarnessId, generation: int) -> float:
    """Count how long a sandbox slept, once this generation wakes it; returns the seconds.

    Safe to repeat: a sleep is counted once, and 0 is returned where there was none. The site's sum
    is a row of its own, so that what deleted harnesses saved stays counted.
    """
    seconds = await session.scalar(
        select(func.extract("epoch", func.now() - HarnessRow.suspended_at))
        .where(
            HarnessRow.id == harness_id,
            HarnessRow.generation == generation,
            HarnessRow.suspended_at.is_not(None),
        )
        .with_for_update(key_share=True)
    )
    if seconds is None:
        return 0.0
    await session.execute(
        update(HarnessRow)
        .where(HarnessRow.id == harness_id)
        .values(
            suspended_at=None,
            suspended_seconds=HarnessRow.suspended_seconds + float(seconds),
        )
    )
    await session.execute(_ADD_TO_SUM, {"name": SAVED, "seconds": float(seconds)})
    return float(seconds)


@dataclass(frozen=True, slots=True)
class Savings:
    """What suspending has saved: sandboxes that sleep now, and seconds that any have slept."""

    sleeping: int
    seconds: float


async def read_savings(session: ReadSession) -> Savings:
    """Sum up what all sandboxes have slept, those that sleep now included."""
    row = (await session.execute(_SAVINGS, {"name": SAVED})).one()
    return Savings(int(row[0]), float(row[1]))


async def note_expired(
    session: AsyncSession, harness_id: HarnessId, generation: int, at: datetime
) -> None:
    """Say that a sandbox sleeps since its runtime ended it: no worker said that it is wanted."""
    project_id = await session.scalar(
        update(HarnessRow)
        .where(
            HarnessRow.id == harness_id,
            HarnessRow.generation == generation,
            HarnessRow.status == HarnessStatus.READY,
        )
        .values(
            status=HarnessStatus.IDLE,
            suspended_at=at,
            stopped_reason=StoppedReason.LEASE,
            endpoint_url=None,
            endpoint_password=None,
            waiting=None,
        )
        .returning(HarnessRow.project_id)
    )
    if project_id is not None:
        detail = "The cluster ended it: no worker of this site was there to keep it running."
        await timeline.record(session, harness_id, Happening.SUSPENDED, detail=detail)
        await announce(session, "harness", harness_id, ProjectId(project_id))


def describe_idle_timeout(seconds: int | None) -> str:
    """Say in words when a sandbox is suspended."""
    if seconds is None:
        return "As the site says."
    return f"After {in_words(timedelta(seconds=seconds))}." if seconds else "Never."


def in_words(span: timedelta) -> str:
    """Say how long something is, roughly, as people do."""
    seconds = round(span.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size or seconds == size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


_IDLE: Final = """
    FROM harness h
    WHERE h.status = 'ready' AND h.deleting_at IS NULL
      AND coalesce(h.idle_timeout_seconds, :default) > 0
      AND h.used_at < now() - make_interval(secs => coalesce(h.idle_timeout_seconds, :default))
      AND NOT EXISTS (SELECT 1 FROM sandbox_lease l WHERE l.harness_id = h.id)
      AND NOT EXISTS (
          SELECT 1 FROM session s
          WHERE s.harness_id = h.id AND s.deleting_at IS NULL AND s.status <> 'failed'
            AND (s.status = 'creating' OR EXISTS (
                SELECT 1 FROM prompt p WHERE p.session_id = s.id AND p.status <> 'done')))
"""
"""An expired lease counts until it is ended, which moves `used_at` to where it expired."""
FIND_IDLE: Final = (
    f"SELECT h.id, h.project_id, h.generation {_IDLE} ORDER BY h.used_at LIMIT :limit"
)
_ADD_TO_SUM: Final = text(
    """
    INSERT INTO site_fact (name, value)
    VALUES (:name, jsonb_build_object('seconds', CAST(:seconds AS float8)))
    ON CONFLICT (name) DO UPDATE SET found_at = now(), value = jsonb_build_object(
        'seconds', CAST(site_fact.value ->> 'seconds' AS float8) + CAST(:seconds AS float8))
    """
)
_SAVINGS: Final = text(
    """
    SELECT count(*), coalesce(sum(extract(epoch FROM now() - suspended_at)), 0) + coalesce(
        (SELECT CAST(value ->> 'seconds' AS float8) FROM site_fact WHERE name = :name), 0)
    FROM harness WHERE suspended_at IS NOT NULL
    """
)
