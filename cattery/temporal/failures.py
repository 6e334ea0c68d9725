"""Translates our errors to Temporal failures, once, with types that workflows tell apart.

The failure's `type` is the error's `code`; permanent ones are not retried. Messages are the
sentences that people read; they carry no secrets and no content.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.exceptions import ActivityError, ApplicationError

from cattery.errors import CatteryError


def to_failure(error: CatteryError) -> ApplicationError:
    """Turn an error into the failure that a workflow sees."""
    return ApplicationError(error.message, type=error.code, non_retryable=error.permanent)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Let errors of ours leave an activity as failures of the right kind."""
    try:
        yield
    except CatteryError as error:
        raise to_failure(error) from error


def failure_code(error: ActivityError) -> str | None:
    """Return the code of the error that failed an activity; `None` for time-outs and the like."""
    cause = error.cause
    return cause.type if isinstance(cause, ApplicationError) else None


def failure_message(error: ActivityError) -> str:
    """Return what to tell a person of a failed activity."""
    cause = error.cause or error
    return getattr(cause, "message", None) or str(cause)
