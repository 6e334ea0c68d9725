"""The objects of the fake cluster, with the parts of the API server's behaviour that matter.

One counter of resource versions for all kinds, names and labels that are checked, generations,
finalizers, delete preconditions, JSON patches with `test`, and a history that watches read. Objects
are never changed in place: a change puts a new one, so a reader may keep what it was given.
"""

import asyncio
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.fake_cluster.json_patch import PatchError, apply_patch

type Raw = dict[str, Any]
"""A Kubernetes object as JSON. Tests poke in them, so they are not typed any closer."""

SANDBOXES, PODS, CLAIMS, SECRETS, EVENTS = (
    "sandboxes",
    "pods",
    "persistentvolumeclaims",
    "secrets",
    "events",
)
GROUP = "agents.x-k8s.io"
KINDS = {
    SANDBOXES: (GROUP, "Sandbox"),
    PODS: ("", "Pod"),
    CLAIMS: ("", "PersistentVolumeClaim"),
    SECRETS: ("", "Secret"),
    EVENTS: ("", "Event"),
}
QUOTA_NAMES = {
    SANDBOXES: ("count/sandboxes.agents.x-k8s.io",),
    PODS: ("pods", "count/pods"),
    CLAIMS: ("persistentvolumeclaims", "count/persistentvolumeclaims"),
    SECRETS: ("secrets", "count/secrets"),
    EVENTS: (),
}

PROTECTION = "kubernetes.io/pvc-protection"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


class RefusalError(Exception):
    """What the API server answers instead of doing it: a `Status` object."""

    def __init__(
        self, code: int, reason: str, message: str, details: Raw | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.retry_after = retry_after
        self.body: Raw = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details or {},
            "code": code,
        }


@dataclass(frozen=True)
class Change:
    """One entry of the history: an object as it became, and as it was before."""

    version: int
    plural: str
    type: str
    after: Raw
    before: Raw | None


class Store:
    """All objects of all namespaces."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 100
        """Watches may begin here or later; `compact` moves it."""
        self.history: list[Change] = []
        self.quota: dict[str, int] = {}
        self.quota_name = "sandboxes"
        self._objects: dict[tuple[str, str, str], Raw] = {}
        self._uids: set[str] = set()
        self._listeners: list[Callable[[Change], None]] = []
        self._changed = asyncio.Event()

    # Reading

    def get(self, plural: str, namespace: str, name: str) -> Raw:
        found = self.find(plural, namespace, name)
        if found is None:
            raise not_found(plural, name)
        return found

    def find(self, plural: str, namespace: str, name: str) -> Raw | None:
        return self._objects.get((plural, namespace, name))

    def select(self, plural: str, namespace: str | None = None, selector: str = "") -> list[Raw]:
        return [
            item
            for (kind, space, _), item in sorted(self._objects.items())
            if kind == plural and namespace in (None, space) and matches(item, selector)
        ]

    def has_uid(self, uid: str) -> bool:
        return uid in self._uids

    def changes_after(self, version: int, plural: str) -> Iterator[Change]:
        """Read the history, newest last."""
        start = len(self.history)
        while start and self.history[start - 1].version > version:
            start -= 1
        return (c for c in self.history[start:] if c.plural == plural)

    @property
    def next_change(self) -> asyncio.Event:
        """What is set by the next change from now."""
        return self._changed

    def on_change(self, listener: Callable[[Change], None]) -> None:
        self._listeners.append(listener)

    def compact(self) -> None:
        """Forget the history: watches from before now are told 410."""
        self.version += 1
        self.oldest = self.version
        self.history.clear()

    # Writing

    def create(self, plural: str, namespace: str, body: Raw) -> Raw:
        item = copy.deepcopy(body)
        meta = item.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid4().hex[:5]
        name = meta.get("name", "")
        _check_metadata(plural, name, meta, namespace)
        if plural == SANDBOXES:
            _check_sandbox(item)
        if (plural, namespace, name) in self._objects:
            raise RefusalError(
                409,
                "AlreadyExists",
                f'{_resource(plural)} "{name}" already exists',
                {"name": name, **_details(plural)},
            )
        self._check_quota(plural, namespace, name)
        group, kind = KINDS[plural]
        item["kind"] = kind
        item.setdefault("apiVersion", f"{group}/v1beta1" if group else "v1")
        meta.update(
            namespace=namespace, uid=str(uuid4()), creationTimestamp=now(), managedFields=[{}]
        )
        meta.pop("resourceVersion", None)
        if plural in (SANDBOXES, PODS):
            meta["generation"] = 1
        if plural == CLAIMS:
            meta["finalizers"] = [*meta.get("finalizers", ()), PROTECTION]
            item["status"] = {"phase": "Pending"}
        return self._put(plural, "ADDED", item, None)

    def patch(
        self,
        plural: str,
        namespace: str,
        name: str,
        operations: list[Raw],
        *,
        version: str | None = None,
    ) -> Raw:
        """Patch an object as it is served in a version."""
        before = self.get(plural, namespace, name)
        try:
            shown = apply_patch(copy.deepcopy(to_served(before, version)), operations)
        except PatchError:
            message = "the server rejected our request due to an error in our request"
            raise RefusalError(422, "Invalid", message) from None
        after = to_stored(shown, version)
        after["status"] = before.get("status", {})
        return self.replace(plural, before, after)

    def replace(self, plural: str, before: Raw, after: Raw) -> Raw:
        """Put a changed object; what only the server may change stays."""
        kept = ("uid", "name", "namespace", "creationTimestamp", "generation", "deletionTimestamp")
        for key in kept:
            if key in before["metadata"]:
                after["metadata"][key] = before["metadata"][key]
        if plural == SANDBOXES:
            _check_sandbox(after)
        if after == before:
            return before
        if plural == SANDBOXES and after["spec"] != before["spec"]:
            after["metadata"]["generation"] += 1
        meta = after["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and plural != PODS:
            return self._drop(plural, after, before)
        return self._put(plural, "MODIFIED", after, before)

    def change(self, plural: str, namespace: str, name: str, edit: Callable[[Raw], None]) -> None:
        """Change an object as the cluster's own parts do, its status included."""
        before = self.find(plural, namespace, name)
        if before is not None:
            after = copy.deepcopy(before)
            edit(after)
            self.replace(plural, before, after)

    def delete(self, plural: str, namespace: str, name: str, *, uid: str | None = None) -> Raw:
        """Delete, or mark as being deleted where something holds it: a finalizer, or a kubelet."""
        before = self.get(plural, namespace, name)
        if uid is not None and before["metadata"]["uid"] != uid:
            found = before["metadata"]["uid"]
            raise RefusalError(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {_resource(plural)} "{name}": Precondition '
                f"failed: UID in precondition: {uid}, UID in object meta: {found}",
                {"name": name, **_details(plural)},
            )
        if before["metadata"].get("deletionTimestamp"):
            return before
        after = copy.deepcopy(before)
        if before["metadata"].get("finalizers") or plural == PODS:
            after["metadata"]["deletionTimestamp"] = now()
            return self._put(plural, "MODIFIED", after, before)
        return self._drop(plural, after, before)

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Take an object away at once unless a finalizer holds it."""
        before = self.find(plural, namespace, name)
        if before is not None and not before["metadata"].get("finalizers"):
            self._drop(plural, copy.deepcopy(before), before)

    def _put(self, plural: str, kind: str, item: Raw, before: Raw | None) -> Raw:
        self.version += 1
        meta = item["metadata"]
        meta["resourceVersion"] = str(self.version)
        self._objects[plural, meta["namespace"], meta["name"]] = item
        self._uids.add(meta["uid"])
        self._tell(Change(self.version, plural, kind, item, before))
        return item

    def _drop(self, plural: str, item: Raw, before: Raw) -> Raw:
        self.version += 1
        meta = item["metadata"]
        meta["resourceVersion"] = str(self.version)
        del self._objects[plural, meta["namespace"], meta["name"]]
        self._uids.discard(meta["uid"])
        self._tell(Change(self.version, plural, "DELETED", item, before))
        return item

    def _tell(self, change: Change) -> None:
        self.history.append(change)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in self._listeners:
            listener(change)

    def _check_quota(self, plural: str, namespace: str, name: str) -> None:
        for counted in QUOTA_NAMES[plural]:
            limit = self.quota.get(counted)
            used = 0 if limit is None else len(self.select(plural, namespace))
            if limit is not None and used >= limit:
                raise RefusalError(
                    403,
                    "Forbidden",
                    f'{_resource(plural)} "{name}" is forbidden: exceeded quota: '
                    f"{self.quota_name}, requested: {counted}=1, used: {counted}={used}, "
                    f"limited: {counted}={limit}",
                    {"name": name, **_details(plural)},
                )


def matches(item: Raw, selector: str) -> bool:
    """Whether an object's labels fit a selector: `a=b`, `a!=b`, `a in (b,c)`, `a`, `!a`."""
    labels = item["metadata"].get("labels") or {}
    for term in re.split(r",(?![^(]*\))", selector):
        term = term.strip()
        if not term:
            continue
        if found := re.fullmatch(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)", term):
            listed = labels.get(found[1]) in {v.strip() for v in found[3].split(",")}
            fits = listed is (found[2] == "in")
        elif "!=" in term:
            key, value = term.split("!=")
            fits = labels.get(key) != value
        elif "=" in term:
            key, value = term.replace("==", "=").split("=")
            fits = labels.get(key) == value
        else:
            fits = (term.lstrip("!") in labels) is not term.startswith("!")
        if not fits:
            return False
    return True


def to_served(item: Raw, version: str | None) -> Raw:
    """Show a Sandbox in the version that was asked for; anything else as it is."""
    if version != "v1alpha1":
        return item
    spec = {k: v for k, v in item["spec"].items() if k != "operatingMode"}
    spec["replicas"] = 0 if item["spec"]["operatingMode"] == "Suspended" else 1
    status = {k: v for k, v in item.get("status", {}).items() if k != "nodeName"}
    status["replicas"] = spec["replicas"]
    return {**item, "apiVersion": f"{GROUP}/v1alpha1", "spec": spec, "status": status}


def to_stored(item: Raw, version: str | None) -> Raw:
    """Read a Sandbox that came in the older version."""
    if version != "v1alpha1":
        return item
    spec = {k: v for k, v in item["spec"].items() if k not in ("replicas", "operatingMode")}
    spec["operatingMode"] = "Suspended" if item["spec"].get("replicas", 1) == 0 else "Running"
    return {**item, "apiVersion": f"{GROUP}/v1beta1", "spec": spec}


def not_found(plural: str, name: str) -> RefusalError:
    return RefusalError(
        404,
        "NotFound",
        f'{_resource(plural)} "{name}" not found',
        {"name": name, **_details(plural)},
    )


def now() -> str:
    """Return the time as the API writes it: whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _resource(plural: str) -> str:
    group = KINDS[plural][0]
    return f"{plural}.{group}" if group else plural


def _details(plural: str) -> Raw:
    group = KINDS[plural][0]
    return {"group": group, "kind": plural} if group else {"kind": plural}


def _invalid(plural: str, name: str, field: str, what: str) -> RefusalError:
    kind = KINDS[plural][1]
    return RefusalError(
        422,
        "Invalid",
        f'{kind} "{name}" is invalid: {field}: {what}',
        {"name": name, "kind": kind, "causes": [{"field": field, "message": what}]},
    )


def _check_metadata(plural: str, name: str, meta: Raw, namespace: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise _invalid(plural, name, "metadata.name", f'Invalid value: "{name}"')
    if meta.get("namespace", namespace) != namespace:
        message = "the namespace of the provided object does not match the namespace sent"
        raise RefusalError(400, "BadRequest", message)
    for key, value in (meta.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            raise _invalid(plural, name, "metadata.labels", f'Invalid value: {key}="{value}"')
    for key, value in (meta.get("annotations") or {}).items():
        if not isinstance(value, str):
            raise RefusalError(400, "BadRequest", f"annotation {key} is not a string")


def _check_sandbox(item: Raw) -> None:
    name = item["metadata"]["name"]
    spec = item.setdefault("spec", {})
    mode = spec.setdefault("operatingMode", "Running")
    if mode not in ("Running", "Suspended"):
        raise _invalid(SANDBOXES, name, "spec.operatingMode", f'Unsupported value: "{mode}"')
    if not spec.get("podTemplate", {}).get("spec", {}).get("containers"):
        raise _invalid(SANDBOXES, name, "spec.podTemplate.spec.containers", "Required value")
