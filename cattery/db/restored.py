"""What a database has to be told once it was restored from a backup: it knows less than there is.

A sandbox may have been started since, so that it runs at a generation that its row does not know,
with a token and a password that are not in any row. Nobody could reach it, and whoever started the
next generation would be told that it is out of date.
"""

from typing import Final

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import ReadSession
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow, SandboxTokenRow
from cattery.db.timeline import Happening
from cattery.ids import HarnessId

GENERATIONS_APART: Final = 1_000
"""More starts than a harness has between a backup and its use."""
WHY: Final = "The database was restored from a backup."
_RUNS: Final = HarnessRow.status.in_([HarnessStatus.STARTING, HarnessStatus.READY])


async def count_sandboxes(session: ReadSession) -> int:
    """Count the sandboxes that start or run by their rows."""
    return await session.scalar(select(func.count()).select_from(HarnessRow).where(_RUNS)) or 0


async def forget_sandboxes(session: AsyncSession) -> int:
    """Say of every sandbox that none runs, at a generation beyond all that there may be.

    Whatever runs is then older than its row: the sweep ends it, and the next prompt starts it anew
    with the same files and HOME. All tokens end. Returns how many ran by their rows.
    """
    ran = (await session.scalars(select(HarnessRow.id).where(_RUNS).with_for_update())).all()
    await session.execute(
        update(HarnessRow).values(generation=HarnessRow.generation + GENERATIONS_APART)
    )
    await session.execute(
        update(HarnessRow)
        .where(HarnessRow.id.in_(ran))
        .values(status=HarnessStatus.IDLE, endpoint_url=None, endpoint_password=None, waiting=None)
    )
    await session.execute(
        update(SandboxTokenRow)
        .where(SandboxTokenRow.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )
    for harness_id in ran:
        await timeline.record(session, HarnessId(harness_id), Happening.STOPPED, detail=WHY)
    return len(ran)
