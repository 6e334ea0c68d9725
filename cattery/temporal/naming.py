"""Workflow ids and task queues: readable, made from the object's id, the same on every call."""

from cattery.ids import HarnessId, ProjectId, SessionId, UserId

SESSIONS_QUEUE = "sessions"
"""Session workflows and the activities of a turn: one queue, so that a turn starts eagerly."""
ORCHESTRATION_QUEUE = "orch"
"""Sandbox and deletion workflows and the activities that touch rows."""
SANDBOX_QUEUE = "sandboxes"
"""Activities that make and end sandboxes, rate-limited on their own."""
FILES_QUEUE = "files"
"""Activities of file managers and logs: apart, so that a sandbox's end can wait for one of them."""
MESSAGES_QUEUE = "messages"
"""Answers, stops and ends: apart from turns, which hold their slots until one of these comes."""
SANDBOX_WAITS_QUEUE = "sandbox-waits"
"""Activities that wait until a sandbox answers, for days where there is no room for it."""
HARNESS_WAITS_QUEUE = "harness-waits"
"""Activities that wait until a harness is deleted."""
PROJECT_WAITS_QUEUE = "project-waits"
"""Activities that wait until a project is torn down.

Whoever waits for a workflow holds a slot meanwhile, and what that workflow does needs slots too. So
each kind of waiting has a queue of its own: were they one, so many that wait would fill it, and
what they wait for would never run.
"""

SWEEP_SCHEDULE = "sweep"


def harness_workflow(harness_id: HarnessId) -> str:
    """Name the entity that owns a harness's sandbox: the lock on all changes to it."""
    return f"harness/{harness_id}"


def session_workflow(session_id: SessionId) -> str:
    """Name the entity that runs a session's turns, one after the other."""
    return f"session/{session_id}"


def harness_deletion_workflow(harness_id: HarnessId) -> str:
    """Name the deletion of a harness."""
    return f"harness-deletion/{harness_id}"


def project_teardown_workflow(project_id: ProjectId) -> str:
    """Name the teardown of a project."""
    return f"project-teardown/{project_id}"


def user_deletion_workflow(user_id: UserId) -> str:
    """Name the deletion of a user."""
    return f"user-deletion/{user_id}"


def session_deletion_workflow(session_id: SessionId) -> str:
    """Name the deletion of a session."""
    return f"session-deletion/{session_id}"


def file_manager_workflow(project_id: ProjectId | None) -> str:
    """Name the entity that owns a project's file manager, or without a project the skills'."""
    return f"file-manager/{project_id or 'skills'}"


def log_capture_workflow(harness_id: HarnessId) -> str:
    """Name the reading of a harness's log."""
    return f"log-capture/{harness_id}"
