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


class LocalActivityOptions(TypedDict, total=False):
    """The options of `execute_local_activity_method` that we set."""

    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy


ROWS: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
    ),
}
"""Reads and writes of rows. Tried for ever: the database comes back, and the row matters."""

ROWS_AT_ONCE: LocalActivityOptions = {
    "start_to_close_timeout": ROWS["start_to_close_timeout"],
    "retry_policy": ROWS["retry_policy"],
}
"""A short read within the workflow's own task: no queue, and no task more."""

PROVISION: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=15),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""Longer than a runtime's own start time-out, whose message says more; then people decide."""

BRING_UP: ActivityOptions = {
    **PROVISION,
    "start_to_close_timeout": timedelta(minutes=45),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=20,
    ),
}
"""Starts a sandbox. The activity itself tries a start three times, and its word on it is final:
Temporal cannot tell a start that failed from a worker that was killed, and a deployment that
replaces the workers one by one must not use a start's tries up. So these tries are for workers that
end and databases that are away (ten minutes of it). The time-out is that of an activity that hangs
in a worker that lives: longer than three starts of five minutes each, with the end of the
generation before and four minutes of waiting for room. A dead worker is noticed by its heartbeats.
"""

TEARDOWN: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=10),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=60)
    ),
}
"""What must end well in the end: tried for ever, at most a minute apart."""

FIRST_TEARDOWN: ActivityOptions = {**TEARDOWN, "retry_policy": RetryPolicy(maximum_attempts=1)}
"""The first try, after which the workflow knows what holds an end up, and says so."""

DRAIN: ActivityOptions = {
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""Stops what runs of something in its grace. What does not stop now is ended by the deletion."""

ENSURE: ActivityOptions = {
    "start_to_close_timeout": timedelta(minutes=20),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=500)),
    "cancellation_type": ActivityCancellationType.TRY_CANCEL,
}
"""Waits for the sandbox's own workflow, however long that takes: a try that runs out of time is
followed by one that waits for the same."""

HANDSHAKE: ActivityOptions = {
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=300), maximum_interval=timedelta(seconds=5)
    ),
}
"""Opens a session. The activity itself says which failure of a harness is the last one; a database
that is away and workers that are killed are waited for."""

MAX_TURN = timedelta(hours=6)
TURN: ActivityOptions = {
    "start_to_close_timeout": MAX_TURN,
    "schedule_to_close_timeout": MAX_TURN + timedelta(hours=1),
    # Where no other worker noticed that its own was killed (`workers.peers`), which takes seconds.
    "heartbeat_timeout": timedelta(seconds=95),
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
