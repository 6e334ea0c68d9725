"""How far a start has come: its steps, with their times as the cluster's objects tell them.

No step begins before the start did, and none ends before it began, whatever the clocks of the
cluster say; the times of its objects are whole seconds.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cattery.sandboxes.kubernetes.containers import PAST_IMAGE
from cattery.sandboxes.kubernetes.findings import events_of, last_event, scheduled_at
from cattery.sandboxes.kubernetes.images import describe_pull
from cattery.sandboxes.kubernetes.views import ClaimView, EventView, PodView, SandboxView
from cattery.sandboxes.port import Step, StepName


def list_steps(
    sandbox: SandboxView,
    pod: PodView | None,
    claims: Sequence[ClaimView],
    events: Sequence[EventView],
    obstacle: str = "",
) -> tuple[Step, ...]:
    """List the steps that began, in their order.

    Args:
        sandbox: of the start's generation.
        pod: of the same generation; `None` before it is there.
        claims: those that the pod mounts.
        events: about all of them.
        obstacle: what keeps the start from going on, told at the step that it is at.
    """
    began_at = _began_at(sandbox, pod)
    if began_at is None:
        return ()
    steps: list[Step] = []
    if claims:
        steps.append(_follow_workspace(began_at, claims, events))
    scheduled = _follow_scheduling(began_at, pod)
    steps.append(scheduled)
    if pod is not None and scheduled.finished_at is not None:
        image = _follow_image(scheduled.finished_at, pod, events)
        steps.append(image)
        if image.finished_at is not None:
            steps.append(_follow_container(image.finished_at, pod))
    return _tell(steps, obstacle)


def _began_at(sandbox: SandboxView, pod: PodView | None) -> datetime | None:
    """Tell when this start began: with the object, or when the controller saw it resumed."""
    if sandbox.metadata_generation <= 1:
        return sandbox.created_at
    suspended = sandbox.current("Suspended")
    if suspended is not None and suspended.status == "False" and suspended.at is not None:
        return max(sandbox.created_at, suspended.at)
    return max(sandbox.created_at, pod.created_at) if pod is not None else None


def _follow_workspace(
    began_at: datetime, claims: Sequence[ClaimView], events: Sequence[EventView]
) -> Step:
    waiting = [claim.name for claim in claims if claim.phase != "Bound"]
    if waiting:
        return Step(StepName.WORKSPACE, began_at, detail=f"waits for {', '.join(waiting)}")
    made = [
        event.at
        for claim in claims
        for event in events_of(events, claim)
        if event.reason == "ProvisioningSucceeded" and event.at >= began_at
    ]
    detail = "" if made else "already there"
    return _step(StepName.WORKSPACE, began_at, max(made, default=began_at), detail)


def _follow_scheduling(began_at: datetime, pod: PodView | None) -> Step:
    if pod is None:
        return Step(StepName.SCHEDULED, began_at)
    return _step(StepName.SCHEDULED, began_at, scheduled_at(pod), pod.node)


def _follow_image(began_at: datetime, pod: PodView, events: Sequence[EventView]) -> Step:
    of_pod = events_of(events, pod)
    pulled = last_event(of_pod, "Pulled")
    if pulled is not None:
        return _step(StepName.IMAGE, began_at, pulled.first_at, describe_pull(pulled.message))
    pulling = last_event(of_pod, "Pulling")
    detail = f"pulling {pod.image}" if pulling is not None else ""
    return _step(StepName.IMAGE, began_at, _past_image_at(began_at, pod), detail)


def _past_image_at(began_at: datetime, pod: PodView) -> datetime | None:
    """Tell when a container had its image at the latest, from what became of it since."""
    container = pod.container
    if container is None:
        return None
    ended = container.last_termination or container.termination
    if container.running_at is not None:
        return container.running_at
    if ended is not None:
        return ended.finished_at or began_at
    return began_at if container.waiting_reason in PAST_IMAGE else None


def _follow_container(began_at: datetime, pod: PodView) -> Step:
    container = pod.container
    running_at = container.running_at if container is not None else None
    restarts = container.restarts if container is not None else 0
    detail = f"start {restarts + 1}" if restarts else ""
    return _step(StepName.STARTED, began_at, running_at, detail)


def _step(name: StepName, started_at: datetime, finished_at: datetime | None, detail: str) -> Step:
    end = None if finished_at is None else max(finished_at, started_at)
    return Step(name, started_at, end, detail)


def _tell(steps: list[Step], obstacle: str) -> tuple[Step, ...]:
    """Tell an obstacle at the step that is open; where none is, the last one is open again."""
    if not obstacle:
        return tuple(steps)
    if all(step.finished_at is not None for step in steps):
        steps[-1] = replace(steps[-1], finished_at=None)
    return tuple(
        step if step.finished_at is not None else replace(step, detail=obstacle) for step in steps
    )
