"""What reading costs does not grow with what is not read, however the server plans it."""

from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.engine import Database
from cattery.db.event_log import reading_statement
from cattery.db.turns import FIND_TO_RUN, find_turn_to_run
from tests.db.written_log import open_logs, open_session, own_connection

TURNS, EVENTS = 200, 20
PROMPTS = 2_000

_FILL = """
INSERT INTO session_event (session_id, seq, turn_no, type, data)
SELECT %(session_id)s, (t - 1) * %(events)s + n, t, 'message.delta', '{"text": "word "}'
FROM generate_series(1, %(turns)s) t, generate_series(1, %(events)s) n
"""

_FILL_PROMPTS = """
INSERT INTO prompt (id, session_id, turn_no, body, status, accepted_seq)
SELECT gen_random_uuid(), %(session_id)s, t, 'Hi',
    CASE WHEN t > %(turns)s - 2 THEN 'queued' ELSE 'done' END, t
FROM generate_series(1, %(turns)s) t
"""


@pytest.mark.parametrize("planned", ["force_generic_plan", "force_custom_plan"])
async def test_reading_a_turn_reads_no_event_of_another(database: Database, planned: str) -> None:
    (fence,) = await open_logs(database)
    size = {"session_id": fence.session_id, "turns": TURNS, "events": EVENTS}
    numbered = {"session_id": "$1", "after": "$2", "turn_no": "$3"}
    statement = reading_statement(whole=False, of_turn=True).sql % numbered
    async with own_connection(database) as connection:
        await connection.execute(_FILL, size)
        await connection.execute("ANALYZE session_event")
        reading = f"(uuid, bigint, int) AS {statement}"
        nodes = await _explain(connection, planned, reading, f"('{fence.session_id}', 0, 7)")
    assert nodes[0]["Actual Rows"] == EVENTS
    assert max(node["Actual Rows"] for node in nodes) == EVENTS
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0


@pytest.mark.parametrize("planned", ["force_generic_plan", "force_custom_plan"])
async def test_a_turn_begins_without_a_look_at_those_that_are_over(
    database: Database, planned: str
) -> None:
    session_id = await open_session(database)
    reading = f"(uuid) AS {FIND_TO_RUN.sql % {'prompt_id': '$1'}}"
    async with own_connection(database) as connection:
        await connection.execute(_FILL_PROMPTS, {"session_id": session_id, "turns": PROMPTS})
        await connection.execute("ANALYZE prompt")
        cursor = await connection.execute(
            "SELECT id FROM prompt WHERE status <> 'done' ORDER BY turn_no"
        )
        first, second = [row[0] for row in await cursor.fetchall()]
        nodes = await _explain(connection, planned, reading, f"('{second}')")
    found = await find_turn_to_run(database, second)
    assert found is not None
    assert found.behind == first
    assert max(node["Actual Rows"] for node in nodes) == 1
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0


async def _explain(
    connection: AsyncConnection[TupleRow], planned: str, reading: str, values: str
) -> list[dict[str, Any]]:
    """Run a prepared statement; return the steps of its plan, with the rows that each gave."""
    await connection.execute(f"SET plan_cache_mode = {planned}".encode())
    await connection.execute(f"PREPARE reading {reading}".encode())
    cursor = await connection.execute(
        f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE reading {values}".encode()
    )
    row = await cursor.fetchone()
    assert row is not None
    return _nodes(row[0][0]["Plan"])


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [node for each in plan.get("Plans", []) for node in _nodes(each)]
    return [plan, *below]
