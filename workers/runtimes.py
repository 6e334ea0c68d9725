"""Opens the runtime that the settings name, with what it needs of this process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import structlog

from cattery.db.engine import Database
from cattery.db.site_facts import ISOLATION, store_fact
from cattery.errors import SandboxError
from cattery.harnesses.port import HarnessType
from cattery.jsontypes import JsonObject
from cattery.sandboxes.factory import create_cluster_runtime, create_local_runtime
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.port import FileManagerRuntime, Isolation, SandboxRuntime
from cattery.settings import HomeSettings, KubernetesSettings, SandboxSettings

log = structlog.get_logger(__name__)


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
    await _tell_isolation(await local.isolation(), database)
    try:
        yield OpenedRuntime(local)
    finally:
        if settings.is_elsewhere:
            await _stop_sandboxes(local)
        await local.close()


async def _stop_sandboxes(local: LocalRuntime) -> None:
    """End sandboxes in order: in a container they end with its worker, which looks like a crash."""
    try:
        await local.stop_all()
    except* SandboxError as errors:
        log.warning("sandboxes_did_not_end", errors=[str(error) for error in errors.exceptions])


async def _tell_isolation(isolation: Isolation, database: Database) -> None:
    """Tell the HTTP process, which may run where nothing can be found out about it."""
    found: JsonObject = {"confined": isolation.confined, "summary": isolation.summary}
    async with database.write() as rows:
        await store_fact(rows, ISOLATION, found)


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
