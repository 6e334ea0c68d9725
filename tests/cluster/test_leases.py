"""The time at which the real controller ends a sandbox by itself, and what follows on it."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from cattery.clock import utc_now
from cattery.jsontypes import JsonObject
from cattery.sandboxes.port import SandboxSpec, SandboxState
from tests.cluster.runtime_site import (
    RuntimeSite,
    namespace,  # noqa: F401 - fixtures
    open_site,  # noqa: F401
    part,
    toy_image,  # noqa: F401
)
from tests.conformance import eventually, make_spec


async def spec_of(site: RuntimeSite, spec: SandboxSpec) -> JsonObject:
    selector = f"cattery.dev/harness-id={spec.harness_id}"
    (found,) = await asyncio.to_thread(site.items, "sandboxes", "--selector", selector)
    return part(found, "spec")


async def end_now(site: RuntimeSite, name: str) -> datetime:
    """Have the sandbox's time be over, as it is when no worker has moved it on."""
    ended = utc_now().replace(microsecond=0)
    patch = f'{{"spec": {{"shutdownTime": "{ended:%Y-%m-%dT%H:%M:%SZ}"}}}}'
    command = ("patch", "sandbox", name, "--type", "merge", "--patch", patch)
    await asyncio.to_thread(site.kubectl.run, "--namespace", site.namespace, *command)
    return ended


async def test_a_lease_is_moved_on_ends_the_pod_and_goes_with_the_next_start(
    site: RuntimeSite,
) -> None:
    spec = make_spec()
    started = await site.start(spec)
    worker = await site.worker()
    assert await worker.keep_running([spec.harness_id]) == 1
    assert await worker.keep_running([spec.harness_id]) == 0
    written = await spec_of(site, spec)
    assert written["shutdownPolicy"] == "Retain"
    until = datetime.fromisoformat(str(written["shutdownTime"]))
    assert timedelta(minutes=119) < until - utc_now() <= timedelta(hours=2)
    assert (await worker.observe(spec.harness_id)).state is SandboxState.RUNNING

    ended = await end_now(site, started.name)

    async def is_gone() -> bool:
        return not await site.running(spec)

    await eventually(is_gone, seconds=90)
    seen = await worker.observe(spec.harness_id)
    assert (seen.state, seen.generation, seen.expired_at) == (SandboxState.ABSENT, 1, ended)

    await worker.stop(spec.harness_id)
    assert "shutdownTime" not in await spec_of(site, spec)
    again = await site.start(replace(spec, generation=2))
    assert (again.state, again.generation) == (SandboxState.RUNNING, 2)

    await end_now(site, started.name)
    await eventually(is_gone, seconds=90)
    woken = await site.start(replace(spec, generation=3))
    assert (woken.state, woken.generation) == (SandboxState.RUNNING, 3)
    assert "shutdownTime" not in await spec_of(site, spec)
    assert await worker.keep_running([spec.harness_id]) == 1
