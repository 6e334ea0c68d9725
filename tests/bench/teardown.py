"""`make bench-teardown`: a large project is torn down, for real, and what that costs.

    python -m tests.bench.teardown [--harnesses 50] [--sessions 10000] [--events 20] [--live 4]

The rows of the harnesses, their sessions and events are made in the database; some harnesses run in
real sandboxes. Then the project is deleted without a grace, by a worker in a process of its own on
a real Temporal server. Prints seconds, the worker's memory before and at its most, and how large
the histories became. Ends with 1 where anything is left, or a history is larger than is allowed.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
from pydantic import SecretStr
from temporalio.client import Client

from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import deletions, purge
from cattery.db.deletions import Asker
from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.deletion_states import DeletionKind
from cattery.ids import ProjectId, UserId
from cattery.settings import DatabaseSettings
from cattery.temporal import naming
from tests.bench.tables import describe_run
from tests.conftest import fresh_database
from tests.postgres_server import running_postgres
from tests.processes import System, running_system, running_temporal
from tests.workflows.histories import MAX_BYTES, MAX_EVENTS, read_histories

WITHIN = timedelta(hours=1)
SAMPLES_PER_SECOND = 5
MIB = 2**20

_HARNESSES = """
INSERT INTO harness (id, project_id, name, type, model, env_vars)
SELECT gen_random_uuid(), %(project)s, 'Cat ' || n, 'opencode', 'gpt-5.5', '{}'
FROM generate_series(1, %(harnesses)s) n
"""
_SESSIONS = """
INSERT INTO session (id, harness_id, status, title)
SELECT gen_random_uuid(), h.id, 'ready', 'Conversation ' || n
FROM (SELECT id, row_number() OVER () AS place FROM harness WHERE project_id = %(project)s) h
JOIN generate_series(1, %(sessions)s) n ON n %% %(harnesses)s = h.place - 1
"""
_STREAMS = """
INSERT INTO session_stream (session_id, last_seq, last_turn_no, turn_no)
SELECT s.id, %(events)s, 1, 1 FROM session s JOIN harness h ON h.id = s.harness_id
WHERE h.project_id = %(project)s
"""
_EVENTS = """
INSERT INTO session_event (session_id, seq, turn_no, type, data)
SELECT s.id, n, 1, 'message.delta', jsonb_build_object('text', repeat('word ', 20))
FROM session s JOIN harness h ON h.id = s.harness_id, generate_series(1, %(events)s) n
WHERE h.project_id = %(project)s
ON CONFLICT DO NOTHING
"""
_PROMPTS = """
INSERT INTO prompt (id, session_id, turn_no, body, status, accepted_seq)
SELECT gen_random_uuid(), s.id, 1, 'Hello', 'done', 1
FROM session s JOIN harness h ON h.id = s.harness_id WHERE h.project_id = %(project)s
"""


async def main(given: argparse.Namespace) -> int:
    """Make the project, tear it down, print what it took; returns the exit code."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "postgres").mkdir()
        server = stack.enter_context(running_postgres(folder / "postgres", {}))
        url = stack.enter_context(fresh_database(server, "teardown"))
        await asyncio.to_thread(upgrade, url)
        environment = await stack.enter_async_context(running_temporal(folder))
        address = environment.client.service_client.config.target_host
        system = await stack.enter_async_context(
            running_system(folder, url, address, worker_script="tests/scripted_type.py")
        )
        database = connect(DatabaseSettings(url=SecretStr(url)))
        stack.push_async_callback(database.close)
        project = await _make_project(system, url, given)
        return await _tear_down(system, database, environment.client, project, given)


async def _make_project(system: System, url: str, given: argparse.Namespace) -> ProjectId:
    made = await system.post("/projects", {"project_name": "Cat hotel"})
    project = made["project_id"]
    for number in range(given.live):
        body = {"model": "gpt-5.5", "type": "opencode", "harness_name": f"Live {number}"}
        harness = await system.post(f"/projects/{project}/harnesses", body)
        await system.wait_for(f"/harnesses/{harness['harness_id']}", "sandbox_status", "ready")

    def fill() -> None:
        values = {
            "project": project,
            "harnesses": given.harnesses - given.live,
            "sessions": given.sessions,
            "events": given.events,
        }
        with psycopg.connect(url) as connection:
            connection.execute(_HARNESSES, values)
            values["harnesses"] = given.harnesses
            for statement in (_SESSIONS, _STREAMS, _EVENTS, _PROMPTS):
                connection.execute(statement, values)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ANALYZE")

    await asyncio.to_thread(fill)
    return ProjectId(UUID(project))


async def _tear_down(
    system: System,
    database: Database,
    client: Client,
    project: ProjectId,
    given: argparse.Namespace,
) -> int:
    async with database.read() as rows:
        before = await purge.count_rows(rows, DeletionKind.PROJECT, project)
    print(describe_run())
    print("rows: " + ", ".join(f"{count:,} {table}" for table, count in before.items()))
    user = await system.get("/auth/me")
    worker = system.worker_process.process
    resting = worker.memory_info().rss
    memory = _Memory(worker)
    watching = asyncio.create_task(memory.watch())
    began = time.monotonic()
    async with database.write() as rows:
        asker = Asker(UserId(UUID(user["user_id"])), "admin")
        await deletions.delete_project(rows, asker, project, grace=timedelta(0))
    await TemporalLifecycles(client, database).delete_project(project)
    teardown = client.get_workflow_handle(naming.project_teardown_workflow(project))
    await teardown.result(rpc_timeout=WITHIN)
    seconds = time.monotonic() - began
    watching.cancel()
    async with database.read() as rows:
        left = await purge.count_rows(rows, DeletionKind.PROJECT, project)
    print(
        f"{given.harnesses} harnesses ({given.live} of them running), {given.sessions:,} sessions"
    )
    print(f"torn down in {seconds:.1f} s ({given.sessions / seconds:,.0f} sessions a second)")
    print(f"worker: {resting / MIB:.0f} MiB before, {memory.peak / MIB:.0f} MiB at most")
    is_large = await _print_histories(client)
    if left:
        print(f"LEFT: {left}")
    return 1 if left or is_large else 0


async def _print_histories(client: Client) -> bool:
    sizes: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    async for one in read_histories(client):
        sizes[one.workflow_id.partition("/")[0].partition("-20")[0]].append((one.events, one.size))
    is_large = False
    for kind, found in sorted(sizes.items()):
        events, size = max(e for e, _ in found), max(s for _, s in found)
        print(
            f"{kind}: {len(found)} histories, the largest {events:,} events, {size / 1024:,.0f} KiB"
        )
        is_large |= events >= MAX_EVENTS or size >= MAX_BYTES
    return is_large


class _Memory:
    """The most that a process held, as far as one who looks now and then can tell."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.peak = 0

    async def watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._process.memory_info().rss)
            await asyncio.sleep(1 / SAMPLES_PER_SECOND)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the teardown of a large project.")
    parser.add_argument("--harnesses", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=20, help="of each session")
    parser.add_argument("--live", type=int, default=4, help="harnesses in running sandboxes")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_arguments())))
