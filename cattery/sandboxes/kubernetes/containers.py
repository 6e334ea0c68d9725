"""Why a pod's container does not run, in words: its image, its configuration, its own end."""

import signal
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cattery.sandboxes.kubernetes.failures import clip
from cattery.sandboxes.kubernetes.findings import (
    MOMENT,
    MOUNT,
    Failure,
    Finding,
    events_of,
    find_fatal,
    find_soon,
    last_event,
    scheduled_at,
)
from cattery.sandboxes.kubernetes.images import IMAGE_REASONS, find_unpulled
from cattery.sandboxes.kubernetes.quantities import parse_quantity, say_bytes
from cattery.sandboxes.kubernetes.views import ContainerView, EventView, PodView, Termination

PAST_IMAGE: Final = frozenset(
    {"CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
"""Reasons to wait that a container has only once its image is there."""
_CONFIGURATION: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_BEFORE_IMAGE: Final = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
_BY_A_SIGNAL: Final = 128
"""A shell's way to say which signal ended a program: this and its number."""
_GRACEFUL: Final = frozenset({128 + signal.SIGKILL, 128 + signal.SIGTERM})


def find_in_container(pod: PodView, events: Sequence[EventView], now: datetime) -> Finding | None:
    """Find why a scheduled pod's container does not run; `None` where it does, or may soon."""
    container = pod.container or ContainerView()
    if container.waiting_reason in IMAGE_REASONS:
        return find_unpulled(pod, container, events, now)
    if container.waiting_reason in _CONFIGURATION:
        return _find_misconfigured(pod, container, events, now)
    ended = container.termination or container.last_termination
    is_down = container.termination is not None or container.waiting_reason in PAST_IMAGE
    if ended is not None and is_down:
        return _find_crashed(pod, container, ended, events)
    if container.running_at is None and ended is None:
        return _find_before_image(pod, events, now)
    return None


def describe_end(termination: Termination, pod: PodView, events: Sequence[EventView] = ()) -> str:
    """Say how a program ended."""
    code = termination.exit_code
    if termination.reason == "OOMKilled":
        limit = parse_quantity(pod.memory_limit)
        of_limit = f" of {say_bytes(limit)}" if limit is not None else ""
        return f"It was killed because it used more memory than its limit{of_limit}."
    if termination.reason in ("StartError", "ContainerCannotRun"):
        return f"It could not be started: {_shorten(termination.message)}."
    if code in _GRACEFUL and _missed_its_probe(pod, events):
        return "It was ended because it did not listen on its port in time."
    number = termination.signal or (code - _BY_A_SIGNAL if code > _BY_A_SIGNAL else 0)
    if number in signal.valid_signals():
        return f"It was ended by the signal {signal.Signals(number).name}."
    return f"It ended with exit code {code}." if code else "It ended by itself, with exit code 0."


def describe_ended_pod(pod: PodView) -> str:
    """Say why a pod is over for good; the cluster makes no other one in its place."""
    said = f": {clip(pod.message.strip())}" if pod.message.strip() else ""
    where = f" on the node {pod.node}" if pod.node else ""
    if pod.reason == "Evicted":
        return f"The pod {pod.name} was evicted{where}{said}"
    if pod.reason:
        return f"The pod {pod.name} was ended{where} ({pod.reason}){said}"
    ended = pod.container.termination if pod.container else None
    how = f" {describe_end(ended, pod)}" if ended is not None else ""
    return f"The pod {pod.name} has ended{where}{said}.{how}"


def describe_crash(pod: PodView, container: ContainerView, events: Sequence[EventView]) -> str:
    """Say how a program ended that the cluster starts again."""
    ended = container.termination or container.last_termination
    how = describe_end(ended, pod, events) if ended is not None else "It has ended."
    return f"The program has ended and is started again. {how}"


def _find_crashed(
    pod: PodView, container: ContainerView, ended: Termination, events: Sequence[EventView]
) -> Finding:
    """Judge a program that ended. Once may be an accident; the cluster has started it again."""
    if container.restarts == 0:
        return Finding(describe_crash(pod, container, events))
    how = describe_end(ended, pod, events)
    words = f"The program does not stay up: it was started {container.restarts + 1} times. {how}"
    never_ran = ended.reason in ("StartError", "ContainerCannotRun")
    if never_ran:
        words += f" Check that the image {pod.image} is of this version of Cattery."
    return Finding(
        words,
        Failure(
            words,
            wants_log=not never_ran,
            previous_log=container.termination is None,
        ),
    )


def _find_misconfigured(
    pod: PodView, container: ContainerView, events: Sequence[EventView], now: datetime
) -> Finding:
    said = clip(container.waiting_message.strip())
    if "runAsNonRoot" in said or "non-numeric user" in said:
        return find_fatal(
            f"The image {pod.image} would run as root, which is not allowed: {said}. Use an image "
            "of Cattery's, of this version."
        )
    return find_soon(f"The container cannot be made: {said}", _since(pod, events), now, MOMENT)


def _find_before_image(pod: PodView, events: Sequence[EventView], now: datetime) -> Finding | None:
    """Find what comes before the image: volumes to mount, a network to join."""
    of_pod = events_of(events, pod)
    event = last_event(of_pod, *_BEFORE_IMAGE)
    later = last_event(of_pod, "Pulling", "Pulled")
    if event is None or (later is not None and later.at >= event.at):
        return None
    said = clip(event.message.strip())
    if event.reason == "FailedCreatePodSandBox":
        words = f"The node {pod.node} cannot start the pod: {said}"
        return find_soon(words, event.first_at, now, MOMENT)
    if "secret" in said and "not found" in said:
        words = (
            f"The secret that the sandbox starts with is not there: {said}. A start that was given "
            "up takes it away. Start it again."
        )
        return find_soon(words, event.first_at, now, MOUNT)
    return Finding(f"A volume is not there yet: {said}")


def _since(pod: PodView, events: Sequence[EventView]) -> datetime:
    pulled = last_event(events_of(events, pod), "Pulled")
    return pulled.first_at if pulled is not None else scheduled_at(pod) or pod.created_at


def _missed_its_probe(pod: PodView, events: Sequence[EventView]) -> bool:
    killing = last_event(events_of(events, pod), "Killing")
    return killing is not None and "failed startup probe" in killing.message


def _shorten(message: str) -> str:
    """Leave out which parts of the node passed a message on to each other."""
    at = message.find("exec: ")
    return clip((message[at:] if at >= 0 else message).removesuffix(": unknown"))
