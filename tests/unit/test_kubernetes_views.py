"""Objects of a cluster are read into our own types, whatever they lack."""

from datetime import UTC, datetime

import pytest

from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.views import (
    ClaimView,
    Condition,
    ContainerView,
    EventView,
    PodView,
    SandboxView,
    Termination,
    parse_claim,
    parse_event,
    parse_pod,
    parse_sandbox,
)

LONG_AGO = datetime.fromtimestamp(0, UTC)
LABELS = {"app.kubernetes.io/component": "sandbox"}


def at(second: int) -> datetime:
    return datetime(2026, 11, 25, 22, 0, second, tzinfo=UTC)


def metadata(**more: object) -> JsonObject:
    found: JsonObject = {
        "name": "cattery-opencode-1",
        "uid": "u-1",
        "resourceVersion": "77",
        "creationTimestamp": "2026-11-25T22:00:01Z",
        "labels": {**LABELS},
    }
    return {**found, **more}  # type: ignore[dict-item]


def test_a_sandbox_is_read() -> None:
    view = parse_sandbox(
        {
            "metadata": metadata(
                generation=3,
                annotations={"cattery.dev/generation": "2", "cattery.dev/launch": "l-9"},
                deletionTimestamp="2026-11-25T22:00:09Z",
                finalizers=["example.com/hold"],
            ),
            "spec": {"operatingMode": "Suspended"},
            "status": {
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "False",
                        "reason": "SandboxSuspended",
                        "message": "Sandbox is suspended",
                        "observedGeneration": 3,
                        "lastTransitionTime": "2026-11-25T22:00:05Z",
                    },
                    {"type": "Suspended", "status": "True", "observedGeneration": 2},
                ]
            },
        }
    )
    ready = Condition("False", "SandboxSuspended", "Sandbox is suspended", 3, at(5))
    assert view == SandboxView(
        name="cattery-opencode-1",
        uid="u-1",
        resource_version="77",
        labels=LABELS,
        annotations={"cattery.dev/generation": "2", "cattery.dev/launch": "l-9"},
        created_at=at(1),
        metadata_generation=3,
        generation=2,
        launch="l-9",
        suspended=True,
        deleting_at=at(9),
        finalizers=("example.com/hold",),
        conditions={"Ready": ready, "Suspended": Condition("True", observed_generation=2)},
    )
    assert view.current("Ready") == ready
    assert view.current("Suspended") is None, "it speaks of an earlier spec"


def test_a_pod_is_read_with_our_own_container_and_not_one_beside_it() -> None:
    beside: JsonObject = {"name": "istio-proxy", "image": "proxy:1"}
    main: JsonObject = {
        "name": "main",
        "image": "cattery-opencode:dev",
        "resources": {"limits": {"memory": "4Gi"}},
    }
    killed: JsonObject = {
        "exitCode": 137,
        "signal": 9,
        "reason": "OOMKilled",
        "finishedAt": "2026-11-25T22:00:08Z",
    }
    view = parse_pod(
        {
            "metadata": metadata(annotations={"cattery.dev/generation": "4"}),
            "spec": {"nodeName": "node-a", "containers": [beside, main]},
            "status": {
                "phase": "Running",
                "podIP": "10.244.0.7",
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [
                    {"name": "istio-proxy", "ready": True, "restartCount": 8},
                    {
                        "name": "main",
                        "ready": True,
                        "restartCount": 1,
                        "imageID": "sha256:1",
                        "state": {"running": {"startedAt": "2026-11-25T22:00:10Z"}},
                        "lastState": {"terminated": killed},
                    },
                ],
            },
        }
    )
    assert view == PodView(
        name="cattery-opencode-1",
        uid="u-1",
        resource_version="77",
        labels=LABELS,
        annotations={"cattery.dev/generation": "4"},
        generation=4,
        created_at=at(1),
        phase="Running",
        reason="",
        message="",
        ip="10.244.0.7",
        node="node-a",
        deleting_at=None,
        finalizers=(),
        conditions={"PodScheduled": Condition("True")},
        container=ContainerView(
            running_at=at(10),
            last_termination=Termination(137, 9, "OOMKilled", "", at(8)),
            restarts=1,
            ready=True,
            image_id="sha256:1",
        ),
        image="cattery-opencode:dev",
        memory_limit="4Gi",
    )


def test_a_waiting_and_an_ended_container_are_read() -> None:
    def container(state: JsonObject) -> ContainerView | None:
        status: JsonObject = {"name": "main", "state": state}
        return parse_pod({"status": {"containerStatuses": [status]}}).container

    waiting = container({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
    assert waiting == ContainerView(waiting_reason="ErrImagePull", waiting_message="not found")
    ended = container({"terminated": {"exitCode": 0, "reason": "Completed"}})
    assert ended == ContainerView(termination=Termination(0, reason="Completed"))


def test_a_claim_is_read() -> None:
    view = parse_claim(
        {
            "metadata": metadata(finalizers=["kubernetes.io/pvc-protection"]),
            "spec": {"storageClassName": "local-path"},
            "status": {"phase": "Bound"},
        }
    )
    assert view == ClaimView(
        name="cattery-opencode-1",
        uid="u-1",
        resource_version="77",
        labels=LABELS,
        created_at=at(1),
        phase="Bound",
        deleting_at=None,
        finalizers=("kubernetes.io/pvc-protection",),
        storage_class="local-path",
    )


def test_an_event_of_the_older_form_is_read() -> None:
    view = parse_event(
        {
            "metadata": metadata(),
            "involvedObject": {"kind": "Pod", "name": "p", "uid": "u-pod"},
            "reason": "BackOff",
            "message": "Back-off pulling image",
            "type": "Warning",
            "count": 4,
            "firstTimestamp": "2026-11-25T22:00:02Z",
            "lastTimestamp": "2026-11-25T22:00:30Z",
        }
    )
    assert view == EventView(
        key="u-1",
        about_kind="Pod",
        about_name="p",
        reason="BackOff",
        message="Back-off pulling image",
        count=4,
        at=at(30),
        is_warning=True,
        about_uid="u-pod",
        first_at=at(2),
    )


def test_an_event_of_the_newer_form_is_read() -> None:
    view = parse_event(
        {
            "metadata": metadata(),
            "involvedObject": {"kind": "Pod", "name": "p"},
            "reason": "FailedScheduling",
            "type": "Normal",
            "firstTimestamp": None,
            "lastTimestamp": None,
            "eventTime": "2026-11-25T22:00:03.000000Z",
            "series": {"count": 3, "lastObservedTime": "2026-11-25T22:00:20.000000Z"},
        }
    )
    assert (view.count, view.first_at, view.at, view.is_warning) == (3, at(3), at(20), False)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "²", "99 "])
def test_a_generation_that_is_no_number_is_none(text: str) -> None:
    raw: JsonObject = {"metadata": {"annotations": {"cattery.dev/generation": text}}}
    assert parse_sandbox(raw).generation == 0


def test_objects_that_lack_everything_or_hold_nonsense_are_read() -> None:
    nonsense: list[JsonObject] = [
        {},
        {"metadata": None, "spec": None, "status": None, "involvedObject": None, "series": 5},
        {
            "metadata": {"creationTimestamp": "yesterday", "labels": ["a"], "finalizers": "x"},
            "spec": {"containers": [None]},
            "status": {"conditions": [None, {}], "containerStatuses": [{"state": "x"}]},
        },
    ]
    for raw in nonsense:
        assert parse_sandbox(raw).created_at == LONG_AGO
        assert parse_pod(raw).phase == ""
        assert parse_claim(raw).phase == ""
        assert parse_event(raw).count == 1
