"""Fences: who may write a turn's events, so that an attempt that was given up writes nothing."""

from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import text

from cattery.db.statements import Rows, Statement, run
from cattery.ids import SessionId


@dataclass(frozen=True, slots=True)
class Fence:
    """Who may write a turn's events: one attempt of one turn.

    `attempt_at` is the moment, in microseconds, at which the attempt was scheduled by the server:
    it grows with each attempt and survives an operator's reset of the attempt count.
    """

    session_id: SessionId
    turn_no: int
    attempt_at: int


async def claim_fence(rows: Rows, fence: Fence, owner: str) -> bool:
    """Take over the writing of a session for one attempt; false where a later one has it.

    Later is what was scheduled later, also where its turn has the smaller number: prompts that are
    accepted at once, or whose signal had to wait for the sweep, may reach the workflow in another
    order. A later turn is later whatever the server's clock says.

    The fence holds from the commit of the caller's transaction on.
    """
    claimed = await run(
        rows,
        _CLAIM,
        turn_no=fence.turn_no,
        attempt_at=fence.attempt_at,
        owner=owner,
        session_id=fence.session_id,
    )
    return bool(claimed)


_CLAIM = Statement(
    text(
        """
        UPDATE session_stream SET turn_no = :turn_no, attempt_at = :attempt_at, owner = :owner
        WHERE session_id = :session_id
          AND (attempt_at < :attempt_at OR (turn_no, attempt_at) <= (:turn_no, :attempt_at))
        RETURNING 1
        """
    )
)


async def holds_fence(connection: AsyncConnection[TupleRow], fence: Fence) -> bool:
    """Tell whether an attempt may still write."""
    cursor = await connection.execute(
        "SELECT 1 FROM session_stream WHERE session_id = %s AND turn_no = %s AND attempt_at = %s",
        (fence.session_id, fence.turn_no, fence.attempt_at),
    )
    return await cursor.fetchone() is not None
