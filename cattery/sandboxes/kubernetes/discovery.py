"""Which version of the Sandbox API a cluster serves, and how the older one says the same.

Controllers from 0.5.0 on serve v1beta1; those up to 0.4.6 only v1alpha1, which has `replicas` 0
and 1 for `operatingMode`. Everything else is written against v1beta1. v1alpha1 is never used where
v1beta1 is served: there it goes through a webhook that keeps a second copy of the whole object in
an annotation.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, override

from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.failures import ClusterRefusedError
from cattery.sandboxes.kubernetes.kinds import SANDBOX_GROUP, SANDBOX_VERSION

DISCOVERY_PATH = f"/apis/{SANDBOX_GROUP}"
MODE_PATH = "/spec/operatingMode"


class SandboxDialect(Protocol):
    """Translates Sandboxes between v1beta1 and what the cluster serves."""

    version: str

    def write(self, sandbox: JsonObject) -> JsonObject:
        """Return a v1beta1 Sandbox as the cluster takes it."""

    def write_patch(self, operations: Sequence[Mapping[str, Json]]) -> list[JsonObject]:
        """Return operations on a v1beta1 Sandbox as the cluster takes them."""

    def read(self, sandbox: JsonObject) -> JsonObject:
        """Return what the cluster gave as a v1beta1 Sandbox."""


def choose_dialect(group: JsonObject | None) -> SandboxDialect:
    """Choose by the group's discovery document; `None` is a cluster that has no such group.

    Raises:
        ClusterRefusedError: no version that we know is served.
    """
    listed = (group or {}).get("versions")
    served = {
        item.get("version")
        for item in (listed if isinstance(listed, list) else ())
        if isinstance(item, dict)
    }
    if SANDBOX_VERSION in served:
        return V1Beta1()
    if V1Alpha1.version in served:
        return V1Alpha1()
    raise ClusterRefusedError(
        f"The cluster serves no Sandboxes ({SANDBOX_GROUP}). Install agent-sandbox 0.5.2 or newer."
    )


class V1Beta1(SandboxDialect):
    """The version that we write: nothing to translate."""

    version = SANDBOX_VERSION

    @override
    def write(self, sandbox: JsonObject) -> JsonObject:
        return sandbox

    @override
    def write_patch(self, operations: Sequence[Mapping[str, Json]]) -> list[JsonObject]:
        return [dict(operation) for operation in operations]

    @override
    def read(self, sandbox: JsonObject) -> JsonObject:
        return sandbox


class V1Alpha1(SandboxDialect):
    """Controllers up to 0.4.6."""

    version = "v1alpha1"

    @override
    def write(self, sandbox: JsonObject) -> JsonObject:
        spec = sandbox.get("spec")
        return {
            **sandbox,
            "apiVersion": f"{SANDBOX_GROUP}/{self.version}",
            "spec": _write_spec(spec if isinstance(spec, dict) else {}),
        }

    @override
    def write_patch(self, operations: Sequence[Mapping[str, Json]]) -> list[JsonObject]:
        return [_write_operation(operation) for operation in operations]

    @override
    def read(self, sandbox: JsonObject) -> JsonObject:
        spec, status = sandbox.get("spec"), sandbox.get("status")
        spec, status = dict(spec) if isinstance(spec, dict) else {}, _copy(status)
        suspended = spec.pop("replicas", 1) == 0
        spec["operatingMode"] = "Suspended" if suspended else "Running"
        pods = status.pop("replicas", 0)
        if suspended:
            status["conditions"] = _add_suspended(sandbox, status.get("conditions"), pods)
        return {
            **sandbox,
            "apiVersion": f"{SANDBOX_GROUP}/{SANDBOX_VERSION}",
            "spec": spec,
            "status": status,
        }


def _write_spec(spec: JsonObject) -> JsonObject:
    written = {key: value for key, value in spec.items() if key != "operatingMode"}
    return {**written, "replicas": _write_mode(spec.get("operatingMode"))}


def _write_mode(mode: Json) -> int:
    return 0 if mode == "Suspended" else 1


def _write_operation(operation: Mapping[str, Json]) -> JsonObject:
    value = operation.get("value")
    if operation.get("path") == MODE_PATH:
        return {**operation, "path": "/spec/replicas", "value": _write_mode(value)}
    if operation.get("path") == "/spec" and isinstance(value, dict):
        return {**operation, "value": _write_spec(value)}
    return dict(operation)


def _copy(value: Json) -> JsonObject:
    return dict(value) if isinstance(value, dict) else {}


def _add_suspended(sandbox: JsonObject, conditions: Json, pods: Json) -> list[Json]:
    """Say by the condition that v1beta1 has whether the pod is gone yet."""
    kept: list[Json] = list(conditions) if isinstance(conditions, list) else []
    if any(isinstance(c, dict) and c.get("type") == "Suspended" for c in kept):
        return kept
    meta = sandbox.get("metadata")
    gone = pods == 0
    condition: JsonObject = {
        "type": "Suspended",
        "status": "True" if gone else "False",
        "reason": "PodTerminated" if gone else "PodNotTerminated",
        "message": "",
    }
    generation = meta.get("generation") if isinstance(meta, dict) else None
    if isinstance(generation, int):
        condition["observedGeneration"] = generation
    return [*kept, condition]
