"""Processes die in the middle of a turn, by a signal that none of them can catch."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from cattery.jsontypes import JsonObject
from tests.e2e.client import Client, Watcher, objects_of, text_of
from tests.e2e.conftest import Workplace
from tests.e2e.site import Site, eventually

LINES = 20
LONG_PROMPT = (
    f"Run `for i in $(seq -w {LINES}); do"
    " echo grain $i of the sand that runs through the glass while we wait; done`"
)
"""The demo model says the output again, word by word: some seven seconds of text."""
SLOW_PROMPT = "Run `sleep 60; echo late`"


async def test_a_killed_agent_ends_its_turn_with_the_reason_and_the_next_prompt_works(
    site: Site, admin: Client, workplace: Workplace
) -> None:
    async with _turn(admin, workplace, SLOW_PROMPT) as (session_id, watcher):
        await watcher.until(lambda e: e.type == "tool.start")
        site.opencode_of(workplace.harness_id).kill()
        error = await watcher.until(lambda e: e.type == "session.error")
        idle = await watcher.until(lambda e: e.type == "session.idle")
        assert error.seq < idle.seq
        assert idle.data["outcome"] == "failed"
        message = str(error.data["message"])
        assert message.startswith("The agent ended in the middle of this turn.")
        assert message.endswith("send a prompt to start it again.")

        await admin.prompt(session_id, "run echo alive again")
        end = await watcher.until(lambda e: e.type == "session.idle", after=idle.seq)
        assert end.data["outcome"] == "completed"
        assert "alive again" in watcher.said(after=idle.seq)
        assert await _prompts(admin, session_id) == [SLOW_PROMPT, "run echo alive again"]


async def test_a_killed_worker_is_started_again_and_its_turn_goes_on_with_every_event_once(
    site: Site, admin: Client, workplace: Workplace
) -> None:
    worker = site.part("worker-1")
    async with _turn(admin, workplace, LONG_PROMPT) as (session_id, watcher):
        await watcher.until(lambda _: "grain 03 " in watcher.said())
        worker.kill()
        await watcher.until(lambda e: e.type == "session.idle")
        await _assert_whole(watcher, admin, session_id)
    await eventually(lambda: _is_another(site, "worker-1", worker), "a worker is ready again")


async def test_a_killed_api_is_started_again_and_a_watcher_that_comes_back_misses_nothing(
    site: Site, admin: Client, workplace: Workplace
) -> None:
    api = site.part("api")
    async with _turn(admin, workplace, LONG_PROMPT) as (session_id, watcher):
        await watcher.until(lambda _: "grain 03 " in watcher.said())
        api.kill()
        await watcher.until(lambda e: e.type == "session.idle")
        assert watcher.connections > 1
        await _assert_whole(watcher, admin, session_id)
    assert _is_another(site, "api", api)


@asynccontextmanager
async def _turn(
    client: Client, workplace: Workplace, prompt: str
) -> AsyncIterator[tuple[str, Watcher]]:
    """Begin a turn in a session of its own, and watch it."""
    session_id = await client.create_session(workplace.harness_id)
    async with client.watch(session_id) as watcher:
        await client.prompt(session_id, prompt)
        yield session_id, watcher


async def _assert_whole(watcher: Watcher, client: Client, session_id: str) -> None:
    """Check that a turn of `LONG_PROMPT` was seen whole, each event once, and ran once."""
    idle = watcher.events[-1]
    assert (idle.type, idle.data["outcome"]) == ("session.idle", "completed")
    assert [e.seq for e in watcher.events] == list(range(1, idle.seq + 1))
    assert sum(e.type == "session.idle" for e in watcher.events) == 1
    assert not any(e.type == "session.error" for e in watcher.events)
    assert _grains(watcher.said()) == list(range(1, LINES + 1))
    assert len({e.data["toolId"] for e in watcher.events if e.type == "tool.start"}) == 1
    assert await _prompts(client, session_id) == [LONG_PROMPT]
    told = await client.history(session_id)
    assert _grains(_text_of(told[-1])) == list(range(1, LINES + 1))


async def _prompts(client: Client, session_id: str) -> list[str]:
    history = await client.history(session_id)
    return [_text_of(message) for message in history if message["role"] == "user"]


def _text_of(message: JsonObject) -> str:
    said = [e["data"] for e in objects_of(message["events"]) if e["type"] == "message.delta"]
    return "".join(text_of(data, "text") for data in said)


def _grains(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^grain (\d\d) of the sand", text, re.MULTILINE)]


def _is_another(site: Site, part: str, old: psutil.Process) -> bool:
    return site.part(part).pid != old.pid
