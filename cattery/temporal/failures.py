"""Translates our errors to Temporal failures, once, with types that workflows tell apart.

The failure's `type` is the error's `code`; permanent ones are not retried. Histories are kept for
long and read by operators, so a failure says no more than the first line of a sentence of ours:
the lines of a harness's log that may follow it stay outside, and of an error that is not ours
(a driver's quotes the row that it was given) only its type is kept. Workers log the whole.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import override

from temporalio import activity
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

from cattery.errors import CatteryError


class DiscreetFailureConverter(DefaultFailureConverter):
    """Keeps the words of foreign errors out of histories."""

    @override
    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        super().to_failure(exception, payload_converter, failure)
        if not isinstance(exception, FailureError):
            name = type(exception).__name__
            failure.message = f"{name}; the log of the worker that met it says more."


def to_failure(error: CatteryError) -> ApplicationError:
    """Turn an error into the failure that a workflow sees."""
    message = first_line(error.message)
    return ApplicationError(message, type=error.code, non_retryable=error.permanent)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Let errors of ours leave an activity as failures of the right kind."""
    try:
        yield
    except CatteryError as error:
        raise to_failure(error) from error


@contextmanager
def final_after(tries: int) -> Iterator[None]:
    """Let the errors of ours be the last word on an activity that was tried so often."""
    try:
        yield
    except ApplicationError as error:
        if activity.info().attempt < tries:
            raise
        raise ApplicationError(error.message, type=error.type, non_retryable=True) from error


def first_line(text: str) -> str:
    """Return the sentence that a message begins with, without the log that may follow."""
    return text.partition("\n")[0]


def failure_code(error: ActivityError) -> str | None:
    """Return the code of the error that failed an activity; `None` for time-outs and the like."""
    cause = error.cause
    return cause.type if isinstance(cause, ApplicationError) else None


def failure_message(error: ActivityError) -> str:
    """Return what to tell a person of a failed activity."""
    cause = error.cause or error
    return getattr(cause, "message", None) or str(cause)
