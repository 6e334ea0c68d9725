"""Which turns ended long enough ago to be folded, and the folding of one in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import Database, ReadSession
from cattery.db.event_log import read_events
from cattery.events.folding import Folded, fold_pieces
from cattery.ids import PromptId, SessionId


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """A turn whose events will not change any more."""

    prompt_id: PromptId
    session_id: SessionId
    turn_no: int


async def find_turns_to_fold(
    session: ReadSession, *, ended_before: timedelta, limit: int
) -> Sequence[EndedTurn]:
    """List the oldest turns that ended so long ago and were not folded yet."""
    rows = await session.execute(
        text(
            """
            SELECT p.id, p.session_id, p.turn_no FROM prompt p
            WHERE p.status = 'done' AND NOT p.folded AND p.created_at < now() - :age
              AND NOT EXISTS (
                SELECT 1 FROM session_event e
                WHERE e.session_id = p.session_id AND e.dedupe_key = 'idle:' || p.turn_no
                  AND e.created_at >= now() - :age)
            ORDER BY p.created_at LIMIT :limit
            """
        ),
        {"age": ended_before, "limit": limit},
    )
    return [EndedTurn(PromptId(row[0]), SessionId(row[1]), row[2]) for row in rows]


async def fold_turn(database: Database, turn: EndedTurn) -> bool:
    """Fold a turn's events; false where somebody else has, or nothing was to be done."""
    folded = fold_pieces(await read_events(database, turn.session_id, turn_no=turn.turn_no))
    async with database.write() as session:
        # The log's row first, as everybody does who writes to it.
        await session.execute(
            text("SELECT 1 FROM session_stream WHERE session_id = :id FOR UPDATE"),
            {"id": turn.session_id},
        )
        claimed = await session.execute(
            text("UPDATE prompt SET folded = true WHERE id = :id AND NOT folded RETURNING 1"),
            {"id": turn.prompt_id},
        )
        if claimed.first() is None or not folded.floor_seq:
            return False
        await _store(session, turn.session_id, folded)
    return True


async def _store(session: AsyncSession, session_id: SessionId, folded: Folded) -> None:
    await session.execute(
        text("DELETE FROM session_event WHERE session_id = :id AND seq = ANY(:seqs)"),
        {"id": session_id, "seqs": list(folded.dropped)},
    )
    await session.execute(
        text(
            """
            UPDATE session_event e SET type = x.type, data = x.data::jsonb
            FROM unnest(CAST(:seqs AS bigint[]), CAST(:types AS text[]), CAST(:datas AS text[]))
                AS x(seq, type, data)
            WHERE e.session_id = :id AND e.seq = x.seq
            """
        ),
        {
            "id": session_id,
            "seqs": [event.seq for event in folded.changed],
            "types": [str(event.type) for event in folded.changed],
            "datas": [orjson.dumps(event.data).decode() for event in folded.changed],
        },
    )
    await session.execute(
        text(
            "UPDATE session_stream SET floor_seq = greatest(floor_seq, :floor)"
            " WHERE session_id = :id"
        ),
        {"id": session_id, "floor": folded.floor_seq},
    )
