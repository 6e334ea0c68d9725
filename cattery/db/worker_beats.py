"""The pulse of every worker process: a count that a living one raises each second."""

from collections.abc import Mapping, Sequence

from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.statements import Statement, run
from cattery.ids import SessionId


async def beat(database: Database, worker: str) -> Mapping[str, int]:
    """Raise a worker's count; return the counts of all others."""
    async with database.quick() as rows:
        return {row[0]: row[1] for row in await run(rows, _BEAT, worker=worker)}


_BEAT = Statement(
    text(
        """
        WITH mine AS (
            INSERT INTO worker_beat (worker, beats) VALUES (:worker, 1)
            ON CONFLICT (worker) DO UPDATE SET beats = worker_beat.beats + 1
        )
        SELECT worker, beats FROM worker_beat WHERE worker <> :worker
        """
    )
)


async def forget(database: Database, worker: str, beats: int) -> bool:
    """Take a worker off the list; false where it counted on, or another has taken it off."""
    async with database.quick() as rows:
        return bool(await run(rows, _FORGET, worker=worker, beats=beats))


_FORGET = Statement(
    text("DELETE FROM worker_beat WHERE worker = :worker AND beats = :beats RETURNING 1")
)


async def list_left_sessions(database: Database, worker: str) -> Sequence[SessionId]:
    """List the sessions of which a worker may have a turn: it claimed it, or nobody has yet."""
    return [SessionId(row[0]) for row in await database.fetch_all(_LEFT, worker=worker)]


_LEFT = Statement(
    text(
        """
        SELECT DISTINCT prompt.session_id
        FROM prompt JOIN session_stream USING (session_id)
        WHERE prompt.status = 'queued' OR (prompt.status = 'running' AND owner = :worker)
        """
    )
)
