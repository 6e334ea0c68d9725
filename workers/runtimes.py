"""Opens the runtime that the settings name, with what it needs of this process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from cattery.harnesses.port import HarnessType
from cattery.sandboxes.factory import create_cluster_runtime, create_local_runtime
from cattery.sandboxes.port import FileManagerRuntime, Isolation, SandboxRuntime
from cattery.settings import HomeSettings, KubernetesSettings, SandboxSettings


@dataclass(frozen=True, slots=True)
class OpenedRuntime:
    """A runtime, and what makes its file managers where there are any."""

    runtime: SandboxRuntime
    files: FileManagerRuntime | None = None
    file_manager_idle: timedelta = timedelta()


@asynccontextmanager
async def opened_runtime(
    home: HomeSettings,
    settings: SandboxSettings,
    registry: Mapping[str, HarnessType],
) -> AsyncIterator[OpenedRuntime]:
    """Have the runtime while the body runs.

    Raises:
        SandboxSetupError: the settings name a cluster, and none is configured.
    """
    if settings.runtime == "local":
        local = create_local_runtime(home, settings, registry)
        yield OpenedRuntime(local)
        await local.close()
        return
    cluster = KubernetesSettings()

    async def network() -> Isolation:
        return Isolation(confined=True, summary="The network was not checked.")

    runtime = await create_cluster_runtime(cluster, settings, registry, network)
    try:
        yield OpenedRuntime(runtime, runtime, cluster.file_manager_idle)
    finally:
        await runtime.close()
