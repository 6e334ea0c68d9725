"""Tells how a sandbox fares, from what the cluster says of its objects. Pure.

`diagnose_start` follows one start, step by step, to an address or a failure; `diagnose_life` looks
at a sandbox at any time. Both believe a condition only where it speaks of the present spec, and
take no pod for a sandbox's that is of another start. The words are for people: what happened, to
which object, what to do.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cattery.sandboxes.kubernetes.containers import (
    describe_crash,
    describe_ended_pod,
    find_in_container,
)
from cattery.sandboxes.kubernetes.findings import Failure, Finding
from cattery.sandboxes.kubernetes.held import (
    describe_ending_pod,
    describe_held,
    describe_held_claim,
    describe_lost_node,
    is_late,
    is_on_lost_node,
)
from cattery.sandboxes.kubernetes.progress import list_steps
from cattery.sandboxes.kubernetes.refusals import find_refusal
from cattery.sandboxes.kubernetes.scheduling import find_unbound, find_unscheduled
from cattery.sandboxes.kubernetes.views import (
    ClaimView,
    ContainerView,
    EventView,
    PodView,
    SandboxView,
)
from cattery.sandboxes.port import SandboxState, Step

__all__ = [
    "Failure",
    "Life",
    "Situation",
    "Verdict",
    "describe_held",
    "describe_held_claim",
    "diagnose_life",
    "diagnose_start",
]

ENDED_PHASES: Final = frozenset({"Failed", "Succeeded"})
SETTLING: Final = timedelta(seconds=60)
"""So long after its start a program may have its port closed and still count as running."""
SILENCE: Final = timedelta(seconds=120)
"""A program whose port is closed for so long has to be started again."""
_LONG_BACK_OFF: Final = timedelta(seconds=40)
"""The cluster waits so long only after a program has ended three times in a row."""
_BACK_OFF: Final = re.compile(r"back-off (?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)? restarting")


@dataclass(frozen=True, slots=True)
class Situation:
    """What the cluster says of one sandbox. `claims` are those that its pod mounts."""

    sandbox: SandboxView | None
    pod: PodView | None
    claims: Sequence[ClaimView]
    events: Sequence[EventView]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far a start has come.

    Attributes:
        steps: those that began, in their order; whether the program answers is for others to say.
        waiting: what the start waits for that is no failure; `None`: nothing.
        failure: why it failed; `None`: it has not.
        address: the pod's IP address once its program runs.
    """

    steps: tuple[Step, ...] = ()
    waiting: str | None = None
    failure: Failure | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """How a sandbox is now (`cattery.sandboxes.port.Observation`). `address` is an IP address."""

    state: SandboxState
    generation: int
    address: str = ""
    reason: str = ""
    recoverable: bool = False
    restarts: int = 0


def diagnose_start(situation: Situation, *, generation: int, now: datetime) -> Verdict:
    """Tell how far the start of one generation has come."""
    sandbox = situation.sandbox
    if sandbox is None or sandbox.generation < generation:
        return Verdict()  # what we wrote is not mirrored yet
    if sandbox.generation > generation:
        gone = f"Sandbox {sandbox.name} was started again meanwhile; this start is out of date."
        return Verdict(failure=Failure(gone, permanent=True))
    if sandbox.deleting_at is not None:
        gone = f"Sandbox {sandbox.name} was deleted while it was starting. Start it again."
        return Verdict(failure=Failure(gone))
    pod = _own_pod(situation)
    finding = _find(situation, pod, now)
    if finding is None:
        steps = list_steps(sandbox, pod, situation.claims, situation.events)
        return Verdict(steps, address=_address(pod))
    obstacle = "" if finding.is_waiting else finding.words
    return Verdict(
        steps=list_steps(sandbox, pod, situation.claims, situation.events, obstacle),
        waiting=finding.words if finding.is_waiting else None,
        failure=finding.failure,
    )


def diagnose_life(situation: Situation, *, now: datetime) -> Life:
    """Tell how a sandbox is, whether or not anybody starts it right now."""
    sandbox = situation.sandbox
    if sandbox is None:
        return Life(SandboxState.ABSENT, 0)
    if sandbox.suspended or sandbox.deleting_at is not None or sandbox.has_expired(now):
        return Life(SandboxState.ABSENT, sandbox.generation)
    pod = _own_pod(situation)
    restarts = pod.container.restarts if pod is not None and pod.container is not None else 0
    state, reason, recoverable = _judge_life(situation, pod, now)
    address = (_address(pod) or "") if state is SandboxState.RUNNING else ""
    return Life(state, sandbox.generation, address, reason, recoverable, restarts)


def _own_pod(situation: Situation) -> PodView | None:
    """Return the pod of the sandbox's present generation; one of another start is not its own."""
    sandbox, pod = situation.sandbox, situation.pod
    is_own = sandbox is not None and pod is not None and pod.generation == sandbox.generation
    return pod if is_own else None


def _address(pod: PodView | None) -> str | None:
    if pod is None or pod.deleting_at is not None or not pod.ip or pod.phase in ENDED_PHASES:
        return None
    is_up = pod.container is not None and pod.container.running_at is not None
    return pod.ip if is_up else None


def _find(situation: Situation, pod: PodView | None, now: datetime) -> Finding | None:
    """Find the first thing that keeps the sandbox from running."""
    events = situation.events
    other = situation.pod
    if other is not None and (pod is None or other.deleting_at is not None):
        return Finding(describe_ending_pod(other, late=is_late(other, now)))
    unbound = find_unbound(situation.claims, events, now)
    if pod is None:
        refused = find_refusal(situation.sandbox) if situation.sandbox is not None else None
        return refused or unbound
    if pod.phase in ENDED_PHASES:
        words = describe_ended_pod(pod)
        return Finding(words, Failure(words, wants_log=not pod.reason))
    if is_on_lost_node(pod, late=is_late(pod, now)):
        return Finding(describe_lost_node(pod))
    return unbound or find_unscheduled(pod, events, now) or find_in_container(pod, events, now)


def _judge_life(
    situation: Situation, pod: PodView | None, now: datetime
) -> tuple[SandboxState, str, bool]:
    """Return the state, its reason, and whether starting again is the remedy."""
    if pod is not None and pod.phase in ENDED_PHASES and pod.deleting_at is None:
        return SandboxState.FAILED, describe_ended_pod(pod), True
    if pod is not None and _address(pod) is not None:
        return _judge_running(pod, situation.events, now)
    if pod is not None and pod.container is not None and _is_crash_loop(pod.container):
        return SandboxState.FAILED, describe_crash(pod, pod.container, situation.events), False
    finding = _find(situation, pod, now)
    if finding is None:
        missing = "Its pod is gone; the cluster makes another one." if pod is None else ""
        return SandboxState.STARTING, missing, False
    is_final = finding.failure is not None and finding.failure.permanent
    state = SandboxState.FAILED if is_final else SandboxState.STARTING
    return state, finding.words, False


def _judge_running(
    pod: PodView, events: Sequence[EventView], now: datetime
) -> tuple[SandboxState, str, bool]:
    """Judge a pod whose container runs: whether its port is open, and whether anybody knows."""
    container = pod.container or ContainerView()
    if is_on_lost_node(pod, late=is_late(pod, now)):
        return SandboxState.STARTING, describe_lost_node(pod), False
    started_at = container.running_at or now
    if container.ready or now - started_at < SETTLING:
        has_ended = container.restarts > 0 and container.last_termination is not None
        reason = describe_crash(pod, container, events) if has_ended else ""
        return SandboxState.RUNNING, reason, False
    ready = pod.conditions.get("Ready")
    closed_at = max(started_at, ready.at) if ready is not None and ready.at else started_at
    words = f"The program runs, but its port has been closed since {closed_at:%H:%M:%S} UTC."
    if now - closed_at < SILENCE:
        return SandboxState.STARTING, words, False
    return SandboxState.FAILED, words, True


def _is_crash_loop(container: ContainerView) -> bool:
    """Tell whether a program ends again and again, so that the cluster has all but given it up."""
    found = _BACK_OFF.match(container.waiting_message)
    if container.waiting_reason != "CrashLoopBackOff" or found is None:
        return False
    minutes, seconds = int(found["minutes"] or 0), int(found["seconds"] or 0)
    return timedelta(minutes=minutes, seconds=seconds) >= _LONG_BACK_OFF
