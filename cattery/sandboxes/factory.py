"""The one place that knows which runtimes there are."""

from collections.abc import Mapping
from typing import Protocol

from cattery.harnesses.port import HarnessType
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.port import FileManagerRuntime, Isolation, SandboxRuntime
from cattery.settings import HomeSettings, KubernetesSettings, SandboxSettings


class NetworkGate(Protocol):
    """Says what the cluster's network was found to enforce; waits for the first finding."""

    async def __call__(self) -> Isolation:
        """Return the finding."""


class ClusterRuntime(SandboxRuntime, FileManagerRuntime, Protocol):
    """A runtime whose files are served by file managers."""


def create_local_runtime(
    home: HomeSettings, settings: SandboxSettings, registry: Mapping[str, HarnessType]
) -> LocalRuntime:
    """Make the runtime of this machine, which is also the access to its files."""
    return LocalRuntime(home.home, home.tools_folder, settings, registry)


async def create_cluster_runtime(
    cluster: KubernetesSettings,
    settings: SandboxSettings,
    registry: Mapping[str, HarnessType],
    network: NetworkGate,
) -> ClusterRuntime:
    """Make the runtime of the cluster that this process is configured for.

    Its client takes a second to import, which only those pay who have a cluster.

    Raises:
        SandboxSetupError: no cluster is configured.
    """
    from cattery.sandboxes.kubernetes.api import ClusterApi
    from cattery.sandboxes.kubernetes.runtime import KubernetesRuntime
    from cattery.sandboxes.kubernetes.state import ClusterState

    api = await ClusterApi.connect(cluster)
    return KubernetesRuntime(api, ClusterState(api), cluster, settings, registry, network)
