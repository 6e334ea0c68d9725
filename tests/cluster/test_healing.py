"""What a cluster does to sandboxes, and how they come back: killed, deleted, evicted, starved.

Each case once with the API server there, and once with it away for half a minute right after.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import aiohttp
import pytest

from cattery.sandboxes.port import Observation, SandboxSpec, SandboxState
from cattery.settings import SandboxSettings
from tests.cluster.faults import Faults, find_faults
from tests.cluster.runtime_site import (
    RuntimeSite,
    namespace,  # noqa: F401 - fixtures
    open_site,  # noqa: F401
    patiently,
    toy_image,  # noqa: F401
)
from tests.conformance import eventually, make_spec, run

SECONDS = 240
MIB = 1024**2


@dataclass
class Broken:
    """A sandbox that a case breaks."""

    site: RuntimeSite
    faults: Faults
    started: Observation

    async def kill(self) -> None:
        pod = f"{self.site.namespace}/{self.started.name}"
        await asyncio.to_thread(self.faults.run, "pod", "kill", pod)

    async def delete(self) -> None:
        arguments = ("delete", "pod", self.started.name, "--wait=false")
        await asyncio.to_thread(
            self.site.kubectl.run, "--namespace", self.site.namespace, *arguments
        )

    async def evict(self) -> None:
        """Write more than the volume for temporary files may hold."""
        await self._run(
            "import os, tempfile\n"
            "with open(os.path.join(tempfile.gettempdir(), 'much'), 'wb') as file:\n"
            "    for _ in range(1100): file.write(bytes(1024**2))"
        )

    async def exhaust(self) -> None:
        """Use more memory than the sandbox may have."""
        await self._run("import builtins\nbuiltins.held = b'x' * (512 * 1024**2)")

    async def _run(self, code: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError):  # it ends in the middle
            await run(self.started, code)


CASES: dict[str, tuple[Callable[[Broken], Awaitable[None]], str]] = {
    "killed": (Broken.kill, ""),
    "deleted": (Broken.delete, ""),
    "evicted": (Broken.evict, "exceeds the limit"),
    "starved": (Broken.exhaust, "memory"),
}


@pytest.mark.timeout(900, func_only=True)
@pytest.mark.parametrize("outage", [0, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
async def test_a_broken_sandbox_is_told_and_comes_back_in_its_generation(
    site: RuntimeSite, case: str, outage: int
) -> None:
    faults = find_faults(site.kubectl)
    site.sandboxes = SandboxSettings(memory_bytes=256 * MIB)
    spec = make_spec()
    started = await site.start(spec)
    await run(started, "import pathlib\npathlib.Path.home().joinpath('kept').touch()")
    break_it, words = CASES[case]
    async with watched(site, spec) as seen:
        await eventually(lambda: any(one.state is SandboxState.RUNNING for one in seen))
        before = len(seen)
        await break_it(Broken(site, faults, started))
        if outage:
            await faults.take_api_server_away(outage)

        def is_told() -> bool:
            return any(_is_news(one, started) for one in seen[before:])

        await eventually(is_told, seconds=SECONDS)
        told = next(one for one in seen[before:] if _is_news(one, started))
    assert told.state is not SandboxState.FAILED or told.recoverable, told

    healed = await patiently(partial(site.start, spec))
    assert (healed.state, healed.generation) == (SandboxState.RUNNING, 1)
    home = await run(healed, "import os\nprint(os.listdir(os.environ['HOME']))")
    assert "kept" in home
    assert len(await site.running(spec)) == 1
    if words:
        everything = " ".join([told.reason, *site.messages])
        assert words in everything, everything
    assert await patiently(partial(site.start, replace(spec, generation=2)))


@asynccontextmanager
async def watched(site: RuntimeSite, spec: SandboxSpec) -> AsyncIterator[list[Observation]]:
    """Watch as a worker does, and keep what is told of one sandbox."""
    seen: list[Observation] = []

    async def notice(observed: Observation) -> None:
        if observed.harness_id == spec.harness_id:
            seen.append(observed)

    task = asyncio.create_task((await site.worker()).watch(notice))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _is_news(seen: Observation, started: Observation) -> bool:
    """Tell whether an observation is what a worker acts on."""
    address = started.endpoint.base_url if started.endpoint else ""
    has_moved = seen.endpoint is not None and seen.endpoint.base_url != address
    has_failed = seen.state is SandboxState.FAILED
    return has_moved or has_failed or seen.restarts > started.restarts
