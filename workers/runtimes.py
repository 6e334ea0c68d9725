"""Opens the runtime that the settings name, with what it needs of this process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cattery.db.engine import Database
from cattery.harnesses.port import HarnessType
from cattery.sandboxes.factory import create_cluster_runtime, create_local_runtime
from cattery.sandboxes.port import FileManagerRuntime, SandboxRuntime
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
    database: Database,
) -> AsyncIterator[OpenedRuntime]:
    """Have the runtime while the body runs.

    Raises:
        SandboxSetupError: the settings name a cluster, and none is configured.
    """
    if settings.runtime == "kubernetes":
        async with _opened_cluster(settings, registry, database) as opened:
            yield opened
        return
    local = create_local_runtime(home, settings, registry)
    yield OpenedRuntime(local)
    await local.close()


@asynccontextmanager
async def _opened_cluster(
    settings: SandboxSettings, registry: Mapping[str, HarnessType], database: Database
) -> AsyncIterator[OpenedRuntime]:
    """Have the cluster's runtime, and the network found out about in the background.

    The cluster's client takes a second to import, which only those pay who have a cluster.
    """
    from cattery.sandboxes.kubernetes.network import check_cluster
    from workers.network import NetworkGate

    cluster = KubernetesSettings()
    gate = NetworkGate(database, partial(check_cluster, cluster, settings.gateway_url), cluster)
    runtime = await create_cluster_runtime(cluster, settings, registry, gate)
    try:
        async with gate.keeping():
            yield OpenedRuntime(runtime, runtime, cluster.file_manager_idle)
    finally:
        await runtime.close()
