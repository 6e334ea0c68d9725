"""What keeps a sandbox awake though no turn of it runs: an attached terminal, a person's word.

A lease is a row with an end. Whoever holds one renews it and gives it back; where its holder dies,
it counts until it ends.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, func, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db import timeline
from cattery.db.engine import ReadSession
from cattery.db.feed import announce
from cattery.db.idle import in_words, note_use
from cattery.db.tables import SandboxLeaseRow
from cattery.db.timeline import Happening
from cattery.ids import HarnessId, ProjectId, UserId

BY_HAND: Final = "hand"
"""The holder of the lease that people take and give back; there is one a harness."""
ONE_LOOK: Final = 500
"""Harnesses whose leases one look ends; the next look ends the others'."""


async def hold_lease(
    session: AsyncSession, harness_id: HarnessId, holder: str, span: timedelta
) -> bool:
    """Keep a sandbox awake for so long from now on; false where the harness is being deleted."""
    if not await note_use(session, harness_id):
        return False
    expires_at = func.now() + literal(span)
    await session.execute(
        insert(SandboxLeaseRow)
        .values(harness_id=harness_id, holder=holder, expires_at=expires_at)
        .on_conflict_do_update(
            index_elements=[SandboxLeaseRow.harness_id, SandboxLeaseRow.holder],
            set_={"expires_at": expires_at},
        )
    )
    return True


async def release_lease(session: AsyncSession, harness_id: HarnessId, holder: str) -> bool:
    """Give a lease back: from now on the sandbox rests. False where there is none."""
    await note_use(session, harness_id)
    released = await session.scalar(
        delete(SandboxLeaseRow)
        .where(SandboxLeaseRow.harness_id == harness_id, SandboxLeaseRow.holder == holder)
        .returning(SandboxLeaseRow.holder)
    )
    return released is not None


async def keep_awake(
    session: AsyncSession,
    project_id: ProjectId,
    harness_id: HarnessId,
    span: timedelta,
    by: UserId,
) -> None:
    """Keep a sandbox awake because somebody says so."""
    if not await hold_lease(session, harness_id, BY_HAND, span):
        return
    detail = f"For {in_words(span)}."
    await timeline.record(session, harness_id, Happening.KEPT_AWAKE, by=by, detail=detail)
    await announce(session, "harness", harness_id, project_id)


async def let_sleep(
    session: AsyncSession, project_id: ProjectId, harness_id: HarnessId, by: UserId
) -> None:
    """Take back what `keep_awake` said; nothing where nobody said it."""
    if await release_lease(session, harness_id, BY_HAND):
        await timeline.record(session, harness_id, Happening.LET_SLEEP, by=by)
        await announce(session, "harness", harness_id, project_id)


async def list_expired_holders(session: ReadSession) -> Sequence[HarnessId]:
    """List harnesses with leases that were not given back in time."""
    rows = await session.scalars(
        select(SandboxLeaseRow.harness_id)
        .where(SandboxLeaseRow.expires_at < func.now())
        .distinct()
        .limit(ONE_LOOK)
    )
    return [HarnessId(row) for row in rows]


async def end_expired_leases(session: AsyncSession, harness_id: HarnessId) -> None:
    """Remove a harness's expired leases; until the last of them expired it was in use."""
    await session.execute(_END_OF_USE, {"harness_id": harness_id})
    await session.execute(
        delete(SandboxLeaseRow).where(
            SandboxLeaseRow.harness_id == harness_id, SandboxLeaseRow.expires_at < func.now()
        )
    )


_END_OF_USE: Final = text(
    """
    UPDATE harness SET used_at = greatest(used_at, (
        SELECT max(expires_at) FROM sandbox_lease
        WHERE harness_id = :harness_id AND expires_at < now()))
    WHERE id = :harness_id
    """
)
