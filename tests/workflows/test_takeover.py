"""Workers that die or are asked to stop in the middle of a turn, as processes of their own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client

from cattery.events.history import fold_history
from cattery.events.model import EventType, LoggedEvent
from cattery.ids import SessionId
from tests.workflows.conftest import Platform, platform_on
from tests.workflows.test_turns import open_session

WORKER = Path(__file__).parents[1] / "scripted_type.py"


@pytest.fixture
async def bare_platform(
    temporal: Client, database_url: str, tmp_path: Path
) -> AsyncIterator[Platform]:
    """A platform whose workers the test starts itself."""
    async with platform_on(temporal, database_url, tmp_path / "home") as made:
        yield made


@asynccontextmanager
async def worker_process(
    platform: Platform, number: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    ready = platform.home.parent / f"ready-{number}"
    with (platform.home.parent / f"worker-{number}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            stderr=log,
            env={
                "PATH": str(Path(sys.executable).parent),  # without bubblewrap: see scripted_type
                "DATABASE_URL": platform.database.url,
                "TEMPORAL_ADDRESS": platform.client.service_client.config.target_host,
                "CATTERY_HOME": str(platform.home),
                "CATTERY_WORKER_READY_FILE": str(ready),
            },
        )

    async def is_ready() -> bool:
        assert process.returncode is None, "the worker ended at its start"
        return ready.exists()

    try:
        await platform.until(is_ready, "the worker to be ready")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def deltas(platform: Platform, session: SessionId, count: int) -> None:
    async def enough() -> bool:
        events = await platform.events(session)
        return sum(e.type == EventType.MESSAGE_DELTA for e in events) >= count

    await platform.until(enough, f"{count} pieces of text")


def text_of(events: list[LoggedEvent]) -> str:
    assistant = fold_history(events)[-1]
    parts = [e["data"] for e in assistant.events if e["type"] == EventType.MESSAGE_DELTA]
    return "".join(str(p["text"]) for p in parts if isinstance(p, dict))


def said(deltas: int) -> str:
    return "".join(f"word{n} " for n in range(deltas))


async def test_a_killed_workers_turn_is_taken_over_and_nothing_is_lost_or_doubled(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, harness, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=200 rate=30 size=1 parts=3")
        await deltas(platform, session, 20)
        first.kill()
        await first.wait()
    async with worker_process(platform, 2):
        events = await platform.wait_for_idles(session, 1)

    assert [e.seq for e in events] == list(range(1, len(events) + 1))
    assert events[-1].data == {"outcome": "completed"}
    assert not any(e.type == EventType.MESSAGE_RESET for e in events)
    assert text_of(events) == said(200) * 3
    assert len(platform.posted_prompts(harness)) == 1


async def test_a_worker_that_is_asked_to_stop_hands_its_turn_over_at_once(
    bare_platform: Platform,
) -> None:
    platform = bare_platform
    async with worker_process(platform, 1) as first:
        user, harness, session = await open_session(platform)
        async with worker_process(platform, 2):
            await platform.prompt(session, user, "deltas=200 rate=40 size=1")
            await deltas(platform, session, 5)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.wait(), 10) == 0
            events = await platform.wait_for_idles(session, 1)

    assert events[-1].data == {"outcome": "completed"}
    assert text_of(events) == said(200)
    assert len(platform.posted_prompts(harness)) == 1
