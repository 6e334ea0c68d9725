"""Proves what the cluster's network enforces, by two probes that are confined as sandboxes are.

A NetworkPolicy without a network plugin that enforces it is only words, and nothing in the
cluster's API says which of the two it is. So one probe listens, and another one tries to reach it,
and whatever else no sandbox may reach (`network_targets`). Its results come over the network, or
by its log where pods cannot be reached from here.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog

from cattery.clock import utc_now
from cattery.errors import SandboxError
from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.jsontypes import JsonObject
from cattery.network_probe import (
    RESULTS,
    RESULTS_MARK,
    Hope,
    Result,
    parse_results,
    write_targets,
)
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.ending import Ending
from cattery.sandboxes.kubernetes.following import Following, Patience
from cattery.sandboxes.kubernetes.launching import find_gateway
from cattery.sandboxes.kubernetes.manifests import (
    HARNESS_PORT,
    GatewayAlias,
    build_launch_secret,
    build_probe,
    name_probe,
)
from cattery.sandboxes.kubernetes.network_finding import FROM_HERE, NetworkCheck, NetworkFinding
from cattery.sandboxes.kubernetes.network_targets import (
    Surroundings,
    judge,
    list_targets,
    look_around,
)
from cattery.sandboxes.kubernetes.placement import Placement, Wanted
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import parse_sandbox
from cattery.sandboxes.names import PROBE_LABEL, Component, label
from cattery.sandboxes.port import Progress, Waiting
from cattery.settings import KubernetesSettings

log = structlog.get_logger(__name__)

TRY_SECONDS: Final = 2
"""For one connection; what a policy drops is silent."""
PATIENCE_SECONDS: Final = 6
"""For a policy that comes after the pod, and for a gateway that is slow."""
QUOTA_PATIENCE: Final = 10.0
REACH_SECONDS: Final = 3.0
"""A probe that the cluster calls ready, and that is silent for so long, is out of reach."""
REMOVAL_PATIENCE: Final = 60.0
LEFT_BEHIND: Final = timedelta(minutes=15)
"""No check lasts so long: probes of that age were left behind, whoever started them."""
WORKER: Final = "worker"
DOCTOR: Final = "doctor"

type Tell = Callable[[str], None]


async def check_cluster(
    settings: KubernetesSettings,
    gateway_url: str | None,
    *,
    purpose: str = WORKER,
    tell: Tell = lambda _: None,
) -> NetworkFinding:
    """Connect to the cluster that this process is configured for, and check its network.

    Args:
        settings: the namespace, and where images are.
        gateway_url: as sandboxes use it; `None` where it is not known here.
        purpose: `WORKER` where only one process at a time checks for all workers; probes of
            this purpose that are there already are then left behind and go first.
        tell: hears how it goes.

    Raises:
        SandboxError: it could not be checked.
    """
    api = await ClusterApi.connect(settings)
    state = ClusterState(api)
    try:
        await state.start()
        known = await look_around(gateway_url, api.server)
        return await check_network(api, state, settings, known, purpose=purpose, tell=tell)
    finally:
        await state.stop()
        await api.close()


async def check_network(
    api: ClusterApi,
    state: ClusterState,
    settings: KubernetesSettings,
    known: Surroundings,
    *,
    purpose: str,
    tell: Tell = lambda _: None,
    patience: Patience | None = None,
) -> NetworkFinding:
    """Start two probes, have one try to reach what it must not, and remove both.

    Args:
        api: the cluster.
        state: mirrors of it, started.
        settings: the namespace, and where images are.
        known: what is known of the cluster from here.
        purpose: see `check_cluster`.
        tell: hears how it goes.
        patience: how long the start of a probe may take.

    Raises:
        SandboxError: it could not be checked: a probe does not start, or says nothing.
    """
    start = settings.start_timeout.total_seconds()
    check = _Check(api, state, settings, purpose, tell, patience or Patience(start, QUOTA_PATIENCE))
    await check.remove_leftovers()
    gateway, known = await _find_gateway(known)
    try:
        other = check.plan_probe(gateway)
        address = await check.start(other, "The first network probe")
        targets = write_targets(list_targets(known, address))
        limits = ("--timeout", str(TRY_SECONDS), "--patience", str(PATIENCE_SECONDS))
        asked = check.plan_probe(gateway, "--targets", targets, *limits)
        address = await check.start(asked, "The second network probe")
        tell("both probes have answered; removing them")
    finally:
        await check.remove_probes()
    return NetworkFinding((*judge(known, asked.results), _judge_reach(asked, address, known)))


class _Probe:
    """One probe: what it is made of, and what it said."""

    def __init__(self, check: "_Check", gateway: GatewayAlias | None, arguments: tuple[str, ...]):
        nonce, self._token = secrets.token_hex(4), secrets.token_urlsafe(24)
        name = name_probe(nonce)
        labels = label(Component.SANDBOX, name) | {PROBE_LABEL: check.purpose}
        self._api, self._state = check.api, check.state
        self._asks = bool(arguments)
        self._ready_at: float | None = None
        self.results: list[Result] = []
        self.reached = False

        def build(launch: str) -> JsonObject:
            return build_probe(
                nonce=nonce,
                purpose=check.purpose,
                launch=launch,
                gateway=gateway,
                settings=check.settings,
                arguments=arguments,
            )

        def build_launch(launch: str, uid: str) -> JsonObject:
            env = {TOKEN_VARIABLE: self._token}
            return build_launch_secret(
                owner=(name, uid), name=launch, labels=labels, env=env, files={}, links={}
            )

        self.wanted = Wanted(name, 1, build, build_launch, (), (self._token,))

    async def hear(self, address: str) -> None:
        """Return once it listens, and has said what it was asked for.

        Raises:
            SandboxError: not yet.
        """
        if self._is_out_of_reach():
            if self._asks:
                self.results = await self._read_log()
            return
        try:
            self.results = await self._call(address)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise SandboxError("The probe does not answer yet.") from error
        self.reached = True

    async def _call(self, address: str) -> list[Result]:
        timeout = aiohttp.ClientTimeout(total=1)
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{HARNESS_PORT}{RESULTS}"
        headers = {"Authorization": f"Bearer {self._token}"}
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise ValueError(f"status {response.status}")
            return parse_results(await response.json())

    def _is_out_of_reach(self) -> bool:
        """Tell whether its port has been open for the node, and not for us, for a while."""
        pod = self._state.pods.get(self.wanted.name)
        if pod is None or pod.container is None or not pod.container.ready:
            self._ready_at = None
            return False
        now = asyncio.get_running_loop().time()
        self._ready_at = self._ready_at or now
        return now - self._ready_at > REACH_SECONDS

    async def _read_log(self) -> list[Result]:
        """Read the results from the log.

        Raises:
            SandboxError: they are not there.
        """
        lines = (await self._api.read_log(self.wanted.name, lines=50)).splitlines()
        said = [line for line in lines if line.startswith(RESULTS_MARK)]
        try:
            return parse_results(json.loads(said[-1].removeprefix(RESULTS_MARK)))
        except (IndexError, ValueError) as error:
            raise SandboxError("The log of the probe does not have its results yet.") from error


class _Check:
    """One check of the network."""

    def __init__(
        self,
        api: ClusterApi,
        state: ClusterState,
        settings: KubernetesSettings,
        purpose: str,
        tell: Tell,
        patience: Patience,
    ) -> None:
        self.api, self.state, self.settings, self.purpose = api, state, settings, purpose
        self._tell = tell
        self._names: list[str] = []
        self._ending = Ending(api, state, patience=REMOVAL_PATIENCE)
        self._placement = Placement(api, self._ending)
        self._following = Following(api, state, patience)

    async def remove_leftovers(self) -> None:
        """Remove probes of a check that was cut off, but none of one that runs."""
        listed = await self.api.list(Kind.SANDBOX, labels=PROBE_LABEL)
        for raw in listed.items:
            view = parse_sandbox(raw)
            is_ours = self.purpose == WORKER == view.labels.get(PROBE_LABEL)
            if is_ours or utc_now() - view.created_at > LEFT_BEHIND:
                log.warning("network_probe_was_left_behind", sandbox=view.name)
                await self._remove(view.name)

    def plan_probe(self, gateway: GatewayAlias | None, *arguments: str) -> _Probe:
        """Plan a probe, to be started and in any case to be removed."""
        made = _Probe(self, gateway, arguments)
        self._names.append(made.wanted.name)
        return made

    async def remove_probes(self) -> None:
        """Remove what was planned, whether or not it came to be."""
        await asyncio.gather(*map(self._remove, self._names))

    async def start(self, probe: _Probe, noun: str) -> str:
        """Start a probe and wait until it has said all; return its address."""
        self._tell(f"{noun[:1].lower()}{noun[1:]} is starting")
        await self._placement.place(probe.wanted)
        return await self._following.follow(probe.wanted, noun, probe.hear, self._report)

    async def _report(self, progress: Progress) -> None:
        if isinstance(progress, Waiting) and progress.reason:
            self._tell(f"waiting: {progress.reason}")

    async def _remove(self, name: str) -> None:
        """Remove a probe. A failure is only logged: a later check removes what is left."""
        try:
            found = await self.api.get(Kind.SANDBOX, name)
            if found is not None:
                self.state.sandboxes.take(found)
                await self._ending.delete(parse_sandbox(found))
        except SandboxError as error:
            log.warning("network_probe_not_removed", sandbox=name, error=error.message)


async def _find_gateway(known: Surroundings) -> tuple[GatewayAlias | None, Surroundings]:
    """Look up the gateway. Outside of the cluster its name may be unknown, which is no fault.

    Raises:
        SandboxError: it is unknown in the cluster.
    """
    if known.gateway_url is None:
        return None, known
    try:
        return await find_gateway(known.gateway_url), known
    except SandboxError:
        if known.inside:
            raise
        return None, Surroundings(False, None, known.dns, known.api_server)


def _judge_reach(probe: _Probe, address: str, known: Surroundings) -> NetworkCheck:
    """Judge whether this process reaches a sandbox, which it need not from outside."""
    seen = Hope.OPEN if probe.reached else Hope.CLOSED if known.inside else None
    detail = "it answers" if probe.reached else "it does not answer, though it is ready"
    if seen is None:
        detail = "this machine is not in the cluster's network"
    return NetworkCheck(FROM_HERE, f"{address}:{HARNESS_PORT}", Hope.OPEN, seen, detail)
