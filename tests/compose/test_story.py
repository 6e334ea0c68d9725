"""The story through the API of Cattery in containers, and what is left when containers die."""

import re
import time
from functools import partial

import pytest

from cattery.jsontypes import JsonObject
from tests.compose.engine import Installation
from tests.conformance import eventually
from tests.e2e.client import Client, Watcher, objects_of, text_of

LINES = 20
LONG_PROMPT = (
    f"Run `for i in $(seq -w {LINES}); do"
    " echo grain $i of the sand that runs through the glass while we wait; done`"
)
"""The demo model says the output again, word by word: some seven seconds of text."""
SECONDS = 120
SPARED = ["api", "gateway", "postgres", "temporal-dev"]
"""Containers whose death ends no turn. In the worker's the agent itself dies."""


async def test_the_story(
    installation: Installation, admin: Client, durations: dict[str, float]
) -> None:
    began = time.monotonic()
    project_id = await admin.create_project("Story")
    harness_id = await admin.create_harness(project_id, "Tom")
    durations["story: sandbox ready"] = time.monotonic() - began
    session_id = await admin.create_session(harness_id)
    async with admin.watch(session_id) as watcher:
        await say(admin, session_id, watcher, "Create a file hello.txt")
        assert watcher.said()
        assert_each_once(watcher)
        asked = len(watcher.events)
        await admin.prompt(session_id, "Ask me a question")
        question = await watcher.until(lambda e: e.type == "question.asked", after=asked)
        await answer(admin, session_id, question.data)
        await ended(watcher, after=question.seq)
        assert_each_once(watcher)
    assert [e["type"] for e in await messages(admin, session_id)].count("session.error") == 0
    read = await admin.get(f"/projects/{project_id}/files/read", {"path": "hello.txt"})
    assert text_of(read, "content")
    durations["story: from the project to the answered question"] = time.monotonic() - began


async def test_an_agent_sees_its_workspace_and_nothing_of_the_container(
    installation: Installation, admin: Client
) -> None:
    site = await admin.get("/site")
    assert isinstance(site, dict)
    isolation = site["isolation"]
    assert isinstance(isolation, dict)
    assert isolation["confined"] is True
    assert "confined by bubblewrap" in text_of(isolation, "summary")
    doctor = installation.compose("exec", "-T", "worker", "cattery", "doctor")
    assert re.search(r"(?m)^ok +sandboxes +Harnesses are confined by bubblewrap", doctor), doctor

    project_id = await admin.create_project("Walls")
    session_id = await admin.create_session(await admin.create_harness(project_id, "Prisoner"))
    async with admin.watch(session_id) as watcher:
        look = "ls -a /run/secrets /var/lib/cattery; ls /proc | grep -c '^[0-9]'; id -u; echo seen"
        await say(admin, session_id, watcher, f"Run `{look}`")
        said = watcher.said()
    assert "seen" in said
    assert "cannot access '/run/secrets'" in said
    assert "cannot access '/var/lib/cattery'" in said
    assert "database-password" not in said


@pytest.mark.parametrize("service", SPARED)
async def test_a_container_that_dies_is_started_again_and_the_turn_goes_on(
    installation: Installation, admin: Client, service: str, durations: dict[str, float]
) -> None:
    _, session_id = await make_session(admin, f"Without {service}")
    async with admin.watch(session_id) as watcher:
        await say(admin, session_id, watcher, "run echo warm")
        before = watcher.events[-1].seq
        await admin.prompt(session_id, LONG_PROMPT)
        await eventually(lambda: "grain 03 " in watcher.said(after=before), seconds=SECONDS)
        began, was = time.monotonic(), installation.inspect(service).started_at
        installation.crash(service)
        idle = await ended(watcher, after=before)
        durations[f"{service} killed: until the turn ended"] = time.monotonic() - began
        installation.wait_until_healthy(service, started_after=was)
        durations[f"{service} killed: until it was well again"] = time.monotonic() - began
        assert idle["outcome"] == "completed"
        # An agent whose gateway dies asks its model again, which then begins its answer anew.
        repeated = len(grains(watcher.said(after=before))) - LINES
        assert repeated == 0 or service == "gateway"
        assert grains(watcher.said(after=before))[repeated:] == list(range(1, LINES + 1))
        assert_each_once(watcher)
        live = watcher.said()
        await say(admin, session_id, watcher, "run echo after it")
        assert_each_once(watcher)
    assert grains(await told(admin, session_id)) == grains(live), "history has what was seen live"


async def test_a_worker_that_dies_ends_the_turn_with_the_reason_and_the_next_prompt_works(
    installation: Installation, admin: Client, durations: dict[str, float]
) -> None:
    _, session_id = await make_session(admin, "Without worker")
    async with admin.watch(session_id) as watcher:
        await say(admin, session_id, watcher, "run echo warm")
        before = watcher.events[-1].seq
        await admin.prompt(session_id, "Run `sleep 60; echo late`")
        await watcher.until(lambda e: e.type == "tool.start", after=before)
        began, was = time.monotonic(), installation.inspect("worker").started_at
        installation.crash("worker")
        idle = await ended(watcher, after=before)
        durations["worker killed: until the turn ended"] = time.monotonic() - began
        installation.wait_until_healthy("worker", started_after=was)
        durations["worker killed: until it was well again"] = time.monotonic() - began
        assert idle["outcome"] == "failed"
        (error,) = (e for e in watcher.events if e.type == "session.error")
        # Which of the two depends on who is first after the restart: the turn, or a new sandbox.
        reasons = r"The agent (ended|was restarted) in the middle of this turn"
        assert re.match(reasons, str(error.data["message"])), error
        before = watcher.events[-1].seq
        await say(admin, session_id, watcher, "run echo alive again")
        durations["worker killed: until a prompt was answered"] = time.monotonic() - began
        assert "alive again" in watcher.said(after=before)
        assert_each_once(watcher)


async def test_down_and_up_loses_nothing(
    installation: Installation, admin: Client, durations: dict[str, float]
) -> None:
    project_id = await admin.create_project("Kept")
    harness_id = await admin.create_harness(project_id, "Kept")
    session_id = await admin.create_session(harness_id)
    async with admin.watch(session_id) as watcher:
        await say(admin, session_id, watcher, "Create a file hello.txt")
    history = await admin.history(session_id)
    file = await admin.get(f"/projects/{project_id}/files/read", {"path": "hello.txt"})

    durations["down"] = installation.down()
    durations["up again"] = installation.up()

    assert await admin.history(session_id) == history, "the same sign-in reads the same history"
    assert await admin.get(f"/projects/{project_id}/files/read", {"path": "hello.txt"}) == file
    await eventually(partial(is_at_rest, admin, harness_id), seconds=SECONDS)
    async with admin.watch(session_id) as watcher:
        await eventually(lambda: any(e.type == "session.idle" for e in watcher.events))
        before = watcher.events[-1].seq
        began = time.monotonic()
        await say(admin, session_id, watcher, "run cat hello.txt")
        durations["up again: until a prompt was answered"] = time.monotonic() - began
        assert text_of(file, "content").strip() in watcher.said(after=before)
        assert_each_once(watcher)


async def is_at_rest(client: Client, harness_id: str) -> bool:
    """Tell whether a sandbox is known to be stopped; one that was killed would have failed."""
    harness = await client.get(f"/harnesses/{harness_id}")
    assert text_of(harness, "sandbox_status") != "failed", harness
    return text_of(harness, "sandbox_status") == "idle"


async def make_session(client: Client, name: str) -> tuple[str, str]:
    """Make a project with a harness that is ready, and a session with it."""
    project_id = await client.create_project(name)
    harness_id = await client.create_harness(project_id, name)
    return project_id, await client.create_session(harness_id)


async def say(client: Client, session_id: str, watcher: Watcher, text: str) -> None:
    """Prompt, and wait until that turn has ended well."""
    before = watcher.events[-1].seq if watcher.events else 0
    await client.prompt(session_id, text)
    idle = await ended(watcher, after=before)
    assert idle["outcome"] == "completed", watcher.events[-5:]


async def ended(watcher: Watcher, *, after: int) -> JsonObject:
    """Wait for the end of a turn, and return what it was."""

    def has_ended() -> bool:
        return any(e.seq > after and e.type == "session.idle" for e in watcher.events)

    await eventually(has_ended, seconds=SECONDS)
    return next(e.data for e in watcher.events if e.seq > after and e.type == "session.idle")


async def answer(client: Client, session_id: str, question: JsonObject) -> None:
    """Answer a question with the first of its choices."""
    (asked,) = objects_of(question["questions"])
    chosen = text_of(objects_of(asked["options"])[0], "label")
    answers: JsonObject = {"question": text_of(asked, "question"), "selectedLabels": [chosen]}
    body: JsonObject = {"questionId": text_of(question, "partId"), "answers": [answers]}
    await client.post(f"/sessions/{session_id}/answer", body)


def assert_each_once(watcher: Watcher) -> None:
    """Check that every event came once and in order, however often the watcher was cut off."""
    seen = [e.seq for e in watcher.events]
    assert seen == list(range(1, len(seen) + 1))


async def messages(client: Client, session_id: str) -> list[JsonObject]:
    """Return the events of all messages of a session's history."""
    history = await client.history(session_id)
    return [event for message in history for event in objects_of(message["events"])]


async def told(client: Client, session_id: str) -> str:
    """Return the text of a session's history."""
    deltas = [e for e in await messages(client, session_id) if e["type"] == "message.delta"]
    return "".join(text_of(e["data"], "text") for e in deltas)


def grains(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^grain (\d\d) of the sand", text, re.MULTILINE)]
