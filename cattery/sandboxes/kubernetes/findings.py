"""What was found to keep a sandbox from running, and what is to be done about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cattery.sandboxes.kubernetes.views import ClaimView, EventView, PodView

MOMENT = timedelta(seconds=20)
"""What is missing for so long is not only late: objects of one start are made within a second."""
MOUNT = timedelta(seconds=150)
"""For a secret that a pod cannot mount: a worker that dies before it makes the secret is missed for
15 s, and the kubelet, which then has it, tries again after two minutes at most."""
PATIENCE = timedelta(seconds=60)
"""For what often helps itself: a node that gets room, a registry or a provisioner that is busy."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a start failed.

    Attributes:
        message: what happened, to which object, what to do.
        permanent: whether starting again can only fail again.
        wants_log: whether the program's log says more.
        previous_log: whether that is the log of its last life and not of the present one.
    """

    message: str
    permanent: bool = False
    wants_log: bool = False
    previous_log: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that keeps a sandbox from running.

    Attributes:
        words: what it is, for people.
        failure: set where waiting longer is of no use.
        is_waiting: whether it is no failure however long it takes, such as quota.
    """

    words: str
    failure: Failure | None = None
    is_waiting: bool = False


def find_soon(words: str, since: datetime, now: datetime, grace: timedelta) -> Finding:
    """Make a finding that becomes a failure once it has lasted for a while."""
    return Finding(words, Failure(words) if now - since >= grace else None)


def find_fatal(words: str) -> Finding:
    """Make a finding that no repetition helps."""
    return Finding(words, Failure(words, permanent=True))


def events_of(events: Iterable[EventView], about: PodView | ClaimView) -> list[EventView]:
    """List the events about one object, not about an earlier one of its name; oldest first."""
    kind = "Pod" if isinstance(about, PodView) else "PersistentVolumeClaim"
    found = [
        event
        for event in events
        if event.about_kind == kind
        and event.about_name == about.name
        and event.about_uid in ("", about.uid)
    ]
    return sorted(found, key=lambda event: event.at)


def last_event(events: Iterable[EventView], *reasons: str) -> EventView | None:
    """Return the last of some events with one of these reasons."""
    return max(
        (event for event in events if event.reason in reasons),
        key=lambda event: event.at,
        default=None,
    )


def scheduled_at(pod: PodView) -> datetime | None:
    """Return when a node was found for a pod; `None` before."""
    condition = pod.conditions.get("PodScheduled")
    if condition is None or condition.status != "True":
        return None
    return condition.at or pod.created_at
