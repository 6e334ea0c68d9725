"""What commands do with sandboxes, through the port alone: stop them, say how confined they are."""

import asyncio

from cattery.harnesses.registry import load_registry
from cattery.sandboxes.factory import create_local_runtime
from cattery.sandboxes.port import Isolation
from cattery.settings import HarnessSettings, HomeSettings, SandboxSettings


async def describe_isolation(home: HomeSettings, settings: SandboxSettings) -> Isolation:
    """Say how strongly sandboxes are confined on this machine."""
    return await create_local_runtime(home, settings, load_registry(HarnessSettings())).isolation()


async def stop_sandboxes(home: HomeSettings, settings: SandboxSettings) -> list[str]:
    """Stop every sandbox of this installation; return what could not be stopped, in words."""
    runtime = create_local_runtime(home, settings, load_registry(HarnessSettings()))
    try:
        seen = await runtime.observe_all()
        stops = (runtime.stop(one.harness_id) for one in seen)
        results = await asyncio.gather(*stops, return_exceptions=True)
    finally:
        await runtime.close()
    return [
        f"{one.name}: {result}"
        for one, result in zip(seen, results, strict=True)
        if isinstance(result, BaseException)
    ]
