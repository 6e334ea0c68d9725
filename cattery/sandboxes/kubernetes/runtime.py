"""The `kubernetes` runtime: each harness in a Sandbox object, and so a pod, of its own.

Any number of workers use it at once: what is known lies in the cluster, and each worker mirrors
it by one watch a kind. A workflow makes sure that one thing at a time is done to a sandbox; where
a worker that was given up wakes up in the middle, `placement` fences it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import structlog

from cattery.clock import utc_now
from cattery.errors import SandboxSetupError, SandboxWaitingError
from cattery.harnesses.port import HarnessEndpoint, HarnessType
from cattery.harnesses.registry import require_runnable
from cattery.ids import HarnessId, ProjectId
from cattery.logs import redact
from cattery.sandboxes.factory import NetworkGate
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.claims import Claims
from cattery.sandboxes.kubernetes.diagnosis import Situation, diagnose_life
from cattery.sandboxes.kubernetes.ending import Ending
from cattery.sandboxes.kubernetes.failures import QuotaExceededError
from cattery.sandboxes.kubernetes.following import Following, Patience, Probe
from cattery.sandboxes.kubernetes.launching import (
    FILE_MANAGER_PORT,
    HARNESS_PORT,
    Launching,
    find_gateway,
)
from cattery.sandboxes.kubernetes.leases import Leases
from cattery.sandboxes.kubernetes.placement import Placement, Wanted
from cattery.sandboxes.kubernetes.probing import probe_file_manager, probe_harness
from cattery.sandboxes.kubernetes.reading import as_object, as_text
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import SandboxView, parse_sandbox
from cattery.sandboxes.kubernetes.watching_sandboxes import tell_changes
from cattery.sandboxes.names import (
    COMPONENT_LABEL,
    HARNESS_LABEL,
    PROJECT_LABEL,
    SKILL_MANAGER,
    Component,
    harness_of,
    name_file_manager,
)
from cattery.sandboxes.port import (
    FileManagerSpec,
    Isolation,
    Notice,
    Observation,
    Report,
    SandboxSpec,
    SandboxState,
    Waiting,
)
from cattery.settings import KubernetesSettings, SandboxSettings

log = structlog.get_logger(__name__)

_SANDBOXES: Final = f"{COMPONENT_LABEL}={Component.SANDBOX.value}"
_QUOTA_PAUSE: Final = 5.0


class KubernetesRuntime:
    """Sandboxes as pods of one namespace.

    Args:
        api: the cluster, connected.
        state: mirrors of it; started on first use.
        network: what is known of the network's enforcement.
    """

    def __init__(
        self,
        api: ClusterApi,
        state: ClusterState,
        settings: KubernetesSettings,
        sandboxes: SandboxSettings,
        registry: Mapping[str, HarnessType],
        network: NetworkGate,
        *,
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._state = state
        self._settings = settings
        self._registry = registry
        self._network = network
        self._patience = patience or Patience(settings.start_timeout.total_seconds())
        self._launching = Launching(settings, sandboxes)
        self._claims = Claims(api, state, settings)
        self._ending = Ending(api, state)
        self._placement = Placement(api, self._ending)
        self._following = Following(api, state, self._patience)
        self._leases = Leases(api, state, settings.lease)
        self._starting = asyncio.Lock()
        self._started = False

    @property
    def name(self) -> str:
        """Return `kubernetes`."""
        return "kubernetes"

    async def isolation(self) -> Isolation:
        """Say how strongly sandboxes are confined."""
        return await self._network()

    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
        """Start or adopt the sandbox, and wait until its harness answers.

        Raises:
            SandboxError: it failed or took too long; retry or start it again.
            SandboxSetupError: it cannot start as things stand.
            SandboxWaitingError: there is no room for it; call again later.
        """
        harness = require_runnable(self._registry, spec.harness_type)
        await self._require_network()
        await self._ready()
        gateway = await find_gateway(spec.gateway_url)
        wanted = self._launching.plan_harness(spec, harness, gateway)
        address = await self._bring_up(
            wanted,
            harness.display_name,
            probe_harness(harness, spec.password),
            report,
            (spec.project_id,),
        )
        return Observation(
            harness_id=spec.harness_id,
            generation=spec.generation,
            state=SandboxState.RUNNING,
            name=wanted.name,
            endpoint=HarnessEndpoint(f"http://{address}:{HARNESS_PORT}", spec.password),
            restarts=self._restarts(wanted.name),
        )

    async def observe(self, harness_id: HarnessId) -> Observation:
        """Look at one sandbox now, in the cluster itself."""
        await self._ready()
        found = await self._find(harness_id)
        if not found:
            return Observation(harness_id, 0, SandboxState.ABSENT, "")
        pod = await self._api.get(Kind.POD, found[0].name)
        if pod is not None:
            self._state.pods.take(pod)
        return self._describe(harness_id, found[0])

    async def observe_all(self) -> Sequence[Observation]:
        """Look at all sandboxes: one LIST, and what the watch knows of their pods."""
        await self._ready()
        listed = await self._api.list(Kind.SANDBOX, labels=_SANDBOXES)
        seen: list[Observation] = []
        for raw in listed.items:
            view = parse_sandbox(raw)
            harness_id = harness_of(view.labels)
            if harness_id is not None:
                seen.append(self._describe(harness_id, view))
        return seen

    async def watch(self, notice: Notice) -> None:
        """Tell of every sandbox that changes, until cancelled."""
        await self._ready()
        await tell_changes(self._state, self._describe, notice)

    async def stop(self, harness_id: HarnessId) -> None:
        """Suspend the sandbox and wait until its pod is gone; the object and the volume stay."""
        await self._ready()
        for view in await self._find(harness_id):
            if view.deleting_at is not None:
                await self._ending.wait_until_deleted(view)
            else:
                await self._ending.suspend(view, insist=True)

    async def keep_running(self, harness_ids: Collection[HarnessId]) -> int:
        """Move the time on at which the cluster ends some sandboxes; some of them at each call."""
        await self._ready()
        return await self._leases.extend(harness_ids, utc_now())

    async def remove(self, harness_id: HarnessId) -> None:
        """Delete the sandbox and wait until it and its pod are gone; the volume stays."""
        await self._ready()
        for view in await self._find(harness_id):
            await self._ending.delete(view)

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote, in this life of its pod or the last."""
        await self._ready()
        for view in await self._find(harness_id):
            pod = self._state.pods.get(view.name)
            text = await self._api.read_log(view.name, lines=lines)
            restarts = pod.container.restarts if pod and pod.container else 0
            missing = lines - len(text.splitlines())
            if restarts and missing > 0:
                text = await self._api.read_log(view.name, lines=missing, previous=True) + text
            return redact(text)
        return ""

    async def create_workspace(self, project_id: ProjectId) -> None:
        """Make the project's claim; nothing happens where it exists.

        Raises:
            SandboxWaitingError: the quota of the namespace is used up.
        """
        await self._ready()
        try:
            await self._claims.have_workspace(project_id)
        except QuotaExceededError as error:
            raise SandboxWaitingError(error.message) from error

    async def delete_workspace(self, project_id: ProjectId) -> None:
        """Delete the project's claim and wait until it is gone."""
        await self._ready()
        await self._claims.delete_workspace(project_id)

    async def list_belongings(
        self, *, project_id: ProjectId | None = None, harness_id: HarnessId | None = None
    ) -> Sequence[str]:
        """Name the objects with the label of a project or of a harness, in the cluster itself.

        Secrets are not among them: a worker may not read them. Each belongs to its Sandbox, and
        goes with it.
        """
        await self._ready()
        selectors = [
            f"{name}={value}"
            for name, value in ((PROJECT_LABEL, project_id), (HARNESS_LABEL, harness_id))
            if value is not None
        ]
        found: list[str] = []
        for kind in (Kind.SANDBOX, Kind.POD, Kind.CLAIM):
            for selector in selectors:
                listed = await self._api.list(kind, labels=selector)
                names = (
                    as_text(as_object(raw.get("metadata")).get("name")) for raw in listed.items
                )
                found += [f"{kind.noun} {name}" for name in names]
        return found

    async def ensure_file_manager(self, spec: FileManagerSpec, report: Report) -> str:
        """Have a file manager that answers; returns its base URL.

        Raises:
            SandboxError: it failed or took too long.
            SandboxWaitingError: there is no room for it; call again later.
        """
        await self._ready()
        wanted = self._launching.plan_file_manager(spec)
        noun = "The file manager" if spec.project_id else "The skill manager"
        projects = (spec.project_id,) if spec.project_id else ()
        address = await self._bring_up(wanted, noun, probe_file_manager, report, projects)
        return f"http://{address}:{FILE_MANAGER_PORT}"

    async def stop_file_manager(self, project_id: ProjectId | None) -> None:
        """Remove a file manager and wait until it is gone; its volume stays."""
        await self._ready()
        name = name_file_manager(project_id) if project_id else SKILL_MANAGER
        found = await self._api.get(Kind.SANDBOX, name)
        if found is not None:
            self._state.sandboxes.take(found)
            await self._ending.delete(parse_sandbox(found))

    async def close(self) -> None:
        """End the watches; running sandboxes go on."""
        await self._state.stop()
        await self._api.close()

    async def _bring_up(
        self,
        wanted: Wanted,
        noun: str,
        probe: Probe,
        report: Report,
        projects: Sequence[ProjectId],
    ) -> str:
        await self._unless_full(lambda: self._claims.have(projects), report)
        view = await self._unless_full(lambda: self._placement.place(wanted), report)
        log.debug("sandbox_placed", sandbox=wanted.name, uid=view.uid)
        return await self._following.follow(wanted, noun, probe, report)

    async def _unless_full[T](self, act: Callable[[], Awaitable[T]], report: Report) -> T:
        """Do something, again and again while the quota does not allow it.

        Raises:
            SandboxWaitingError: it has not allowed it for long.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + self._patience.waiting
        waited = False
        while True:
            try:
                done = await act()
            except QuotaExceededError as error:
                waited = True
                await report(Waiting(error.message))
                if clock() > until:
                    raise SandboxWaitingError(error.message) from error
                await asyncio.sleep(min(_QUOTA_PAUSE, self._patience.nudge))
            else:
                if waited:
                    await report(Waiting(None))
                return done

    async def _require_network(self) -> None:
        if self._settings.allow_unenforced_network:
            return
        isolation = await self._network()
        if isolation.confined:
            return
        if not isolation.known:
            raise SandboxWaitingError(isolation.summary)
        raise SandboxSetupError(
            f"Sandboxes do not start on this cluster: {isolation.summary} An operator can "
            "allow it all the same: CATTERY_K8S_ALLOW_UNENFORCED_NETWORK=true."
        )

    async def _find(self, harness_id: HarnessId) -> list[SandboxView]:
        """Read the sandboxes of a harness from the cluster: one, or none."""
        listed = await self._api.list(Kind.SANDBOX, labels=f"{HARNESS_LABEL}={harness_id}")
        for raw in listed.items:
            self._state.sandboxes.take(raw)
        return [parse_sandbox(raw) for raw in listed.items]

    def _describe(self, harness_id: HarnessId, view: SandboxView) -> Observation:
        situation = Situation(
            sandbox=view,
            pod=self._state.pods.get(view.name),
            claims=[],
            events=self._state.events_about(view.name),
        )
        life = diagnose_life(situation, now=utc_now())
        endpoint = None
        if life.state is SandboxState.RUNNING and life.address:
            endpoint = HarnessEndpoint(f"http://{life.address}:{HARNESS_PORT}")
        return Observation(
            harness_id=harness_id,
            generation=view.generation,
            state=life.state,
            name=view.name,
            endpoint=endpoint,
            reason=life.reason,
            recoverable=life.recoverable,
            restarts=life.restarts,
            expired_at=view.shutdown_at if view.has_expired(utc_now()) else None,
        )

    def _restarts(self, name: str) -> int:
        pod = self._state.pods.get(name)
        return pod.container.restarts if pod and pod.container else 0

    async def _ready(self) -> None:
        """Start the mirrors once; whoever comes meanwhile waits.

        Raises:
            SandboxError: the cluster cannot be reached.
        """
        if self._started:
            return
        async with self._starting:
            if not self._started:
                await self._state.start()
                self._started = True
