"""Time-outs and retries of the activities, each with its reason."""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType


class ActivityOptions(TypedDict, total=False):
    """The options of `execute_activity_method` that we set."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


ROWS: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
    ),
}
"""Reads and writes of rows. Tried for ever: the database comes back, and the row matters."""

PROVISION: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=15),
    "heartbeat_timeout": timedelta(seconds=15),
    # A killed worker uses up a try as well. A runtime that has watched a start fail says so by a
    # type of its own, and one that waits is asked again by the workflow.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_attempts=3,
        non_retryable_error_types=["sandbox_failed", "sandbox_waiting"],
    ),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""Longer than a runtime's own patience with a roll, a quota and a start, whose messages say more;
then people decide."""

TEARDOWN: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=60)
    ),
}
"""What must end well in the end: tried for ever, at most a minute apart."""

ENSURE: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=20),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=500)),
    "cancellation_type": ActivityCancellationType.TRY_CANCEL,
}
"""Waits for the sandbox's own workflow, whose three tries it outlasts."""

HANDSHAKE: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=300), maximum_attempts=5),
}

MAX_TURN = timedelta(hours=6)
TURN: ActivityOptions = {
    "start_to_close_timeout": MAX_TURN,
    "schedule_to_close_timeout": MAX_TURN + timedelta(hours=1),
    # A worker that is killed is noticed after this; a turn's own beat comes every two seconds.
    "heartbeat_timeout": timedelta(seconds=15),
    # Any worker may take a turn over at any time: attempts are not counted.
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        maximum_interval=timedelta(seconds=5),
        # What the session's workflow mends, a bounded number of times.
        non_retryable_error_types=["sandbox", "stream_lost", "harness", "harness_session_gone"],
    ),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}

MESSAGE_TO_HARNESS: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=10),
    "schedule_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3),
}
"""An abort or an answer: somebody waits for it."""

TITLE: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
"""A title that does not come is no loss."""

LOOK: ActivityOptions = {
    **PROVISION,
    "start_to_close_timeout": timedelta(seconds=60),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
"""One try to adopt what does not seem to answer; where it fails, there is a new start."""

LOG: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=10),
    "schedule_to_close_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=300), maximum_attempts=2),
}
"""Somebody waits for a log, and takes the stored one where this fails."""
