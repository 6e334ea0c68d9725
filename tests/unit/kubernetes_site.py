"""A `KubernetesRuntime` on the fake cluster, for the tests of its faults and cut points."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import override

from cattery.errors import SandboxError
from cattery.harnesses.port import (
    HarnessEndpoint,
    HarnessType,
    Launch,
    LaunchInput,
    TransportKind,
)
from cattery.ids import HarnessSessionId
from cattery.sandboxes.kubernetes.api import ClusterApi, Patience as CallPatience
from cattery.sandboxes.kubernetes.following import Patience
from cattery.sandboxes.kubernetes.runtime import KubernetesRuntime
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.port import (
    Isolation,
    Observation,
    Progress,
    RuntimeEvent,
    SandboxSpec,
    Step,
    Waiting,
)
from cattery.settings import KubernetesSettings, SandboxSettings
from tests.fake_cluster.cluster import CLAIMS, PODS, SANDBOXES, SECRETS, FakeCluster
from tests.unit.sandbox_site import ToyClient, no_translator

QUICK = Patience(start=30, waiting=0.3, nudge=0.05)
QUICK_CALLS = CallPatience(
    total=timedelta(seconds=4),
    brief=timedelta(milliseconds=50),
    first_delay=timedelta(milliseconds=5),
    longest_delay=timedelta(milliseconds=50),
    connect=timedelta(milliseconds=500),
    answer=timedelta(seconds=2),
)
deaf: set[str] = set()
"""Addresses at which no harness answers."""


class QuietClient(ToyClient):
    """Answers without any process: what runs in pods is not what these tests are about."""

    def __init__(self, endpoint: HarnessEndpoint) -> None:
        super().__init__(endpoint)
        self._url = endpoint.base_url

    @override
    async def check_health(self) -> None:
        if any(f"//{address}:" in self._url for address in deaf):
            raise SandboxError("Nothing answers.")

    @override
    async def session_exists(self, session: HarnessSessionId) -> bool:
        return True


def quiet_type() -> HarnessType:
    """Return a harness type that needs no process to answer."""

    def launch(given: LaunchInput) -> Launch:
        return Launch(
            argv=("quiet", str(given.port)),
            env={"QUIET_TOKEN": given.gateway_token, "QUIET_PASSWORD": given.password},
            files={".config/quiet": "hush"},
            links={".agents/skills": given.skills},
        )

    return HarnessType(
        id="toy",
        display_name="Toy",
        transport=TransportKind.HTTP,
        version="1",
        launch=launch,
        client=QuietClient,
        translator=no_translator,
    )


@dataclass
class ClusterSite:
    """One fake cluster, and the runtimes of as many workers as a test makes."""

    cluster: FakeCluster
    kubeconfig: Path
    settings: KubernetesSettings = field(
        default_factory=lambda: KubernetesSettings(start_timeout=timedelta(seconds=5))
    )
    patience: Patience = QUICK
    call_patience: CallPatience = QUICK_CALLS
    isolation: Isolation = field(
        default_factory=lambda: Isolation(confined=True, summary="The network is enforced.")
    )
    network_is_checked: bool = True
    """Whether the check of the network ever comes to an end."""
    progress: list[Progress] = field(default_factory=list)
    registry: Mapping[str, HarnessType] = field(default_factory=lambda: {"toy": quiet_type()})
    runtimes: list[KubernetesRuntime] = field(default_factory=list)

    async def runtime(self) -> KubernetesRuntime:
        """Return what another worker would make."""
        api = await ClusterApi.connect(
            self.settings, kubeconfig=self.kubeconfig, patience=self.call_patience
        )

        async def network() -> Isolation:
            if not self.network_is_checked:
                await asyncio.Event().wait()
            return self.isolation

        made = KubernetesRuntime(
            api,
            ClusterState(api),
            self.settings,
            SandboxSettings(),
            self.registry,
            network,
            patience=self.patience,
        )
        self.runtimes.append(made)
        return made

    async def start(self, spec: SandboxSpec) -> Observation:
        """Start a sandbox by a worker of its own, and keep its progress."""
        return await (await self.runtime()).ensure_running(spec, self.report)

    async def report(self, progress: Progress) -> None:
        self.progress.append(progress)

    @property
    def steps(self) -> dict[str, Step]:
        """The newest state of each step."""
        return {one.name.value: one for one in self.progress if isinstance(one, Step)}

    @property
    def waits(self) -> list[str | None]:
        return [one.reason for one in self.progress if isinstance(one, Waiting)]

    @property
    def told(self) -> list[str]:
        return [one.reason for one in self.progress if isinstance(one, RuntimeEvent)]

    def everything(self) -> dict[str, int]:
        """Count what there is of each kind that a sandbox is made of."""
        kinds = {"sandboxes": SANDBOXES, "pods": PODS, "secrets": SECRETS, "claims": CLAIMS}
        return {word: len(self.cluster.select(kind)) for word, kind in kinds.items()}

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self.runtimes), return_exceptions=True)


@asynccontextmanager
async def open_cluster_site(folder: Path) -> AsyncIterator[ClusterSite]:
    """Have a fake cluster while the body runs."""
    async with FakeCluster() as cluster:
        site = ClusterSite(cluster, cluster.write_kubeconfig(folder))
        try:
            yield site
        finally:
            deaf.clear()
            await site.close()
