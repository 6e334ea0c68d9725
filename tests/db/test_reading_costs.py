"""What reading costs does not grow with what is not read, however the server plans it."""

from typing import Any

import pytest

from cattery.db.engine import Database
from cattery.db.event_log import reading_statement
from tests.db.written_log import open_logs, own_connection

TURNS, EVENTS = 200, 20

_FILL = """
INSERT INTO session_event (session_id, seq, turn_no, type, data)
SELECT %(session_id)s, (t - 1) * %(events)s + n, t, 'message.delta', '{"text": "word "}'
FROM generate_series(1, %(turns)s) t, generate_series(1, %(events)s) n
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
        await connection.execute(f"SET plan_cache_mode = {planned}".encode())
        await connection.execute(f"PREPARE reading (uuid, bigint, int) AS {statement}".encode())
        cursor = await connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE reading ('{fence.session_id}', 0, 7)".encode()
        )
        row = await cursor.fetchone()
    assert row is not None
    nodes = _nodes(row[0][0]["Plan"])
    assert nodes[0]["Actual Rows"] == EVENTS
    assert max(node["Actual Rows"] for node in nodes) == EVENTS
    assert sum(node.get("Rows Removed by Filter", 0) for node in nodes) == 0


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [node for each in plan.get("Plans", []) for node in _nodes(each)]
    return [plan, *below]
