"""The pulse of every worker process: a count that a living one raises each second."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from cattery.db.engine import Database
from cattery.db.statements import Statement, run
from cattery.ids import SessionId


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker sees with each beat."""

    counts: Mapping[str, int]
    """Of all other workers."""
    stopping: frozenset[SessionId]
    """Sessions whose turn this worker has and somebody asked to stop."""


async def beat(database: Database, worker: str) -> Look:
    """Raise a worker's count, and look around."""
    async with database.quick() as rows:
        counts = {row[0]: row[1] for row in await run(rows, _BEAT, worker=worker)}
        stopping = frozenset(SessionId(row[0]) for row in await run(rows, _STOPS, worker=worker))
        return Look(counts, stopping)


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


_STOPS = Statement(
    text(
        """
        SELECT prompt.session_id FROM prompt JOIN session_stream USING (session_id)
        WHERE prompt.status = 'running' AND stop_requested_by IS NOT NULL AND owner = :worker
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
    """List the sessions of which a worker may have a turn: it claimed it, or nobody has yet.

    A prompt that waits behind a turn that runs has not been handed to anybody.
    """
    return [SessionId(row[0]) for row in await database.fetch_all(_LEFT, worker=worker)]


_LEFT = Statement(
    text(
        """
        SELECT session_id
        FROM prompt JOIN session_stream USING (session_id)
        WHERE prompt.status IN ('queued', 'running')
        GROUP BY session_id, owner
        HAVING bool_or(prompt.status = 'running') IS FALSE OR owner = :worker
        """
    )
)
