"""The states that rows go through, stored by value."""

from enum import StrEnum

from sqlalchemy import Enum


class HarnessStatus(StrEnum):
    """The contract's `sandbox_status`."""

    IDLE = "idle"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


class StoppedReason(StrEnum):
    """Why a sandbox does not run, where it was no person's wish."""

    IDLE = "idle"
    """Nobody used it."""
    LEASE = "lease"
    """Nobody extended the time that the cluster lets it run for: no worker was there."""


class SessionStatus(StrEnum):
    """The contract's `status` of a session."""

    CREATING = "creating"
    READY = "ready"
    FAILED = "failed"


class SessionPhase(StrEnum):
    """The contract's `phase` of a session that is being made or failed."""

    HANDSHAKE = "handshake"
    SANDBOX_ERROR = "sandbox_error"
    HANDSHAKE_ERROR = "handshake_error"


class PromptStatus(StrEnum):
    """Where a prompt is on its way."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"


def stored(enum: type[StrEnum]) -> Enum:
    """Return the column type that stores an enum's values as text with a named check."""
    return Enum(
        enum,
        native_enum=False,
        values_callable=lambda members: [m.value for m in members],
        name=enum.__name__.lower(),
        create_constraint=True,
        length=32,
    )
