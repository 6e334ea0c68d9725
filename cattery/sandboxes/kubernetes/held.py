"""What holds up an end: a finalizer of somebody else, a node that does not answer.

Nothing is ever forced, so it must be named: only people can remove it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cattery.sandboxes.kubernetes.views import ClaimView, PodView, SandboxView

_LATE: Final = timedelta(seconds=30)
"""A pod's end has a date, `deleting_at`; a node that answers keeps it within moments."""
_OF_THE_CLUSTER: Final = frozenset({"foregroundDeletion", "orphan", "kubernetes.io/pvc-protection"})


def is_late(pod: PodView, now: datetime) -> bool:
    """Tell whether a pod should have ended a while ago."""
    return pod.deleting_at is not None and now - pod.deleting_at > _LATE


def is_on_lost_node(pod: PodView, *, late: bool) -> bool:
    """Tell whether a pod's node does not answer, so that nobody knows what the pod does.

    The node's own report says that the container is ready, and the cluster has noted beside it
    that it no longer believes so; or the pod is to be ended and nobody does it.
    """
    if not pod.node:
        return False
    if pod.reason == "NodeLost":
        return True
    if pod.deleting_at is not None:
        evicted = pod.conditions.get("DisruptionTarget")
        by_taint = evicted is not None and evicted.reason == "DeletionByTaintManager"
        return by_taint and late and not pod.finalizers
    ready = pod.conditions.get("Ready")
    said_ready = pod.container is not None and pod.container.ready
    return said_ready and ready is not None and ready.status != "True"


def describe_lost_node(pod: PodView) -> str:
    """Say that a pod's node does not answer, and what can be done."""
    return (
        f"The node {pod.node} does not answer, so nobody knows whether the pod {pod.name} still "
        "runs there. It comes back by itself when the node does; if the node is gone for good, "
        f"delete it: kubectl delete node {pod.node}"
    )


def describe_ending_pod(pod: PodView, *, late: bool) -> str:
    """Say why a pod that is to be ended is still there."""
    if is_on_lost_node(pod, late=late):
        return describe_lost_node(pod)
    if pod.finalizers:
        return (
            f"The pod {pod.name} has ended, but {_name(pod.finalizers)} still there: "
            "the program that put it there has to remove it. Look at why it does not; Cattery "
            "never removes what is somebody else's."
        )
    if late and pod.deleting_at is not None:
        return (
            f"The pod {pod.name} should have ended at {pod.deleting_at:%H:%M:%S} UTC, but its node "
            f"{pod.node} has not ended it. Look at the node: kubectl describe node {pod.node}"
        )
    return f"The pod {pod.name} is being ended."


def describe_held(
    name: str, sandbox: SandboxView | None, pod: PodView | None, patience: float
) -> str:
    """Say what holds up the end of a sandbox after so many seconds.

    Args:
        name: of the Sandbox object.
        sandbox: as it is now; `None` where it is gone.
        pod: as it is now; `None` where it is gone.
        patience: how long was waited for it, so that its end is late.
    """
    late = f"Sandbox {name} has not ended within {patience:.0f} seconds."
    if pod is not None and pod.deleting_at is not None:
        return f"{late} {describe_ending_pod(pod, late=True)}"
    if pod is not None:
        if is_on_lost_node(pod, late=True):
            return f"{late} {describe_lost_node(pod)}"
        return (
            f"{late} Its pod was not asked to end: the agent-sandbox controller does not act. "
            "Check that it runs: kubectl get pods --namespace agent-sandbox-system"
        )
    foreign = _foreign(sandbox.finalizers) if sandbox is not None else ()
    if foreign:
        return (
            f"{late} Its pod is gone, but {_name(foreign)} still there: the program that "
            "put it there has to remove it. Look at why it does not; Cattery never removes what is "
            "somebody else's."
        )
    return (
        f"{late} Its pod is gone, but the agent-sandbox controller has not said so. Check that it "
        "runs: kubectl get pods --namespace agent-sandbox-system"
    )


def describe_held_claim(claim: ClaimView, patience: float) -> str:
    """Say what holds up the deletion of a claim after so many seconds."""
    late = f"The volume claim {claim.name} was not deleted within {patience:.0f} seconds."
    foreign = _foreign(claim.finalizers)
    if foreign:
        return (
            f"{late} It is held, {_name(foreign)} still there: the program that put it there has "
            "to remove it. Look at why it does not; Cattery never removes what is somebody else's."
        )
    if claim.finalizers:
        return (
            f"{late} A pod still uses it. Which one says: kubectl describe pvc {claim.name}. Once "
            "that pod has ended, the claim goes by itself."
        )
    return f"{late} Look at it: kubectl describe pvc {claim.name}"


def _foreign(finalizers: Sequence[str]) -> tuple[str, ...]:
    return tuple(one for one in finalizers if one not in _OF_THE_CLUSTER)


def _name(finalizers: Sequence[str]) -> str:
    names = ", ".join(finalizers)
    if len(finalizers) == 1:
        return f"the finalizer {names} on it is"
    return f"the finalizers {names} on it are"
