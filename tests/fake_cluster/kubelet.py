"""The fake cluster's scheduler and kubelet: they carry a pod from Pending to Running to gone.

A `PodScript` says where a pod gets stuck or breaks, in the words that the real parts use. Volumes
are honoured: a pod waits for its claims (which are bound with it) and for its Secrets to exist.
"""

import asyncio
import fnmatch
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.fake_cluster.controllers import claims_of, set_condition
from tests.fake_cluster.store import CLAIMS, EVENTS, PODS, SECRETS, Change, Raw, Store, now


@dataclass(frozen=True)
class PodScript:
    """How far the pods of a name get. Every field is the message that says why they stop there.

    Attributes:
        unschedulable: no node takes it, such as `0/1 nodes are available: 1 Insufficient memory.`
        volume_pending: its claims are not provisioned.
        mount_error: its volumes cannot be mounted.
        image_error: its image cannot be pulled.
        config_error: its container cannot be made, such as a missing key.
        crash: exit code of a container that ends at once, again and again.
        not_ready: its probe fails.
    """

    unschedulable: str = ""
    volume_pending: str = ""
    mount_error: str = ""
    image_error: str = ""
    config_error: str = ""
    crash: int | None = None
    not_ready: str = ""


class PodRuntime(Protocol):
    """What really runs for a pod, where a test wants something to answer at its address."""

    async def start(self, pod: Raw) -> None:
        """Start it: called before the pod is shown as Running."""

    async def stop(self, pod: Raw) -> None:
        """End it: called before the pod is taken away, or when it fails."""


def one_ip(_pod: str) -> str:
    """Give every pod the loopback address."""
    return "127.0.0.1"


def fresh_ips() -> Callable[[str], str]:
    """Give every pod that starts an address of its own, all of them loopback."""
    numbers = itertools.count(1)

    def give(_pod: str) -> str:
        number = next(numbers)
        return f"127.0.{1 + number // 250}.{1 + number % 250}"

    return give


class Kubelet:
    """Runs the pods of all nodes. Set its attributes before the pods that they are for."""

    def __init__(self, store: Store) -> None:
        self.pace = 0.0
        """Seconds that each step of a start takes."""
        self.termination = 0.0
        """Seconds from a pod's deletion until it is gone."""
        self.give_ip: Callable[[str], str] = one_ip
        self.runtime: PodRuntime | None = None
        self.node = "node"
        self.lost: set[str] = set()
        """Names of pods whose node does not answer."""
        self._store = store
        self._scripts: list[tuple[str, PodScript]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        store.on_change(self._hear)

    def script(self, script: PodScript, name: str = "*") -> None:
        """Say how pods go from now on; the latest that fits a name counts."""
        self._scripts.insert(0, (name, script))
        self.wake()

    def wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _hear(self, change: Change) -> None:
        if change.plural == PODS and change.type == "ADDED":
            uid = change.after["metadata"]["uid"]
            meta = change.after["metadata"]
            task = asyncio.ensure_future(_PodLife(self, meta["namespace"], meta["name"], uid).run())
            self._tasks[uid] = task
            task.add_done_callback(lambda _: self._tasks.pop(uid, None))
        self.wake()

    # For the lives of pods

    def script_of(self, name: str) -> PodScript:
        found = (s for pattern, s in self._scripts if fnmatch.fnmatchcase(name, pattern))
        return next(found, PodScript())

    async def until(self, look: Callable[[], bool]) -> None:
        while not look():
            await self._changed.wait()

    @property
    def store(self) -> Store:
        return self._store


class _PodLife:
    """One pod, from its creation until it is gone."""

    def __init__(self, kubelet: Kubelet, namespace: str, name: str, uid: str) -> None:
        self._kubelet = kubelet
        self._store = kubelet.store
        self._namespace = namespace
        self._name = name
        self._uid = uid
        self._started = False

    async def run(self) -> None:
        start = asyncio.ensure_future(self._start())
        gone = asyncio.ensure_future(self._kubelet.until(self._is_deleted))
        try:
            await gone
            await self._kubelet.until(lambda: self._name not in self._kubelet.lost)
        finally:
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
        pod = self._pod()
        if pod is None:
            return
        self._emit("Normal", "Killing", "Stopping container")
        if self._started and self._kubelet.runtime is not None:
            await self._kubelet.runtime.stop(pod)
        await asyncio.sleep(self._kubelet.termination)
        await self._kubelet.until(self._is_free)
        self._store.remove(PODS, self._namespace, self._name)

    async def _start(self) -> None:
        pod = self._pod()
        if pod is None:
            return
        await asyncio.sleep(self._kubelet.pace)
        await self._schedule(pod)
        await asyncio.sleep(self._kubelet.pace)
        await self._mount(pod)
        await asyncio.sleep(self._kubelet.pace)
        await self._pull(pod)
        await asyncio.sleep(self._kubelet.pace)
        await self._run_container(pod)

    async def _schedule(self, pod: Raw) -> None:
        claims = claims_of(pod)

        def reason() -> str:
            script = self._kubelet.script_of(self._name)
            for claim in claims:
                found = self._store.find(CLAIMS, self._namespace, claim)
                if found is None or found["metadata"].get("deletionTimestamp"):
                    what = "not found" if found is None else "is being deleted"
                    return f'0/1 nodes are available: persistentvolumeclaim "{claim}" {what}.'
            if script.volume_pending and claims:
                return "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
            return script.unschedulable

        if why := reason():
            self._condition("PodScheduled", "False", "Unschedulable", why)
            self._emit("Warning", "FailedScheduling", why)
            if pending := self._kubelet.script_of(self._name).volume_pending:
                for claim in claims:
                    self._emit("Warning", "ProvisioningFailed", pending, claim=claim)
            await self._kubelet.until(lambda: not reason())
        for claim in claims:
            self._store.change(CLAIMS, self._namespace, claim, _bind)

        def place(item: Raw) -> None:
            item["spec"]["nodeName"] = self._kubelet.node
            set_condition(item, "PodScheduled", "True", "")

        self._edit(place)
        where = f"{self._namespace}/{self._name} to {self._kubelet.node}"
        self._emit("Normal", "Scheduled", f"Successfully assigned {where}")

    async def _mount(self, pod: Raw) -> None:
        self._wait_in("ContainerCreating", "")

        def reason() -> str:
            for volume in pod["spec"].get("volumes") or ():
                secret = volume.get("secret") or {}
                name = secret.get("secretName")
                missing = name and self._store.find(SECRETS, self._namespace, name) is None
                if missing and not secret.get("optional"):
                    where = f'MountVolume.SetUp failed for volume "{volume["name"]}"'
                    return f'{where} : secret "{name}" not found'
            return self._kubelet.script_of(self._name).mount_error

        if why := reason():
            self._emit("Warning", "FailedMount", why)
            await self._kubelet.until(lambda: not reason())

    async def _pull(self, pod: Raw) -> None:
        image = pod["spec"]["containers"][0].get("image", "")

        def reason() -> str:
            return self._kubelet.script_of(self._name).image_error

        if why := reason():
            self._emit("Normal", "Pulling", f'Pulling image "{image}"')
            self._emit("Warning", "Failed", f'Failed to pull image "{image}": {why}')
            self._wait_in("ErrImagePull", why)
            await asyncio.sleep(self._kubelet.pace)
            message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
            self._wait_in("ImagePullBackOff", message)
            self._emit("Normal", "BackOff", f'Back-off pulling image "{image}"')
            await self._kubelet.until(lambda: not reason())
        self._emit("Normal", "Pulled", f'Successfully pulled image "{image}"')

    async def _run_container(self, pod: Raw) -> None:
        ip = self._kubelet.give_ip(self._name)

        def give_ip(item: Raw) -> None:
            item["status"] |= {"podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.0.0.1"}

        self._edit(give_ip)
        if why := self._kubelet.script_of(self._name).config_error:
            self._wait_in("CreateContainerConfigError", why)
            self._emit("Warning", "Failed", f"Error: {why}")
            await self._kubelet.until(lambda: not self._kubelet.script_of(self._name).config_error)
        if self._kubelet.runtime is not None:
            self._started = True
            await self._kubelet.runtime.start(self._pod() or pod)
        self._edit(lambda item: show_running(item))
        self._emit("Normal", "Started", "Started container")
        script = self._kubelet.script_of(self._name)
        if script.crash is not None:
            code = script.crash
            self._edit(lambda item: show_ended(item, code, restarted=False))
            self._emit("Warning", "BackOff", "Back-off restarting failed container")
            await self._kubelet.until(lambda: self._kubelet.script_of(self._name).crash is None)
            self._edit(lambda item: show_running(item))
        elif script.not_ready:
            self._emit("Warning", "Unhealthy", f"Readiness probe failed: {script.not_ready}")
            await self._kubelet.until(lambda: not self._kubelet.script_of(self._name).not_ready)
        await asyncio.sleep(self._kubelet.pace)
        self._edit(lambda item: show_ready(item, ready=True))

    def _wait_in(self, reason: str, message: str) -> None:
        def edit(item: Raw) -> None:
            show_waiting(item, reason, message)

        self._edit(edit)

    def _condition(self, kind: str, status: str, reason: str, message: str) -> None:
        self._edit(lambda item: set_condition(item, kind, status, reason, message))

    def _edit(self, edit: Callable[[Raw], None]) -> None:
        if (pod := self._pod()) is not None and pod["status"]["phase"] != "Failed":
            self._store.change(PODS, self._namespace, self._name, edit)

    def _emit(self, kind: str, reason: str, message: str, *, claim: str | None = None) -> None:
        about = ("PersistentVolumeClaim", claim) if claim else ("Pod", self._name)
        emit_event(self._store, self._namespace, *about, kind, reason, message)

    def _pod(self) -> Raw | None:
        pod = self._store.find(PODS, self._namespace, self._name)
        return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None

    def _is_deleted(self) -> bool:
        pod = self._pod()
        return pod is None or bool(pod["metadata"].get("deletionTimestamp"))

    def _is_free(self) -> bool:
        pod = self._pod()
        return pod is None or not pod["metadata"].get("finalizers")


def emit_event(
    store: Store, namespace: str, about: str, name: str, kind: str, reason: str, message: str
) -> None:
    """Record an event; the same again counts up, as the real recorder does."""
    for event in store.select(EVENTS, namespace):
        said = (event["involvedObject"]["name"], event["reason"], event["message"])
        if said == (name, reason, message):

            def again(item: Raw) -> None:
                item["count"] += 1
                item["lastTimestamp"] = now()

            store.change(EVENTS, namespace, event["metadata"]["name"], again)
            return
    body: Raw = {
        "metadata": {"generateName": f"{name}."},
        "involvedObject": {"kind": about, "namespace": namespace, "name": name},
        "reason": reason,
        "message": message,
        "type": kind,
        "count": 1,
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "eventTime": None,
        "reportingComponent": "fake",
        "source": {"component": "fake"},
    }
    store.create(EVENTS, namespace, body)


def show_waiting(pod: Raw, reason: str, message: str) -> None:
    """Show the container as not started yet."""
    waiting = {"reason": reason, **({"message": message} if message else {})}
    _show_container(pod, {"waiting": waiting}, ready=False)
    _set_ready(pod, ready=False)


def show_running(pod: Raw) -> None:
    """Show the container as started, its probe not passed yet."""
    pod["status"]["phase"] = "Running"
    pod["status"].setdefault("startTime", now())
    _show_container(pod, {"running": {"startedAt": now()}}, ready=False)
    _set_ready(pod, ready=False)


def show_ready(pod: Raw, *, ready: bool) -> None:
    """Show whether the pod's probe passes."""
    for status in pod["status"].get("containerStatuses", ()):
        status["ready"] = status["started"] = ready
    _set_ready(pod, ready=ready)


def show_ended(pod: Raw, code: int, *, restarted: bool, reason: str = "Error") -> None:
    """Show that the container ended: and runs again, or waits for its next try."""
    ended = {"exitCode": code, "reason": reason, "startedAt": now(), "finishedAt": now()}
    state: Raw = {"running": {"startedAt": now()}}
    if not restarted:
        container = pod["spec"]["containers"][0]["name"]
        message = (
            f"back-off 10s restarting failed container={container} pod={pod['metadata']['name']}"
        )
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    _show_container(pod, state, ready=False, last={"terminated": ended}, restarts=1)
    _set_ready(pod, ready=False)


def show_failed(pod: Raw, reason: str, message: str, *, code: int = 137) -> None:
    """Show the whole pod as failed, which is for ever."""
    pod["status"] |= {"phase": "Failed", "reason": reason, "message": message}
    ended = {"exitCode": code, "reason": "Error", "startedAt": now(), "finishedAt": now()}
    _show_container(pod, {"terminated": ended}, ready=False)
    _set_ready(pod, ready=False)


def _show_container(
    pod: Raw, state: Raw, *, ready: bool, last: Raw | None = None, restarts: int = 0
) -> None:
    container = pod["spec"]["containers"][0]
    earlier: Raw = (pod["status"].get("containerStatuses") or [{}])[0]
    running = "running" in state
    pod["status"]["containerStatuses"] = [
        {
            "name": container.get("name", ""),
            "image": container.get("image", ""),
            "imageID": "sha256:fake" if running or earlier.get("imageID") else "",
            "state": state,
            "lastState": last or earlier.get("lastState", {}),
            "restartCount": earlier.get("restartCount", 0) + restarts,
            "ready": ready,
            "started": ready,
        }
    ]


def _set_ready(pod: Raw, *, ready: bool) -> None:
    status, reason = ("True", "") if ready else ("False", "ContainersNotReady")
    set_condition(pod, "Ready", status, reason)
    set_condition(pod, "ContainersReady", status, reason)
    set_condition(pod, "Initialized", "True", "")


def _bind(claim: Raw) -> None:
    claim["status"] = {"phase": "Bound", "accessModes": claim["spec"].get("accessModes", [])}
    claim["spec"]["volumeName"] = f"pvc-{claim['metadata']['uid']}"
