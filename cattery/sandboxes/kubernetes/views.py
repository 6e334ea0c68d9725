"""What we read of a cluster's objects: the few fields that decide something, in our own types.

A watch tells of thousands of large objects; kept is only what is looked at. Parsing forgives what
is missing, because objects are half-written while they come to be, and never raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.reading import (
    as_list,
    as_moment,
    as_number,
    as_object,
    as_strings,
    as_text,
    as_texts,
)
from cattery.sandboxes.names import GENERATION_ANNOTATION, LAUNCH_ANNOTATION

MAIN_CONTAINER: Final = "main"
"""Name of the one container of every pod of ours; others may have been put beside it."""
EXPIRED: Final = "SandboxExpired"
"""The reason of `Ready` once a Sandbox has reached its `spec.shutdownTime`."""
_LONG_AGO: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of `status.conditions`."""

    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SandboxView:
    """A Sandbox object.

    Attributes:
        metadata_generation: the cluster's own count of changes of the spec.
        generation: ours, which start it is for; 0 where the object says none.
        launch: name of the Secret of that start.
        suspended: whether it is wanted without a pod.
        shutdown_at: when the cluster ends its pod by itself; `None`: never.
    """

    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created_at: datetime
    metadata_generation: int
    generation: int
    launch: str
    suspended: bool
    deleting_at: datetime | None
    finalizers: tuple[str, ...]
    conditions: Mapping[str, Condition]
    shutdown_at: datetime | None = None

    def has_expired(self, now: datetime) -> bool:
        """Whether nobody extended its time, so that the cluster ends its pod, or has done so."""
        if self.suspended or self.shutdown_at is None:
            return False
        ready = self.conditions.get("Ready")
        is_told = ready is not None and ready.reason == EXPIRED
        return self.shutdown_at <= now or (is_told and self.current("Ready") is not None)

    def current(self, condition: str) -> Condition | None:
        """Return a condition that speaks of the present spec; `None` where it lags behind."""
        found = self.conditions.get(condition)
        if found is None or found.observed_generation not in (None, self.metadata_generation):
            return None
        return found


@dataclass(frozen=True, slots=True)
class Termination:
    """How a container's process ended. `signal` is 0 where no signal is known."""

    exit_code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContainerView:
    """The state of a pod's main container; one of waiting, running and terminated."""

    waiting_reason: str = ""
    waiting_message: str = ""
    running_at: datetime | None = None
    termination: Termination | None = None
    last_termination: Termination | None = None
    restarts: int = 0
    ready: bool = False
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod.

    Attributes:
        generation: our annotation: which start it is of; 0 where it says none.
        reason: why it is in its phase, such as `Evicted`; mostly empty.
        image: what its main container runs, as it was asked for.
        memory_limit: of its main container, as written, such as `4Gi`.
    """

    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    generation: int
    created_at: datetime
    phase: str
    reason: str
    message: str
    ip: str
    node: str
    deleting_at: datetime | None
    finalizers: tuple[str, ...]
    conditions: Mapping[str, Condition]
    container: ContainerView | None
    image: str = ""
    memory_limit: str = ""


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A claim of a volume. `phase` is `Pending`, `Bound` or `Lost`."""

    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    created_at: datetime
    phase: str
    deleting_at: datetime | None
    finalizers: tuple[str, ...]
    storage_class: str = ""


@dataclass(frozen=True, slots=True)
class EventView:
    """Something that a part of the cluster said about an object; `count` times, last `at`."""

    key: str
    about_kind: str
    about_name: str
    reason: str
    message: str
    count: int
    at: datetime
    is_warning: bool
    about_uid: str = ""
    first_at: datetime = field(default=_LONG_AGO)


def parse_sandbox(raw: JsonObject) -> SandboxView:
    """Read a Sandbox (v1beta1)."""
    metadata, spec, status = _parts(raw)
    annotations = as_strings(metadata.get("annotations"))
    return SandboxView(
        name=as_text(metadata.get("name")),
        uid=as_text(metadata.get("uid")),
        resource_version=as_text(metadata.get("resourceVersion")),
        labels=as_strings(metadata.get("labels")),
        annotations=annotations,
        created_at=as_moment(metadata.get("creationTimestamp")) or _LONG_AGO,
        metadata_generation=as_number(metadata.get("generation")),
        generation=_generation(annotations),
        launch=annotations.get(LAUNCH_ANNOTATION, ""),
        suspended=spec.get("operatingMode") == "Suspended",
        deleting_at=as_moment(metadata.get("deletionTimestamp")),
        finalizers=as_texts(metadata.get("finalizers")),
        conditions=_conditions(status),
        shutdown_at=as_moment(spec.get("shutdownTime")),
    )


def parse_pod(raw: JsonObject) -> PodView:
    """Read a Pod."""
    metadata, spec, status = _parts(raw)
    annotations = as_strings(metadata.get("annotations"))
    main = _main(spec.get("containers"))
    limits = as_object(as_object(main.get("resources")).get("limits"))
    return PodView(
        name=as_text(metadata.get("name")),
        uid=as_text(metadata.get("uid")),
        resource_version=as_text(metadata.get("resourceVersion")),
        labels=as_strings(metadata.get("labels")),
        annotations=annotations,
        generation=_generation(annotations),
        created_at=as_moment(metadata.get("creationTimestamp")) or _LONG_AGO,
        phase=as_text(status.get("phase")),
        reason=as_text(status.get("reason")),
        message=as_text(status.get("message")),
        ip=as_text(status.get("podIP")),
        node=as_text(spec.get("nodeName")),
        deleting_at=as_moment(metadata.get("deletionTimestamp")),
        finalizers=as_texts(metadata.get("finalizers")),
        conditions=_conditions(status),
        container=_container(_main(status.get("containerStatuses"))),
        image=as_text(main.get("image")),
        memory_limit=as_text(limits.get("memory")),
    )


def parse_claim(raw: JsonObject) -> ClaimView:
    """Read a PersistentVolumeClaim."""
    metadata, spec, status = _parts(raw)
    return ClaimView(
        name=as_text(metadata.get("name")),
        uid=as_text(metadata.get("uid")),
        resource_version=as_text(metadata.get("resourceVersion")),
        labels=as_strings(metadata.get("labels")),
        created_at=as_moment(metadata.get("creationTimestamp")) or _LONG_AGO,
        phase=as_text(status.get("phase")),
        deleting_at=as_moment(metadata.get("deletionTimestamp")),
        finalizers=as_texts(metadata.get("finalizers")),
        storage_class=as_text(spec.get("storageClassName")),
    )


def parse_event(raw: JsonObject) -> EventView:
    """Read an Event (core/v1), of the older form with counts or the newer one with a series."""
    metadata = as_object(raw.get("metadata"))
    about = as_object(raw.get("involvedObject"))
    series = as_object(raw.get("series"))
    made_at = as_moment(metadata.get("creationTimestamp")) or _LONG_AGO
    began_at = as_moment(raw.get("firstTimestamp")) or as_moment(raw.get("eventTime")) or made_at
    return EventView(
        key=as_text(metadata.get("uid")) or as_text(metadata.get("name")),
        about_kind=as_text(about.get("kind")),
        about_name=as_text(about.get("name")),
        reason=as_text(raw.get("reason")),
        message=as_text(raw.get("message")),
        count=as_number(series.get("count")) or as_number(raw.get("count")) or 1,
        at=as_moment(series.get("lastObservedTime"))
        or as_moment(raw.get("lastTimestamp"))
        or began_at,
        is_warning=raw.get("type") == "Warning",
        about_uid=as_text(about.get("uid")),
        first_at=began_at,
    )


def _parts(raw: JsonObject) -> tuple[JsonObject, JsonObject, JsonObject]:
    return as_object(raw.get("metadata")), as_object(raw.get("spec")), as_object(raw.get("status"))


def _generation(annotations: Mapping[str, str]) -> int:
    text = annotations.get(GENERATION_ANNOTATION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _conditions(status: JsonObject) -> dict[str, Condition]:
    found = (as_object(one) for one in as_list(status.get("conditions")))
    return {as_text(one.get("type")): _condition(one) for one in found}


def _condition(raw: JsonObject) -> Condition:
    observed = raw.get("observedGeneration")
    return Condition(
        status=as_text(raw.get("status")),
        reason=as_text(raw.get("reason")),
        message=as_text(raw.get("message")),
        observed_generation=observed if isinstance(observed, int) else None,
        at=as_moment(raw.get("lastTransitionTime")),
    )


def _main(containers: Json) -> JsonObject:
    """Find our own container, or its status, among those of a pod; empty where there is none."""
    found = [as_object(one) for one in as_list(containers)]
    named = (one for one in found if one.get("name") == MAIN_CONTAINER)
    return next(named, found[0] if found else {})


def _container(raw: JsonObject) -> ContainerView | None:
    if not raw:
        return None
    state = as_object(raw.get("state"))
    waiting = as_object(state.get("waiting"))
    return ContainerView(
        waiting_reason=as_text(waiting.get("reason")),
        waiting_message=as_text(waiting.get("message")),
        running_at=as_moment(as_object(state.get("running")).get("startedAt")),
        termination=_termination(state),
        last_termination=_termination(as_object(raw.get("lastState"))),
        restarts=as_number(raw.get("restartCount")),
        ready=raw.get("ready") is True,
        image_id=as_text(raw.get("imageID")),
    )


def _termination(state: JsonObject) -> Termination | None:
    raw = as_object(state.get("terminated"))
    if not raw:
        return None
    return Termination(
        exit_code=as_number(raw.get("exitCode")),
        signal=as_number(raw.get("signal")),
        reason=as_text(raw.get("reason")),
        message=as_text(raw.get("message")),
        finished_at=as_moment(raw.get("finishedAt")),
    )
