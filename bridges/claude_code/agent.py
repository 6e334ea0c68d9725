"""Claude Code as a bridge's agent: its ids, its conversations, its record of them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, override

from bridges.claude_code.conversation import ClaudeConversation
from bridges.claude_code.setup import Setup
from bridges.claude_code.transcript import find_transcript, read_turns
from bridges.contract.agent import Agent
from bridges.contract.errors import MalformedError


class ClaudeAgent(Agent):
    """Session ids and message ids are UUIDs: Claude Code stores sessions and prompts under them."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    @override
    def new_session_id(self) -> str:
        """Choose the id of a new session."""
        return str(uuid.uuid4())

    @override
    def new_message_id(self) -> str:
        """Choose an id for a prompt."""
        return str(uuid.uuid4())

    @override
    def check_message_id(self, message_id: str) -> None:
        """Refuse what is no UUID in its usual form."""
        try:
            usual = str(uuid.UUID(message_id))
        except ValueError:
            usual = ""
        if usual != message_id:
            raise MalformedError("messageID must be a UUID in lower case.")

    @override
    def open(self, session_id: str) -> ClaudeConversation:
        """Make the conversation of a session."""
        return ClaudeConversation(session_id, self._setup)

    @override
    def read_history(
        self, session_id: str, prompts: Sequence[str]
    ) -> Sequence[tuple[float, str, Mapping[str, Any]]]:
        """Read the transcript."""
        path = find_transcript(self._setup.home, session_id)
        return read_turns(path, prompts) if path is not None else []
