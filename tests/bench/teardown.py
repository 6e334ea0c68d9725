"""The teardown of a large project: how long it takes, and what it costs the worker and Temporal.

    python -m tests.bench.teardown --harnesses 50 --sessions 10000

Real Temporal, PostgreSQL and worker, a process of its own whose memory is watched. Some harnesses
run and some sessions are open when the project is deleted; the rest lies in the database as long
use leaves it.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import psutil
from sqlalchemy import text
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from cattery.db import deletions, purge
from cattery.db.deletions import Asker
from cattery.db.migrate import upgrade
from cattery.db.tables import Base
from cattery.deletion_states import DeletionKind
from cattery.ids import HarnessId, ProjectId, UserId
from cattery.temporal import naming
from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.schedules import ensure_search_attributes
from tests.conftest import fresh_database
from tests.postgres_server import running_postgres
from tests.workflows.parts import Platform, platform_on, wait_until_open, worker_process

RUNNING = 5
"""Harnesses that run, with an open session each."""
EVENTS = 20
"""Events that each session of the past has in its log."""
PAST = """
WITH made AS (
    INSERT INTO session (id, harness_id, status, title)
    SELECT gen_random_uuid(), h.id, 'ready', 'of the past'
    FROM harness h, generate_series(1, :each) WHERE h.project_id = :project
    RETURNING id
), streams AS (
    INSERT INTO session_stream (session_id, last_seq) SELECT id, :events FROM made
), prompts AS (
    INSERT INTO prompt (id, session_id, turn_no, body, status, accepted_seq)
    SELECT gen_random_uuid(), id, 1, 'a prompt', 'done', 1 FROM made
)
INSERT INTO session_event (session_id, seq, turn_no, type, data)
SELECT id, seq, 1, 'message.delta', '{"partId": "p", "text": "words of a turn"}'
FROM made, generate_series(1, :events) AS seq
"""


async def main() -> None:
    """Make the project, delete it, print what that took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--harnesses", type=int, default=50)
    parser.add_argument("--sessions", type=int, default=10_000)
    given = parser.parse_args()
    temporal = shutil.which("temporal", path=str(Path(sys.executable).parent))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "postgres").mkdir()
        server = stack.enter_context(running_postgres(folder / "postgres"))
        url = stack.enter_context(fresh_database(server, "teardown"))
        upgrade(url)
        environment = await stack.enter_async_context(
            await WorkflowEnvironment.start_local(
                dev_server_existing_path=temporal,
                data_converter=DATA_CONVERTER,
                dev_server_log_level="error",
            )
        )
        await ensure_search_attributes(environment.client)
        platform = await stack.enter_async_context(
            platform_on(environment.client, url, folder / "home")
        )
        worker = await stack.enter_async_context(worker_process(platform, 1))
        user, project, made = await _furnish(platform, given.harnesses, given.sessions)
        await _tear_down(platform, worker.pid, user, project, made)


async def _furnish(
    platform: Platform, harnesses: int, sessions: int
) -> tuple[UserId, ProjectId, list[HarnessId]]:
    user = await platform.make_user()
    project = await platform.make_project(user)
    made = [await platform.make_harness(project, user) for _ in range(harnesses)]
    async with platform.database.write() as rows:  # before a sweep takes them for lost starts
        await rows.execute(text("UPDATE harness SET status = 'idle'"))
    async with platform.database.write() as rows:
        given = {"each": sessions // harnesses, "project": project, "events": EVENTS}
        await rows.execute(text(PAST), given)
    for harness in made[:RUNNING]:
        session = await platform.make_session(project, harness, user)
        await wait_until_open(platform, session)
        await platform.prompt(session, user, "deltas=1000 rate=20")
    return user, project, made


async def _tear_down(
    platform: Platform,
    worker_pid: int,
    user: UserId,
    project: ProjectId,
    made: list[HarnessId],
) -> None:
    before = await _count(platform)
    worker = psutil.Process(worker_pid)
    resident = worker.memory_info().rss
    began = time.perf_counter()
    async with platform.database.write() as rows:
        await deletions.delete_project(rows, Asker(user, "ada"), project, grace=timedelta(0))
    answered = time.perf_counter() - began
    await platform.lifecycles.delete_project(project)
    teardown = platform.client.get_workflow_handle(naming.project_teardown_workflow(project))
    ending = asyncio.create_task(teardown.result())
    highest = resident
    while not ending.done():
        highest = max(highest, worker.memory_info().rss)
        await asyncio.sleep(0.1)
    took = time.perf_counter() - began
    await ending
    async with platform.database.read() as rows:
        left = await purge.count_rows(rows, DeletionKind.PROJECT, project)
    after = await _count(platform)
    lengths = [await _length(platform.client, naming.harness_deletion_workflow(h)) for h in made]
    parent = await _length(platform.client, naming.project_teardown_workflow(project))
    print(f"rows before: {before}")
    print(f"rows after: {after}; of the project: {left or 'none'}")
    print(f"DELETE is answered after {answered:.2f} s, all is gone after {took:.1f} s")
    print(
        f"worker: {resident / 2**20:.0f} MiB before, {highest / 2**20:.0f} MiB at most; "
        f"history: {parent} events of the project, at most {max(lengths)} of a harness"
    )
    if left or max(lengths) >= 2_000 or parent >= 2_000:
        sys.exit("something is left, or a history is too long")


async def _count(platform: Platform) -> dict[str, int]:
    counted: dict[str, int] = {}
    async with platform.database.read() as rows:
        for table in Base.metadata.sorted_tables:
            found = await rows.scalar(text(f"SELECT count(*) FROM {table.name}"))
            if found:
                counted[table.name] = found
    return counted


async def _length(client: Client, workflow_id: str) -> int:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return len(history.events)


if __name__ == "__main__":
    asyncio.run(main())
