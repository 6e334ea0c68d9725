"""The statements of the event log: numbering, fencing, appending, reading, notifying.

Numbers are gapless and commit in their order because each append first updates the session's row
in `session_stream`, and that row lock is held until the commit. A batch of many sessions is one
statement, one commit and as few NOTIFYs as its bytes need: commits that notify wait for each other
in PostgreSQL, so a commit an event would collapse at load.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database
from cattery.db.event_blobs import WHOLE_DATA, WITH_BLOB, store_blob
from cattery.db.fences import Fence
from cattery.db.statements import Statement
from cattery.events.model import LoggedEvent, NewEvent
from cattery.ids import SessionId
from cattery.jsontypes import JsonObject

EVENTS_CHANNEL = "cattery_events"
"""NOTIFY payload: JSON `[[session_id, last_seq, [[seq, turn_no, type, data], …]], …]`, one item a
session; without its events where they would be over PostgreSQL's limit of 8,000 bytes, and
listeners then read the rows."""
INLINE_LIMIT = 7_600
SHARE = INLINE_LIMIT // 2
"""Bytes of items up to which the next one still joins them in a notice. Every notice costs each
listener, so sessions share them; one that is longer than this has its own."""
PAGE = 500


class StoredEvent(NamedTuple):
    """One event as a page of the log gives it: its data is JSON text, which nobody need parse."""

    seq: int
    turn_no: int
    type: str
    data: str
    is_preview: bool
    """Whether the data is only the beginning of what `read_whole` gives."""


class Head(NamedTuple):
    """The last number of a log, and the number up to which it was folded."""

    last_seq: int
    floor_seq: int


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One event of a batch and the fence that it is written under."""

    fence: Fence
    event: NewEvent


_APPEND = """
WITH batch AS (
    SELECT * FROM ROWS FROM (json_to_recordset(%(rows)s) AS (sid uuid, turn_no int,
        attempt_at bigint, type text, data json, dedupe_key text)) WITH ORDINALITY
        AS x(sid, turn_no, attempt_at, type, data, dedupe_key, ord)
    WHERE dedupe_key IS NULL OR NOT EXISTS (
        SELECT 1 FROM session_event e
        WHERE e.session_id = x.sid AND e.dedupe_key = x.dedupe_key)
), counts AS (
    SELECT sid, turn_no, attempt_at, count(*) AS n FROM batch GROUP BY sid, turn_no, attempt_at
), head AS (
    UPDATE session_stream s SET last_seq = s.last_seq + c.n, last_batch = %(batch)s
    FROM counts c
    WHERE s.session_id = c.sid AND s.turn_no = c.turn_no AND s.attempt_at = c.attempt_at
      AND s.last_batch <> %(batch)s
    RETURNING s.session_id AS sid, s.last_seq, s.last_seq - c.n AS base
), numbered AS (
    SELECT b.sid, h.last_seq, h.base + row_number() OVER (PARTITION BY b.sid ORDER BY b.ord) AS seq,
        b.turn_no, b.type, b.data, b.dedupe_key
    FROM batch b JOIN head h USING (sid)
), inserted AS (
    INSERT INTO session_event (session_id, seq, turn_no, type, data, dedupe_key)
    SELECT sid, seq, turn_no, type, data::jsonb, dedupe_key FROM numbered
), inline AS (
    SELECT sid, last_seq, '[' || string_agg(
        '[' || seq || ',' || turn_no || ',' || to_json(type) || ',' || data || ']', ',' ORDER BY seq
    ) || ']' AS events
    FROM numbered GROUP BY sid, last_seq
), items AS (
    SELECT sid, '["' || sid || '",' || last_seq ||
        CASE WHEN octet_length(events) <= %(inline_limit)s THEN ',' || events ELSE '' END || ']'
        AS item
    FROM inline
), placed AS (
    SELECT sid, item, CASE WHEN octet_length(item) > %(share)s THEN sid END AS alone,
        sum(octet_length(item)) FILTER (WHERE octet_length(item) <= %(share)s)
            OVER (ORDER BY sid) / %(share)s AS place
    FROM items
)
SELECT array_agg(sid), pg_notify(%(channel)s, '[' || string_agg(item, ',') || ']')
FROM placed GROUP BY alone, CASE WHEN alone IS NULL THEN place END
"""


async def append_batch(
    connection: AsyncConnection[TupleRow], batch: int, rows: Sequence[BatchRow]
) -> set[UUID]:
    """Append events of any number of sessions in one statement, in autocommit.

    An event whose dedupe key the session already has is left out. Sessions whose fence no longer
    holds write nothing. Safe to repeat with the same `batch` number.

    Args:
        connection: in autocommit mode.
        batch: names this batch; unique a process and try.
        rows: events in order; at most one fence a session.

    Returns:
        The sessions that were written. One that is missing had only known events, was fenced
        out, or was already written by this very batch: `holds_fence` tells.
    """
    rows = _without_repeated_keys(rows)
    for row in rows:
        if row.event.whole is not None:
            await store_blob(connection, row.fence, row.event)
    cursor = await connection.execute(
        _APPEND,
        {
            "batch": batch,
            "channel": EVENTS_CHANNEL,
            "inline_limit": INLINE_LIMIT,
            "share": SHARE,
            "rows": orjson.dumps([_row(each) for each in rows]).decode(),
        },
        prepare=True,
    )
    return {sid for row in await cursor.fetchall() for sid in row[0]}


def _row(row: BatchRow) -> JsonObject:
    return {
        "sid": str(row.fence.session_id),
        "turn_no": row.fence.turn_no,
        "attempt_at": row.fence.attempt_at,
        "type": row.event.type.value,
        "data": row.event.data,
        "dedupe_key": row.event.dedupe_key,
    }


def _without_repeated_keys(rows: Sequence[BatchRow]) -> Sequence[BatchRow]:
    """Keep the first event of each key: the statement looks for keys in what was there before."""
    keyed = [(row.fence.session_id, row.event.dedupe_key) for row in rows if row.event.dedupe_key]
    if len(set(keyed)) == len(keyed):
        return rows
    seen: set[tuple[UUID, str]] = set()
    kept: list[BatchRow] = []
    for row in rows:
        key = row.event.dedupe_key
        if key is None or (row.fence.session_id, key) not in seen:
            kept.append(row)
        if key is not None:
            seen.add((row.fence.session_id, key))
    return kept


async def append_in_transaction(
    session: AsyncSession, session_id: SessionId, turn_no: int, event: NewEvent
) -> int | None:
    """Append one event in the caller's transaction, beside whoever writes the running turn.

    For what the platform itself says: a prompt was accepted, a question was answered. The
    listeners hear of it when the transaction commits.

    Returns:
        The event's number; `None` where the session already has its dedupe key.
    """
    row = (
        await session.execute(
            text(
                """
                UPDATE session_stream SET last_seq = last_seq + 1
                WHERE session_id = :session_id AND (CAST(:key AS text) IS NULL OR NOT EXISTS (
                    SELECT 1 FROM session_event
                    WHERE session_id = :session_id AND dedupe_key = :key))
                RETURNING last_seq
                """
            ),
            {"session_id": session_id, "key": event.dedupe_key},
        )
    ).first()
    if row is None:
        return None
    logged = LoggedEvent(int(row[0]), turn_no, event.type.value, event.data)
    if not await _insert(session, session_id, logged, event.dedupe_key):
        # Whoever held the row before us has just committed the key: our look was too early.
        await session.execute(
            text("UPDATE session_stream SET last_seq = last_seq - 1 WHERE session_id = :id"),
            {"id": session_id},
        )
        return None
    await _notify(session, session_id, logged)
    return logged.seq


async def _insert(
    session: AsyncSession, session_id: SessionId, event: LoggedEvent, dedupe_key: str | None
) -> bool:
    """Insert a row; false where the session has its key."""
    inserted = await session.execute(
        text(
            """
            INSERT INTO session_event (session_id, seq, turn_no, type, data, dedupe_key)
            VALUES (:session_id, :seq, :turn_no, :type, CAST(:data AS jsonb), :key)
            ON CONFLICT (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
            RETURNING 1
            """
        ),
        {
            "session_id": session_id,
            "seq": event.seq,
            "turn_no": event.turn_no,
            "type": event.type,
            "data": orjson.dumps(event.data).decode(),
            "key": dedupe_key,
        },
    )
    return inserted.first() is not None


async def _notify(session: AsyncSession, session_id: SessionId, event: LoggedEvent) -> None:
    data = orjson.dumps(event.data).decode()
    row = f'[{event.seq},{event.turn_no},"{event.type}",{data}]'
    inline = f'[["{session_id}",{event.seq},[{row}]]]'
    short = f'[["{session_id}",{event.seq}]]'
    await session.execute(
        text("SELECT pg_notify(:channel, :payload)"),
        {
            "channel": EVENTS_CHANNEL,
            "payload": inline if len(inline.encode()) <= INLINE_LIMIT else short,
        },
    )


async def read_page(
    connection: AsyncConnection[TupleRow], session_id: SessionId, after: int, limit: int = PAGE
) -> tuple[int, list[StoredEvent]]:
    """Read the floor and the next events after a number, at most `limit`, as of one moment.

    The events up to the floor were folded: they are whole parts, with gaps between their numbers.
    """
    cursor = await connection.execute(
        """
        SELECT (SELECT floor_seq FROM session_stream WHERE session_id = %(session_id)s),
            seq, turn_no, type, data::text, data ? 'large'
        FROM session_event
        WHERE session_id = %(session_id)s AND seq > %(after)s ORDER BY seq LIMIT %(limit)s
        """,
        {"session_id": session_id, "after": after, "limit": limit},
        prepare=True,
    )
    rows = await cursor.fetchall()
    return (rows[0][0] or 0) if rows else 0, [StoredEvent(*row[1:]) for row in rows]


async def read_heads(
    connection: AsyncConnection[TupleRow], session_ids: Sequence[UUID]
) -> dict[UUID, Head]:
    """Read where the logs of some sessions begin and end."""
    cursor = await connection.execute(
        "SELECT session_id, last_seq, floor_seq FROM session_stream WHERE session_id = ANY(%s)",
        (list(session_ids),),
        prepare=True,
    )
    return {row[0]: Head(row[1], row[2]) for row in await cursor.fetchall()}


async def read_head(database: Database, session_id: SessionId) -> int:
    """Read the number of a session's last event; 0 where it has none."""
    found = await database.fetch_one(_READ_HEAD, session_id=session_id)
    return int(found[0]) if found else 0


_READ_HEAD = Statement(text("SELECT last_seq FROM session_stream WHERE session_id = :session_id"))


async def read_events(
    database: Database,
    session_id: SessionId,
    *,
    after: int = 0,
    turn_no: int | None = None,
    whole: bool = False,
) -> list[LoggedEvent]:
    """Read all of a session's events after a number, or those of one turn.

    With `whole` large events come as they were, not as their beginnings.
    """
    statement = reading_statement(whole=whole, of_turn=turn_no is not None)
    values: dict[str, Any] = {"session_id": session_id, "after": after}
    if turn_no is not None:
        values["turn_no"] = turn_no
    return [LoggedEvent(*row) for row in await database.fetch_all(statement, **values)]


@cache
def reading_statement(*, whole: bool, of_turn: bool) -> Statement:
    """Return the statement that reads a session's events, or those of one turn alone.

    They are two, so that those of a turn come by its index, however long the log is.
    """
    data, blobs = (WHOLE_DATA, WITH_BLOB) if whole else ("e.data", "")
    turn = "AND e.turn_no = :turn_no" if of_turn else ""
    return Statement(
        text(
            f"""
            SELECT e.seq, e.turn_no, e.type, {data} FROM session_event e {blobs}
            WHERE e.session_id = :session_id AND e.seq > :after {turn}
            ORDER BY e.seq
            """  # noqa: S608 - constants of ours
        )
    )


async def read_event_by_key(
    database: Database, session_id: SessionId, dedupe_key: str
) -> LoggedEvent | None:
    """Find the event that carries a dedupe key."""
    async with database.read() as session:
        row = (
            await session.execute(
                text(
                    "SELECT seq, turn_no, type, data FROM session_event"
                    " WHERE session_id = :session_id AND dedupe_key = :key"
                ),
                {"session_id": session_id, "key": dedupe_key},
            )
        ).first()
    return None if row is None else LoggedEvent(row[0], row[1], row[2], _object(row[3]))


def _object(data: JsonObject | str) -> JsonObject:
    """Parse a jsonb value that plain SQL may give as text."""
    return orjson.loads(data) if isinstance(data, str) else data
