"""What is too large for an event: stored once beside the log, and read with it or by its number."""

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.fences import Fence
from cattery.events.large import digest_if_large
from cattery.events.model import LoggedEvent, NewEvent
from cattery.ids import SessionId

WITH_BLOB = """
    LEFT JOIN event_blob b
    ON b.session_id = e.session_id AND b.digest = e.data -> 'large' ->> 'digest'
"""
WHOLE_DATA = "COALESCE(b.data, e.data)"


async def store_blob(connection: AsyncConnection[TupleRow], fence: Fence, event: NewEvent) -> None:
    """Store what an event is the beginning of, before the event itself; safe to repeat.

    Nothing is stored once the fence no longer holds, so that nothing outlives its session: the
    log's row is locked, and is the first that a deletion removes.
    """
    assert event.whole is not None  # noqa: S101 - the caller's own condition
    await connection.execute(
        """
        INSERT INTO event_blob (session_id, digest, data)
        SELECT session_id, %(digest)s, %(data)s::jsonb FROM (
            SELECT session_id FROM session_stream
            WHERE session_id = %(session_id)s AND turn_no = %(turn_no)s
              AND attempt_at = %(attempt_at)s
            FOR KEY SHARE
        ) AS held
        ON CONFLICT (session_id, digest) DO NOTHING
        """,
        {
            "digest": digest_if_large(event.data),
            "data": orjson.dumps(event.whole).decode(),
            "session_id": fence.session_id,
            "turn_no": fence.turn_no,
            "attempt_at": fence.attempt_at,
        },
    )


async def read_whole(
    connection: AsyncConnection[TupleRow], session_id: SessionId, seq: int
) -> LoggedEvent | None:
    """Read one event as it was before its beginning was taken; `None` where there is none."""
    cursor = await connection.execute(
        f"""
        SELECT e.seq, e.turn_no, e.type, {WHOLE_DATA} FROM session_event e {WITH_BLOB}
        WHERE e.session_id = %s AND e.seq = %s
        """,  # noqa: S608 - constants of ours
        (session_id, seq),
    )
    row = await cursor.fetchone()
    return None if row is None else LoggedEvent(*row)
