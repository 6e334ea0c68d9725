"""What is deleted and how far that has come: words that rows, workflows and routes share."""

from enum import StrEnum


class DeletionKind(StrEnum):
    """What is deleted."""

    HARNESS = "harness"
    PROJECT = "project"
    USER = "user"


class DeletionPhase(StrEnum):
    """How far a deletion has come."""

    GRACE = "grace"
    """Everything is still there and can be brought back."""
    DELETING = "deleting"
    """Past the point of no return."""
    STUCK = "stuck"
    """So is this one, and a step keeps failing; it is tried again."""
    DONE = "done"
    UNDONE = "undone"
