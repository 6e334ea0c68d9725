"""What the routes ask of the workflows: start, signal, update, and translate the answers.

Every method is safe to call again. Methods that only begin something return once Temporal has
taken it; the state that follows is in the rows, and the feed says when it changed.
"""

from collections.abc import Sequence
from typing import Protocol

from cattery.db.deletions import DeletionRecord
from cattery.events.model import Answer
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId, UserId


class Lifecycles(Protocol):
    """The lifecycles of harnesses, sessions, projects and users, as the routes see them.

    Raises `UnavailableError` from every method when the orchestrator cannot be reached.
    """

    async def start_sandbox(self, harness_id: HarnessId) -> None:
        """Begin to start a harness's sandbox, also after a failure; nothing if it runs."""

    async def stop_sandbox(self, harness_id: HarnessId) -> None:
        """Stop a sandbox and return when it has ended; its address is forgotten."""

    async def ensure_file_manager(
        self, project_id: ProjectId | None, *, lost: int | None = None
    ) -> None:
        """Have a project's file manager, or the skills', and return when it answers.

        Args:
            project_id: whose; `None` for the skills.
            lost: the generation of one that did not answer; it is looked at, and replaced.

        Raises:
            UnavailableError: it could not be started; the message says why.
        """

    async def capture_log(self, harness_id: HarnessId, lines: int) -> None:
        """Have a worker read a harness's log into its row, and return when it is there."""

    async def delete_harness(self, harness_id: HarnessId) -> None:
        """Begin the deletion of a harness whose row says `deleting_at`."""

    async def delete_project(self, project_id: ProjectId) -> None:
        """Begin the teardown of a project whose row says `deleting_at`."""

    async def delete_user(self, user_id: UserId) -> None:
        """Begin the deletion of a user whose row says `deleting_at`."""

    async def undo_deletion(self, deletion: DeletionRecord, by: str) -> None:
        """Bring back what is being deleted, and return when it is back. `by` is for the record.

        Raises:
            ConflictError: it is past the point of no return, or has lost its place.
        """

    async def hurry_deletion(self, deletion: DeletionRecord) -> None:
        """End the grace of a deletion now."""

    async def retry_deletion(self, deletion: DeletionRecord) -> None:
        """Have the steps that are stuck tried again now."""

    async def force_deletion(self, deletion: DeletionRecord, by: str, reason: str) -> None:
        """Have the steps that are stuck skipped. Who and why is kept."""

    async def open_session(self, session_id: SessionId) -> None:
        """Begin to open a new session: its sandbox starts, then the harness's session is made."""

    async def delete_session(self, session_id: SessionId) -> None:
        """Abort what runs in a session and begin to purge it; its row says `deleting_at`."""

    async def submit_prompt(self, session_id: SessionId, prompt_id: PromptId) -> None:
        """Tell the session's workflow of a prompt whose row is committed."""

    async def abort_turn(self, session_id: SessionId, stopped_by: str) -> None:
        """Stop the running turn, if one runs; returns when the harness has been told.

        `stopped_by` is the username that the transcript names.
        """

    async def answer_question(
        self, session_id: SessionId, question_id: str, answers: Sequence[Answer]
    ) -> None:
        """Answer an open question.

        Raises:
            NotFoundError: it is not open.
        """
