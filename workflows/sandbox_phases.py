"""What the sandbox of a harness is at, and what is wanted of it."""

from enum import StrEnum


class Phase(StrEnum):
    """What the sandbox is at; operators see it as a search attribute."""

    IDLE = "idle"
    STARTING = "starting"
    WAITING = "waiting"
    RECOVERING = "recovering"
    READY = "ready"
    STOPPING = "stopping"
    SUSPENDED = "suspended"
    FAILED = "failed"
    DELETED = "deleted"


COMING_UP = frozenset({Phase.STARTING, Phase.WAITING, Phase.RECOVERING})
"""Whoever wants the sandbox to run joins what is under way."""


WITH_REASON = frozenset({Phase.WAITING, Phase.RECOVERING, Phase.SUSPENDED, Phase.FAILED})
"""Operators see why, too."""


class Wish(StrEnum):
    """What people and other workflows want of the sandbox."""

    NOTHING = "nothing"
    RUN = "run"
    STOP = "stop"
    DELETE = "delete"
