"""Idle sandboxes of the whole product, with real opencode: suspended, woken, counted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from cattery.jsontypes import JsonObject
from tests.e2e.client import Client, text_of
from tests.e2e.site import Site
from tests.processes import free_port

TIMEOUT_SECONDS = 4
SUSPENDED_WITHIN = 60


@pytest.fixture
def metrics() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def site(tmp_path: Path, metrics: str) -> Iterator[Site]:
    made = Site(
        tmp_path,
        {
            "CATTERY_IDLE_TIMEOUT": f"PT{TIMEOUT_SECONDS}S",
            "CATTERY_WORKER_METRICS_ADDRESS": metrics,
        },
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def harness_of(client: Client, harness_id: str) -> JsonObject:
    found = await client.get(f"/harnesses/{harness_id}")
    assert isinstance(found, dict)
    return found


async def counted(http: aiohttp.ClientSession, address: str) -> dict[str, float]:
    """Read the worker's own counters, by their names."""
    async with http.get(f"http://{address}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("cattery_sandbox")]
    return {name.partition("{")[0]: float(value) for name, value in found}


async def wait_for(client: Client, harness_id: str, status: str) -> JsonObject:
    async with asyncio.timeout(SUSPENDED_WITHIN):
        while (found := await harness_of(client, harness_id))["sandbox_status"] != status:
            await asyncio.sleep(0.3)
    return found


@pytest.mark.timeout(300, func_only=True)
async def test_a_sandbox_is_suspended_and_a_prompt_wakes_it_with_its_conversation(
    site: Site, metrics: str
) -> None:
    async with aiohttp.ClientSession() as http:
        client = await Client(http, site.url).sign_in("admin", site.password)
        project = await client.create_project("Sleepers")
        harness = await client.create_harness(project, "Dormouse")
        session = await client.create_session(harness)
        async with client.watch(session) as watcher:
            await client.prompt(session, "Create a file hello.txt")
            ended = await watcher.until(lambda event: event.type == "session.idle")
            agent = site.opencode_of(harness)
            asleep = await wait_for(client, harness, "idle")
            assert (asleep["stopped_reason"], asleep["generation"]) == ("idle", 1)
            assert asleep["suspended_at"]
            psutil.wait_procs([agent], timeout=20)
            assert not agent.is_running()
            before = await client.history(session)

            await client.prompt(session, "run cat hello.txt")
            await watcher.until(lambda event: event.type == "session.idle", after=ended.seq)
            after = await client.history(session)
            assert after[: len(before)] == before
            assert len(after) > len(before)
        awake = await harness_of(client, harness)
        assert awake["generation"] == 2

        told = await client.get(f"/harnesses/{harness}/timeline")
        assert isinstance(told, dict)
        entries = told["entries"]
        assert isinstance(entries, list)
        kinds = [text_of(entry, "kind") for entry in reversed(entries)]
        assert kinds[:5] == ["created", "started", "suspended", "woken", "started"]
        saved = await client.get("/admin/savings")
        assert isinstance(saved, dict)
        assert saved["idle_timeout_seconds"] == TIMEOUT_SECONDS
        numbers = await counted(http, metrics)
        assert numbers["cattery_sandboxes_suspended_total"] >= 1
        assert numbers["cattery_sandboxes_woken_total"] == 1
