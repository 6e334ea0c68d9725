"""What runs in a cluster beside its API: the agent-sandbox controller and the garbage collector.

The controller behaves as agent-sandbox 0.5.6 does (`controllers/sandbox_controller.go`), with its
own words: a pod of the Sandbox's name while it is Running, none while it is Suspended, a deleted
pod made again, a failed one left alone, a template's labels and annotations carried over to a pod
that runs, errors in the condition Ready.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

from tests.fake_cluster.store import (
    CLAIMS,
    PODS,
    PROTECTION,
    SANDBOXES,
    SECRETS,
    Change,
    Raw,
    RefusalError,
    Store,
    now,
)

POD_NAME = "agents.x-k8s.io/pod-name"
NAME_HASH = "agents.x-k8s.io/sandbox-name-hash"
PROPAGATED_LABELS = "agents.x-k8s.io/propagated-labels"
PROPAGATED_ANNOTATIONS = "agents.x-k8s.io/propagated-annotations"
RETRY_SECONDS = 0.05


class SandboxController:
    """Makes pods of Sandboxes. `pause` is what happens while its Deployment has no replica."""

    def __init__(self, store: Store) -> None:
        self.paused = False
        self._store = store
        self._dirty: dict[tuple[str, str], None] = {}
        self._wake = asyncio.Event()
        store.on_change(self._hear)

    def resume(self) -> None:
        self.paused = False
        self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty and not self.paused:
                key = next(iter(self._dirty))
                del self._dirty[key]
                self._reconcile(*key)
                await asyncio.sleep(0)

    def _hear(self, change: Change) -> None:
        if change.plural in (SANDBOXES, PODS):
            self._enqueue(change.after["metadata"]["namespace"], change.after["metadata"]["name"])

    def _enqueue(self, namespace: str, name: str) -> None:
        self._dirty[namespace, name] = None
        self._wake.set()

    def _reconcile(self, namespace: str, name: str) -> None:
        sandbox = self._store.find(SANDBOXES, namespace, name)
        if sandbox is None or sandbox["metadata"].get("deletionTimestamp"):
            return
        left = _seconds_left(sandbox)
        if left is not None and left <= 0:
            self._expire(namespace, name, sandbox)
            return
        if left is not None:
            asyncio.get_running_loop().call_later(left, self._enqueue, namespace, name)
        error = ""
        try:
            pod = self._reconcile_pod(namespace, name, sandbox)
        except RefusalError as refusal:
            pod, error = self._store.find(PODS, namespace, name), refusal.body["message"]
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._enqueue, namespace, name)

        def write(item: Raw) -> None:
            _write_status(item, pod, error)

        self._store.change(SANDBOXES, namespace, name, write)

    def _expire(self, namespace: str, name: str, sandbox: Raw) -> None:
        """Delete the pod of one whose time has come; nothing else of it is looked after."""
        pod = self._store.find(PODS, namespace, name)
        is_ours = pod is not None and _is_owned(pod, sandbox["metadata"]["uid"])
        if is_ours and not pod["metadata"].get("deletionTimestamp"):  # type: ignore[index]
            self._store.delete(PODS, namespace, name)

        def write(item: Raw) -> None:
            status = item.setdefault("status", {})
            item["status"] = {"conditions": status.get("conditions", [])}
            _drop_condition(item, "PodScheduled")
            set_condition(item, "Ready", "False", "SandboxExpired", "Sandbox has expired")

        self._store.change(SANDBOXES, namespace, name, write)

    def _reconcile_pod(self, namespace: str, name: str, sandbox: Raw) -> Raw | None:
        pod = self._store.find(PODS, namespace, name)
        uid = sandbox["metadata"]["uid"]
        if pod is not None and not _is_owned(pod, uid):
            owner = (pod["metadata"].get("ownerReferences") or [{"uid": "none"}])[0]["uid"]
            message = (
                f'pod "{name}" is owned by Sandbox/{name} (UID: {owner}), not by sandbox "{name}"'
            )
            raise RefusalError(409, "Conflict", message)
        if sandbox["spec"]["operatingMode"] == "Suspended":
            if pod is None:
                self._annotate(namespace, name, None)
            elif not pod["metadata"].get("deletionTimestamp"):
                pod = self._store.delete(PODS, namespace, name)
            return pod
        if pod is None:
            pod = self._store.create(PODS, namespace, _make_pod(sandbox))
        else:

            def carry_over(item: Raw) -> None:
                _carry_over(item, sandbox)

            self._store.change(PODS, namespace, name, carry_over)
        self._annotate(namespace, name, name)
        return self._store.find(PODS, namespace, name)

    def _annotate(self, namespace: str, name: str, pod: str | None) -> None:
        def edit(item: Raw) -> None:
            annotations = item["metadata"].setdefault("annotations", {})
            if pod is None:
                annotations.pop(POD_NAME, None)
            else:
                annotations[POD_NAME] = pod

        self._store.change(SANDBOXES, namespace, name, edit)


class GarbageCollector:
    """Removes what is owned by something that is gone, and claims once no pod uses them."""

    def __init__(self, store: Store) -> None:
        self.paused = False
        self._store = store
        self._wake = asyncio.Event()
        store.on_change(self._hear)

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self.paused:
                self._collect()

    def resume(self) -> None:
        self.paused = False
        self._wake.set()

    def _hear(self, _: Change) -> None:
        self._wake.set()

    def _collect(self) -> None:
        for plural in (PODS, CLAIMS, SECRETS):
            for item in self._store.select(plural):
                meta = item["metadata"]
                owners = meta.get("ownerReferences") or ()
                if owners and not any(self._store.has_uid(owner["uid"]) for owner in owners):
                    self._store.delete(plural, meta["namespace"], meta["name"])
        for claim in self._store.select(CLAIMS):
            meta = claim["metadata"]
            if meta.get("deletionTimestamp") and PROTECTION in meta.get("finalizers", ()):
                self._release(meta["namespace"], meta["name"])

    def _release(self, namespace: str, name: str) -> None:
        if any(name in claims_of(pod) for pod in self._store.select(PODS, namespace)):
            return

        def edit(item: Raw) -> None:
            item["metadata"]["finalizers"].remove(PROTECTION)

        self._store.change(CLAIMS, namespace, name, edit)


def claims_of(pod: Raw) -> set[str]:
    """Return the names of the claims that a pod mounts."""
    volumes = pod["spec"].get("volumes") or ()
    return {
        v["persistentVolumeClaim"]["claimName"] for v in volumes if v.get("persistentVolumeClaim")
    }


def set_condition(item: Raw, kind: str, status: str, reason: str, message: str = "") -> None:
    """Set one condition as the cluster does; its time changes with its status."""
    conditions: list[Raw] = item.setdefault("status", {}).setdefault("conditions", [])
    fresh: dict[str, Any] = {"type": kind, "status": status, "lastTransitionTime": now()}
    if item["kind"] == "Sandbox":
        fresh["observedGeneration"] = item["metadata"]["generation"]
    fresh |= {k: v for k, v in (("reason", reason), ("message", message)) if v}
    for position, old in enumerate(conditions):
        if old["type"] == kind:
            if old["status"] == status:
                fresh["lastTransitionTime"] = old["lastTransitionTime"]
            conditions[position] = fresh
            return
    conditions.append(fresh)


def _seconds_left(sandbox: Raw) -> float | None:
    """Return how long a Sandbox may still run; `None`: for ever."""
    at = sandbox["spec"].get("shutdownTime")
    if at is None:
        return None
    return (datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds()


def _drop_condition(item: Raw, kind: str) -> None:
    status = item["status"]
    status["conditions"] = [c for c in status["conditions"] if c["type"] != kind]


def _is_owned(pod: Raw, uid: str) -> bool:
    return any(o["uid"] == uid for o in pod["metadata"].get("ownerReferences") or ())


def _make_pod(sandbox: Raw) -> Raw:
    template = sandbox["spec"]["podTemplate"]
    meta = sandbox["metadata"]
    owner = {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    pod: Raw = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": meta["name"], "ownerReferences": [owner]},
        "spec": {**template["spec"]},
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    }
    _carry_over(pod, sandbox)
    return pod


def _carry_over(pod: Raw, sandbox: Raw) -> None:
    template = sandbox["spec"]["podTemplate"].get("metadata") or {}
    labels = template.get("labels") or {}
    annotations = template.get("annotations") or {}
    meta = pod["metadata"]
    earlier = meta.get("annotations") or {}
    for key, record in (("labels", PROPAGATED_LABELS), ("annotations", PROPAGATED_ANNOTATIONS)):
        gone = set(filter(None, earlier.get(record, "").split(",")))
        meta[key] = {k: v for k, v in (meta.get(key) or {}).items() if k not in gone}
    meta["labels"] |= {**labels, NAME_HASH: _hash_name(sandbox["metadata"]["name"])}
    meta["annotations"] |= {
        **annotations,
        PROPAGATED_LABELS: ",".join(sorted(labels)),
        PROPAGATED_ANNOTATIONS: ",".join(sorted(annotations)),
    }


def _hash_name(name: str) -> str:
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{value:08x}"


def _write_status(sandbox: Raw, pod: Raw | None, error: str) -> None:
    meta = sandbox["metadata"]
    owned = pod is not None and _is_owned(pod, meta["uid"])
    status = sandbox.setdefault("status", {})
    for key in ("podIPs", "nodeName"):
        status.pop(key, None)
    _write_suspended(sandbox, pod, error, owned=owned)
    for kind in ("Finished", "PodScheduled"):
        _drop_condition(sandbox, kind)
    if pod is not None and owned:
        status["selector"] = f"{NAME_HASH}={_hash_name(meta['name'])}"
        if pod["status"].get("podIPs"):
            status["podIPs"] = [ip["ip"] for ip in pod["status"]["podIPs"]]
        if pod["spec"].get("nodeName"):
            status["nodeName"] = pod["spec"]["nodeName"]
        _write_scheduled(sandbox, pod)
        if pod["status"]["phase"] in ("Failed", "Succeeded"):
            word = pod["status"]["phase"]
            set_condition(sandbox, "Finished", "True", f"Pod{word}", "Pod failed")
    set_condition(sandbox, "Ready", *_judge_ready(sandbox, pod, error))


def _write_suspended(sandbox: Raw, pod: Raw | None, error: str, *, owned: bool) -> None:
    verdict = ("False", "NotSuspended", "Sandbox is not suspended")
    if sandbox["spec"]["operatingMode"] == "Suspended":
        if pod is None and error:
            message = "Pod state is unknown. Sandbox suspension cannot be confirmed"
            verdict = ("Unknown", "PodStateUnknown", message)
        elif pod is None:
            message = "Pod has been terminated. Sandbox is suspended"
            verdict = ("True", "PodTerminated", message)
        elif not owned:
            message = "Refused to delete pod because it is not owned by this sandbox"
            verdict = ("False", "PodNotOwned", message)
        else:
            verdict = ("False", "PodTerminating", "Pod is terminating. Sandbox is suspending")
    set_condition(sandbox, "Suspended", *verdict)


def _write_scheduled(sandbox: Raw, pod: Raw) -> None:
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "PodScheduled":
            status = condition["status"]
            default = "PodScheduled" if status == "True" else "PodSchedulingUnknown"
            reason = condition.get("reason") or default
            set_condition(sandbox, "PodScheduled", status, reason, condition.get("message", ""))
            return
    message = "Pod has not reported a PodScheduled condition yet"
    set_condition(sandbox, "PodScheduled", "Unknown", "PodSchedulingUnknown", message)


def _judge_ready(sandbox: Raw, pod: Raw | None, error: str) -> tuple[str, str, str]:
    if error:
        return "False", "ReconcilerError", f"Error seen: {error}"
    if sandbox["spec"]["operatingMode"] == "Suspended":
        doing = "suspended" if pod is None else "suspending"
        return "False", "SandboxSuspended", f"Sandbox is {doing}"
    if pod is None:
        return "False", "DependenciesNotReady", "Pod does not exist"
    phase = pod["status"]["phase"]
    if phase == "Failed":
        return "False", "PodFailed", "Pod failed"
    if phase == "Succeeded":
        return "False", "PodSucceeded", "Pod completed successfully"
    if phase != "Running":
        return "False", "DependenciesNotReady", f"Pod exists with phase: {phase}"
    conditions = pod["status"].get("conditions", ())
    if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
        return "True", "DependenciesReady", "Pod is Ready"
    return "False", "DependenciesNotReady", "Pod is Running but not Ready"
