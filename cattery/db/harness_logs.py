"""The last lines of harnesses' logs, as workers read them for whoever asked.

Log text never travels through Temporal; it goes through this table. What was read last stays here,
for when there is nothing to read any more.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import ReadSession
from cattery.db.tables import HarnessLogRow, HarnessRow
from cattery.ids import HarnessId

MAX_LETTERS = 1024 * 1024
"""Of one log; the end is kept."""


@dataclass(frozen=True, slots=True)
class StoredLog:
    """A log as it was read at a moment."""

    captured_at: datetime
    log: str


async def find_log(session: ReadSession, harness_id: HarnessId) -> StoredLog | None:
    """Read what was stored last of a harness's log."""
    row = await session.get(HarnessLogRow, harness_id)
    return None if row is None else StoredLog(row.captured_at, row.log)


async def store_log(session: AsyncSession, harness_id: HarnessId, log: str) -> None:
    """Keep a log in place of the last one; nothing happens where the harness is gone."""
    text = log.replace("\0", "\N{REPLACEMENT CHARACTER}")[-MAX_LETTERS:]
    found = select(HarnessRow.id, func.now(), literal(text)).where(HarnessRow.id == harness_id)
    statement = insert(HarnessLogRow).from_select(["harness_id", "captured_at", "log"], found)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[HarnessLogRow.harness_id],
            set_={"captured_at": func.now(), "log": statement.excluded.log},
        )
    )
