"""What happened to a harness and who did it, one line each; written with the change itself.

The newest lines are kept, so that a harness that lives for years costs as much as a young one. A
line that says the same as the one before it is left out: activities are repeated, and people press
twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.statements import Rows, Statement, run
from cattery.db.tables import HarnessEventRow
from cattery.ids import DeletionId, HarnessId, UserId

KEPT: Final = 500
"""Lines of one harness."""
MAX_DETAIL: Final = 1_000


class Happening(StrEnum):
    """What a line tells of."""

    CREATED = "created"
    RENAMED = "renamed"
    IDLE_TIMEOUT_CHANGED = "idle_timeout_changed"
    START_ASKED = "start_asked"
    STOP_ASKED = "stop_asked"
    KEPT_AWAKE = "kept_awake"
    LET_SLEEP = "let_sleep"
    WOKEN = "woken"
    STARTED = "started"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RECOVERED = "recovered"
    FAILED = "failed"
    DELETION_ASKED = "deletion_asked"
    DELETION_UNDONE = "deletion_undone"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line. `by` is nobody's name where the platform acted by itself."""

    entry_id: int
    at: datetime
    kind: str
    by: str | None
    detail: str | None


async def record(
    rows: Rows,
    harness_id: HarnessId,
    kind: Happening,
    *,
    by: UserId | None = None,
    name: str | None = None,
    detail: str | None = None,
) -> None:
    """Write a line in the caller's transaction, which has changed the harness's row already.

    That order keeps the row from going meanwhile, and makes transactions lock in the same order.
    The name of whoever did it is kept as it is now: the user may be gone when it is read. Where
    only that is known, it comes as `name`.
    """
    await run(
        rows,
        _INSERT,
        harness_id=harness_id,
        kind=kind.value,
        user_id=by,
        name=name,
        detail=detail[:MAX_DETAIL] if detail else None,
    )
    await run(rows, _TRIM, harness_id=harness_id, kept=KEPT)


async def record_for_marked(
    session: AsyncSession, deletion_id: DeletionId, kind: Happening, *, by: str, detail: str
) -> None:
    """Write a line for each harness that a deletion marks, in its transaction."""
    await session.execute(
        _INSERT_FOR_MARKED,
        {"deletion_id": deletion_id, "kind": kind.value, "name": by, "detail": detail},
    )


async def list_timeline(
    session: AsyncSession, harness_id: HarnessId, *, before: int | None, limit: int
) -> Sequence[TimelineEntry]:
    """List a harness's lines, the newest first, from those before a line on."""
    wanted = select(HarnessEventRow).where(HarnessEventRow.harness_id == harness_id)
    if before is not None:
        wanted = wanted.where(HarnessEventRow.id < before)
    rows = await session.scalars(wanted.order_by(HarnessEventRow.id.desc()).limit(limit))
    return [TimelineEntry(row.id, row.at, row.kind, row.by_username, row.detail) for row in rows]


_INSERT: Final = Statement(
    text(
        """
        INSERT INTO harness_event (harness_id, at, kind, by_user_id, by_username, detail)
        SELECT h.id, clock_timestamp(), CAST(:kind AS text), u.id,
            coalesce(u.username, CAST(:name AS text)), CAST(:detail AS text)
        FROM harness h LEFT JOIN app_user u ON u.id = CAST(:user_id AS uuid)
        WHERE h.id = :harness_id AND NOT EXISTS (
            SELECT 1 FROM (
                SELECT kind, by_username, detail FROM harness_event
                WHERE harness_id = :harness_id ORDER BY id DESC LIMIT 1
            ) last
            WHERE last.kind = CAST(:kind AS text)
              AND last.by_username IS NOT DISTINCT FROM coalesce(u.username, CAST(:name AS text))
              AND last.detail IS NOT DISTINCT FROM CAST(:detail AS text)
        )
        """
    )
)
_INSERT_FOR_MARKED: Final = text(
    """
    INSERT INTO harness_event (harness_id, at, kind, by_username, detail)
    SELECT h.id, clock_timestamp(), :kind, :name, :detail
    FROM harness h WHERE h.deletion_id = :deletion_id
    """
)
_TRIM: Final = Statement(
    text(
        """
        DELETE FROM harness_event WHERE harness_id = :harness_id AND id <= (
            SELECT id FROM harness_event WHERE harness_id = :harness_id
            ORDER BY id DESC OFFSET :kept LIMIT 1
        )
        """
    )
)
