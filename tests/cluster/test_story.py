"""The whole story with real opencode in a real cluster, through the API alone.

create → ready → prompt → the tool writes a file → the file manager reads it → suspend → a prompt
wakes it → history and files are intact → delete → nothing is left, by label.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import override

import aiohttp
import pytest

from cattery.jsontypes import Json, JsonObject
from tests.cluster.conftest import Deployed
from tests.cluster.faults import find_faults
from tests.cluster.kubectl import SANDBOXES, Kubectl
from tests.conformance import eventually
from tests.e2e.client import Answer, Client, Watcher, objects_of, text_of

SECONDS = 300
OUTAGE = 30


class PatientClient(Client):
    """Asks again while nobody listens.

    After an outage of the API server the cluster takes every pod for not ready until their node has
    reported again, and refuses connections to services meanwhile.
    """

    @override
    async def ask(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        query: dict[str, str] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> Answer:
        """Send a request, which is not sent twice: only a connection is tried again."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    return await super().ask(method, path, body, query=query, form=form)
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(1)


@dataclass
class Story:
    """One project with one harness and one session, as their owner sees them."""

    client: Client
    kubectl: Kubectl
    project_id: str
    harness_id: str
    session_id: str
    watcher: Watcher

    async def say(self, text: str) -> str:
        """Prompt, wait for the end of that turn, and return what the agent said."""
        before = self.watcher.events[-1].seq if self.watcher.events else 0
        await self.client.prompt(self.session_id, text)

        def has_ended() -> bool:
            events = self.watcher.events
            return any(e.seq > before and e.type == "session.idle" for e in events)

        await eventually(has_ended, seconds=SECONDS)
        return self.watcher.said(after=before)

    async def harness(self) -> JsonObject:
        found = await self.client.get(f"/harnesses/{self.harness_id}")
        assert isinstance(found, dict)
        return found

    async def wait_for(self, *statuses: str) -> JsonObject:
        async def reached() -> bool:
            return (await self.harness())["sandbox_status"] in statuses

        await eventually(reached, seconds=SECONDS)
        return await self.harness()

    async def read_file(self, path: str) -> str:
        """Read a file through the file manager, waiting while it starts."""

        async def there() -> bool:
            answer = await self.client.ask(
                "GET", f"/projects/{self.project_id}/files/read", query={"path": path}
            )
            assert answer.status in (200, 503), answer
            return answer.status == 200

        await eventually(there, seconds=SECONDS)
        found = await self.client.get(f"/projects/{self.project_id}/files/read", {"path": path})
        return text_of(found, "content")

    def left(self) -> dict[str, int]:
        """Count what the cluster has of the project, by label."""
        selector = f"cattery.dev/project-id={self.project_id}"
        kinds = ("sandboxes", "pods", "persistentvolumeclaims", "secrets", "services")
        return {
            kind: len(self.kubectl.items(kind, "--selector", selector, namespace=SANDBOXES))
            for kind in kinds
        }


@asynccontextmanager
async def told(deployed: Deployed) -> AsyncIterator[Story]:
    """Make the project, the harness and the session; everything goes at the end."""
    timeout = aiohttp.ClientTimeout(total=90)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        client = PatientClient(http, deployed.base_url, deployed.token)
        project_id = await client.create_project("Cluster story")
        body: JsonObject = {
            "harness_name": "Tom",
            "model": "claude-sonnet-4-6",
            "type": "opencode",
            "env_vars": {},
        }
        made = await client.post(f"/projects/{project_id}/harnesses", body)
        harness_id = text_of(made, "harness_id")
        session_id = await client.create_session(harness_id)
        async with client.watch(session_id) as watcher:
            story = Story(client, deployed.kubectl, project_id, harness_id, session_id, watcher)
            yield story
        await client.ask("DELETE", f"/projects/{project_id}")


async def test_the_whole_story(deployed: Deployed) -> None:
    async with told(deployed) as story:
        await live(story, _calm)


@pytest.mark.timeout(600, func_only=True)
async def test_a_sandbox_sleeps_when_nobody_uses_it_and_when_its_time_is_over_and_prompts_wake_it(
    deployed: Deployed,
) -> None:
    async with told(deployed) as story:
        await story.wait_for("ready")
        await story.say("Create a file hello.txt")
        written = await story.read_file("hello.txt")
        change: JsonObject = {"idle_timeout_seconds": 60}
        answer = await story.client.ask("PATCH", f"/harnesses/{story.harness_id}", change)
        assert answer.status == 200, answer
        asleep = await story.wait_for("idle")
        assert (asleep["stopped_reason"], asleep["generation"]) == ("idle", 1)
        await eventually(partial(_has_no_pod, story), seconds=SECONDS)
        assert await story.say("run cat hello.txt")
        assert (await story.harness())["generation"] == 2

        await eventually(partial(_has_lease, story), seconds=60)
        (sandbox,) = _sandboxes(story)
        name = text_of(sandbox["metadata"], "name")
        past = '{"spec": {"shutdownTime": "2026-01-01T00:00:00Z"}}'
        patch = ("patch", "sandbox", name, "--type", "merge", "--patch", past)
        story.kubectl.run("--namespace", SANDBOXES, *patch)
        expired = await story.wait_for("idle")
        assert expired["stopped_reason"] == "lease", expired
        assert await story.say("run cat hello.txt")
        assert (await story.harness())["generation"] == 3
        assert await story.read_file("hello.txt") == written


async def test_a_person_sees_that_a_deleted_pod_was_healed_and_goes_on(deployed: Deployed) -> None:
    async with told(deployed) as story:
        ready = await story.wait_for("ready", "failed")
        assert ready["sandbox_status"] == "ready", ready["failure"]
        assert await story.say("run echo before")
        deployed.kubectl.run(
            "--namespace", SANDBOXES, "delete", "pod", str(ready["task_name"]), "--wait=false"
        )

        async def is_healed() -> bool:
            harness = await story.harness()
            return bool(harness["recoveries"]) and harness["sandbox_status"] == "ready"

        await eventually(is_healed, seconds=SECONDS)
        healed = await story.harness()
        assert len(objects_of(healed["recoveries"])) == 1
        assert healed["generation"] == ready["generation"]
        assert healed["sandbox_url"] != ready["sandbox_url"]
        assert await story.say("run echo after")


@pytest.mark.slow
@pytest.mark.timeout(1_200, func_only=True)
async def test_the_whole_story_with_the_api_server_away_in_the_middle_of_each_step(
    deployed: Deployed,
) -> None:
    faults = find_faults(deployed.kubectl)

    async def cut(_: str) -> None:
        await faults.take_api_server_away(OUTAGE)

    async with told(deployed) as story:
        await live(story, cut)
    assert faults.outages == 4


async def live(story: Story, disturb: Callable[[str], Awaitable[None]]) -> None:
    """Live the story; `disturb` comes in the middle of each step that the cluster is needed for."""
    await _beside(disturb("start"), story.wait_for("ready", "failed"))
    ready = await story.harness()
    assert ready["sandbox_status"] == "ready", ready["failure"]
    steps = {str(step["name"]): step for step in objects_of(ready["steps"])}
    assert set(steps) == {"workspace", "scheduled", "image", "started", "answering"}
    assert all(step["finished_at"] for step in steps.values())
    assert objects_of(ready["runtime_events"])

    await story.say("Create a file hello.txt")
    written = await story.read_file("hello.txt")
    assert written
    before = await story.client.history(story.session_id)
    log = await story.client.get(f"/harnesses/{story.harness_id}/log")
    assert text_of(log, "log")

    stopping = story.client.ask("DELETE", f"/harnesses/{story.harness_id}/sandbox")
    await _beside(disturb("stop"), stopping)
    await story.wait_for("idle")

    await eventually(partial(_has_no_pod, story), seconds=SECONDS)
    assert await story.client.history(story.session_id) == before
    assert await story.read_file("hello.txt") == written

    answered, _ = await asyncio.gather(story.say("run cat hello.txt"), disturb("wake"))
    assert answered
    after = await story.client.history(story.session_id)
    assert after[: len(before)] == before
    assert await story.read_file("hello.txt") == written

    assert (await story.client.ask("DELETE", f"/projects/{story.project_id}")).status == 204
    await _skip_grace(story)
    await disturb("delete")

    async def is_gone() -> bool:
        return not any((await asyncio.to_thread(story.left)).values())

    await eventually(is_gone, seconds=SECONDS)


async def _skip_grace(story: Story) -> None:
    """Have the project torn down now; a project waits for a day otherwise."""
    for deletion in objects_of(await story.client.get("/deletions")):
        if deletion["object_id"] == story.project_id and deletion["phase"] == "grace":
            await story.client.post(f"/deletions/{deletion['deletion_id']}/delete-now")


async def _calm(_: str) -> None:
    """Disturb nothing."""


async def _beside(disturbance: Awaitable[None], act: Awaitable[object]) -> None:
    await asyncio.gather(act, disturbance)


async def _has_no_pod(story: Story) -> bool:
    return await asyncio.to_thread(_sandbox_pods, story) == []


async def _has_lease(story: Story) -> bool:
    """Whether the cluster knows when to end the sandbox, should nobody look after it."""
    (sandbox,) = await asyncio.to_thread(_sandboxes, story)
    spec = sandbox["spec"]
    return isinstance(spec, dict) and spec.get("shutdownTime") is not None


def _sandboxes(story: Story) -> list[JsonObject]:
    selector = f"cattery.dev/harness-id={story.harness_id}"
    return story.kubectl.items("sandboxes", "--selector", selector, namespace=SANDBOXES)


def _sandbox_pods(story: Story) -> list[JsonObject]:
    selector = f"cattery.dev/harness-id={story.harness_id}"
    return story.kubectl.items("pods", "--selector", selector, namespace=SANDBOXES)
