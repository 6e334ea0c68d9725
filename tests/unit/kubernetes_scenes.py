"""Views of a cluster's objects, and what is made of them: material for tests of diagnosis.

The scenes in `recordings/kubernetes` are objects of a real cluster (Kubernetes 1.34, agent-sandbox
0.5.6) with a Sandbox each that was made to fail in one way; what nothing reads was left out.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cattery.sandboxes.kubernetes.diagnosis import (
    Life,
    Situation,
    Verdict,
    diagnose_life,
    diagnose_start,
)
from cattery.sandboxes.kubernetes.views import (
    ClaimView,
    Condition,
    ContainerView,
    EventView,
    PodView,
    SandboxView,
    parse_claim,
    parse_event,
    parse_pod,
    parse_sandbox,
)

SCENES = Path(__file__).parent.parent / "recordings" / "kubernetes"
NAME = "cattery-opencode-1"
IMAGE = "cattery-opencode:1.4.0"
T0 = datetime(2026, 11, 25, 22, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def scene(name: str) -> Situation:
    raw = json.loads((SCENES / f"{name}.json").read_text())
    return Situation(
        sandbox=parse_sandbox(raw["sandbox"]),
        pod=parse_pod(raw["pod"]) if raw["pod"] else None,
        claims=[parse_claim(claim) for claim in raw["claims"]],
        events=[parse_event(event) for event in raw["events"]],
    )


def start_of(situation: Situation, after: float) -> Verdict:
    assert situation.sandbox is not None
    now = situation.sandbox.created_at + timedelta(seconds=after)
    return diagnose_start(situation, generation=situation.sandbox.generation, now=now)


def sandbox(
    *conditions: tuple[str, Condition],
    generation: int = 1,
    metadata_generation: int = 1,
    suspended: bool = False,
    deleting_at: datetime | None = None,
    finalizers: tuple[str, ...] = (),
) -> SandboxView:
    return SandboxView(
        name=NAME,
        uid="u-sandbox",
        resource_version="1",
        labels={},
        annotations={},
        created_at=T0,
        metadata_generation=metadata_generation,
        generation=generation,
        launch="l",
        suspended=suspended,
        deleting_at=deleting_at,
        finalizers=finalizers,
        conditions=dict(conditions),
    )


def pod(
    container: ContainerView | None = None,
    *conditions: tuple[str, Condition],
    generation: int = 1,
    phase: str = "Running",
    reason: str = "",
    message: str = "",
    deleting_at: datetime | None = None,
    finalizers: tuple[str, ...] = (),
    ip: str = "10.244.0.7",
) -> PodView:
    return PodView(
        name=NAME,
        uid="u-pod",
        resource_version="1",
        labels={},
        annotations={},
        generation=generation,
        created_at=at(1),
        phase=phase,
        reason=reason,
        message=message,
        ip=ip,
        node="node-a",
        deleting_at=deleting_at,
        finalizers=finalizers,
        conditions={"PodScheduled": Condition("True", at=at(2)), **dict(conditions)},
        container=container,
        image=IMAGE,
        memory_limit="4Gi",
    )


def claim(phase: str = "Bound", *, finalizers: tuple[str, ...] = ()) -> ClaimView:
    return ClaimView(
        name="claim-1",
        uid="u-claim",
        resource_version="1",
        labels={},
        created_at=T0,
        phase=phase,
        deleting_at=None,
        finalizers=finalizers,
    )


def event(
    reason: str,
    message: str,
    seconds: float,
    *,
    kind: str = "Pod",
    uid: str = "u-pod",
    first: float | None = None,
) -> EventView:
    return EventView(
        key=f"{reason}-{seconds}",
        about_kind=kind,
        about_name=NAME if kind == "Pod" else "claim-1",
        reason=reason,
        message=message,
        count=1,
        at=at(seconds),
        is_warning=True,
        about_uid=uid,
        first_at=at(seconds if first is None else first),
    )


def situation(
    of: SandboxView | None = None,
    a_pod: PodView | None = None,
    claims: Sequence[ClaimView] = (),
    events: Sequence[EventView] = (),
) -> Situation:
    return Situation(of or sandbox(), a_pod, claims, events)


def start(given: Situation, seconds: float = 10, generation: int = 1) -> Verdict:
    return diagnose_start(given, generation=generation, now=at(seconds))


def life(given: Situation, seconds: float = 10) -> Life:
    return diagnose_life(given, now=at(seconds))


RUNNING = ContainerView(running_at=at(4), ready=True)
READY = ("Ready", Condition("True", at=at(5)))
NOT_READY = ("Ready", Condition("False", at=at(50)))
