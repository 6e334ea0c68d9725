"""A tool gives out ten megabytes and a model a megabyte at once: stored once, and small for all."""

import asyncio
from uuid import UUID

import orjson
import pytest
from sqlalchemy import func, select

from cattery.db.tables import EventBlobRow, SessionStreamRow
from cattery.events.large import MAX_BYTES, PIECE, PREVIEW
from cattery.ids import SessionId
from cattery.jsontypes import JsonObject
from cattery.temporal.naming import session_workflow
from tests.faults.streams.checks import until
from tests.faults.streams.installation import Installation
from tests.faults.streams.people import People
from tests.faults.streams.scenes import scene
from tests.faults.streams.watchers import Watcher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DELTA = 1_000_000
OUTPUT = 10_000_000
SCRIPT = f"deltas=4 rate=1 size={DELTA} parts=2 tools=1 output={OUTPUT}"
TOLD_TEMPORAL = 64 * 1024
"""Bytes of a session's whole history in Temporal, at most: the ids and facts of one turn."""


async def test_f25_ten_megabytes_of_output_are_stored_once_and_sent_in_small(
    people: People, installation: Installation, harness: str
) -> None:
    """Workers are told to stop after the output: who takes the turn over reads it once more."""
    async with scene(people, harness, sessions=1, text=None) as played:
        session, watchers = played.sessions[0], played.watchers
        await played.prompt_all(SCRIPT)
        await until(lambda: all(_outputs(each) for each in watchers), "the tool's output")
        before = await _attempt_at(installation, session)
        workers = installation.workers
        await asyncio.gather(*(asyncio.to_thread(each.process.stop) for each in workers))
        for worker in workers:
            worker.start()
            await installation.wait_until_ready(worker)
        await played.finish()
        assert await _attempt_at(installation, session) > before
        for watcher in watchers:
            assert max(len(event.body) for event in watcher.events) < 2 * PIECE
            (found,) = _outputs(watcher)
            data = found["data"]
            assert isinstance(data, dict)
            assert data["output"] == "0\n".ljust(PREVIEW, ".")
            large = data["large"]
            assert isinstance(large, dict)
            assert int(str(large["bytes"])) > OUTPUT
            for _ in installation.urls:  # each of them in its turn
                path = f"/sessions/{session}/events/{found['seq']}"
                whole = (await people.ask("GET", path))["data"]
                assert isinstance(whole, dict)
                assert whole["output"] == "0\n".ljust(OUTPUT, ".")
    assert await _count_stored(installation, session) == 1
    assert await _told_temporal(installation, session) < TOLD_TEMPORAL < MAX_BYTES


def _outputs(watcher: Watcher) -> list[JsonObject]:
    events: list[JsonObject] = [orjson.loads(each.body) for each in watcher.events]
    return [event for event in events if event["type"] == "tool.done"]


async def _attempt_at(installation: Installation, session: str) -> int:
    """Return when the attempt was scheduled that has the session now."""
    async with installation.database.read() as rows:
        found = await rows.scalar(
            select(SessionStreamRow.attempt_at).where(SessionStreamRow.session_id == UUID(session))
        )
    return int(found or 0)


async def _count_stored(installation: Installation, session: str) -> int:
    async with installation.database.read() as rows:
        count = await rows.scalar(
            select(func.count())
            .select_from(EventBlobRow)
            .where(EventBlobRow.session_id == UUID(session))
        )
    return int(count or 0)


async def _told_temporal(installation: Installation, session: str) -> int:
    """Return the bytes that Temporal keeps of a session's workflow."""
    client = await installation.temporal.connect()
    handle = client.get_workflow_handle(session_workflow(SessionId(UUID(session))))
    history = await handle.fetch_history()
    assert len(history.events) > 10
    return sum(event.ByteSize() for event in history.events)
