"""Why no node takes a pod, and why a volume is not made, in words."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cattery.sandboxes.kubernetes.failures import clip
from cattery.sandboxes.kubernetes.findings import (
    MOMENT,
    PATIENCE,
    Finding,
    events_of,
    find_fatal,
    find_soon,
    last_event,
)
from cattery.sandboxes.kubernetes.views import ClaimView, EventView, PodView

_SUMMARY: Final = re.compile(r"\d+/(?P<nodes>\d+) nodes are available: (?P<reasons>.*?)\.(?: |$)")
_REASON: Final = re.compile(r"(?P<count>\d+) (?P<what>(?:[^,{]|\{[^}]*\})+)")
_CLAIM: Final = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" (?P<what>not found|is being)')

_WORDS: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "Insufficient cpu",
        "too little free CPU",
        "Stop other sandboxes, add a node, or lower CATTERY_K8S_CPU_REQUEST.",
    ),
    (
        "Insufficient memory",
        "too little free memory",
        "Stop other sandboxes, add a node, or lower CATTERY_K8S_MEMORY_REQUEST.",
    ),
    (
        "Insufficient ephemeral-storage",
        "too little free disk",
        "Stop other sandboxes, add a node, or lower CATTERY_K8S_DISK_REQUEST.",
    ),
    ("Insufficient ", "too little of a resource", "Stop other sandboxes or add a node."),
    ("Too many pods", "no room for one more pod", "Stop other sandboxes or add a node."),
    (
        "node affinity/selector",
        "not the labels that are asked for",
        "Label a node, or correct CATTERY_K8S_NODE_SELECTOR.",
    ),
    (
        "untolerated taint",
        "a taint that is not tolerated",
        "Remove the taint, or set CATTERY_K8S_TOLERATIONS.",
    ),
    (
        "pod affinity",
        "not where the pods are that share its volume",
        "Pods that share a ReadWriteOnce volume run on one node: make room there, or use "
        "ReadWriteMany.",
    ),
    (
        "volume node affinity",
        "no access to its volume",
        "Make room on the node that has the volume, or use a storage class that is not bound to a "
        "node.",
    ),
    (
        "exceed max volume count",
        "no room for one more volume",
        "Stop other sandboxes or add a node.",
    ),
    (
        "persistent volumes to bind",
        "no volume for its claim",
        "Check the storage class (CATTERY_K8S_STORAGE_CLASS).",
    ),
    ("were unschedulable", "closed for new pods", "Open one again (kubectl uncordon)."),
)
"""What the scheduler writes, what that says of a node, and what to do."""


def find_unscheduled(pod: PodView, events: Sequence[EventView], now: datetime) -> Finding | None:
    """Find why no node takes a pod; `None` where one does, or the scheduler has not looked yet."""
    condition = pod.conditions.get("PodScheduled")
    if condition is None or condition.status == "True" or not condition.message:
        return None
    since = condition.at or pod.created_at
    claim = _CLAIM.search(condition.message)
    if claim is not None:
        state = "is not there" if claim["what"] == "not found" else "is being deleted"
        words = f"The volume claim {claim['name']} {state}. Start it again: that makes a new one."
        return find_soon(words, since, now, MOMENT)
    if condition.reason == "SchedulingGated":
        return Finding(f"Something holds the pod {pod.name} back by a scheduling gate.")
    words = _explain(condition.message)
    if last_event(events_of(events, pod), "TriggeredScaleUp") is not None:
        return Finding(f"{words} The cluster is adding a node.")
    return find_soon(words, since, now, PATIENCE)


def find_unbound(
    claims: Sequence[ClaimView], events: Sequence[EventView], now: datetime
) -> Finding | None:
    """Find what is wrong with a volume; `None` where nothing is known to be."""
    for claim in claims:
        if claim.phase == "Lost":
            return _find_lost(claim, events, now)
        if claim.phase == "Pending":
            found = _find_unprovisioned(claim, events, now)
            if found is not None:
                return found
    return None


def _find_lost(claim: ClaimView, events: Sequence[EventView], now: datetime) -> Finding:
    """Find that a claim has lost its volume.

    Its controller says so too of a claim whose new volume it has not heard of yet, and takes it
    back within moments, so that only a loss that lasts is believed.
    """
    words = (
        f"The volume of claim {claim.name} is gone, and what was on it: somebody deleted "
        "it, or its storage has failed. Restore it from a backup, or delete the project."
    )
    event = last_event(events_of(events, claim), "ClaimLost")
    if event is None or now - event.first_at < PATIENCE:
        return Finding(words)
    return find_fatal(words)


def _find_unprovisioned(
    claim: ClaimView, events: Sequence[EventView], now: datetime
) -> Finding | None:
    event = last_event(events_of(events, claim), "ProvisioningFailed", "FailedBinding")
    if event is None:
        return None
    said = clip(event.message.strip())
    if event.reason == "FailedBinding":
        words = (
            f"No volume was made for claim {claim.name}: {said}. The cluster has no default "
            "StorageClass: make one the default, or set CATTERY_K8S_STORAGE_CLASS."
        )
        return find_soon(words, event.first_at, now, MOMENT)
    if "storageclass" in said.lower() and "not found" in said:
        return find_fatal(
            f"No volume can be made for claim {claim.name}: {said}. Correct "
            "CATTERY_K8S_STORAGE_CLASS, and delete the claim so that it is made anew."
        )
    words = f"No volume was made for claim {claim.name}: {said}"
    return find_soon(words, event.first_at, now, PATIENCE)


def _explain(message: str) -> str:
    """Say the scheduler's summary in words, each reason with the number of nodes that have it."""
    if "unbound immediate PersistentVolumeClaims" in message:
        return "The pod waits for its volumes, which are not there yet."
    summary = _SUMMARY.match(message)
    if summary is None:
        return f"No node takes the pod: {clip(message)}"
    said: list[str] = []
    advice: list[str] = []
    for reason in _REASON.finditer(summary["reasons"]):
        what = reason["what"].strip()
        words, hint = _put(what)
        nodes = f"{reason['count']} of {summary['nodes']} nodes"
        said.append(f"{nodes}: {words} ({what})" if words else f"{nodes}: {what}")
        if hint and hint not in advice:
            advice.append(hint)
    if not said:
        return f"No node takes the pod: {clip(message)}"
    return " ".join([f"No node takes the pod: {', '.join(said)}.", *advice])


def _put(what: str) -> tuple[str, str]:
    for mark, words, hint in _WORDS:
        if mark in what:
            return words, hint
    return "", ""
