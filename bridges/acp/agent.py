"""An ACP agent as a bridge's agent: its ids, its conversations, the record of them."""

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, override

from bridges.acp.conversation import AcpConversation
from bridges.acp.record import Record
from bridges.contract.agent import Agent
from bridges.contract.errors import MalformedError

_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class AcpAgent(Agent):
    """Session ids are the bridge's own: an agent gives one only when its process runs."""

    def __init__(self, command: Sequence[str], *, workspace: Path, home: Path) -> None:
        self._command = command
        self._workspace = workspace
        self._home = home

    @override
    def new_session_id(self) -> str:
        """Choose the id of a new session."""
        return f"ses_{secrets.token_hex(16)}"

    @override
    def new_message_id(self) -> str:
        """Choose an id for a prompt."""
        return f"msg_{secrets.token_hex(16)}"

    @override
    def check_message_id(self, message_id: str) -> None:
        """Refuse what is no plain word."""
        if not _MESSAGE_ID.fullmatch(message_id):
            raise MalformedError("messageID must be 1 to 100 letters, digits, - and _.")

    @override
    def open(self, session_id: str) -> AcpConversation:
        """Make the conversation of a session."""
        return AcpConversation(self._command, self._workspace, Record(self._home, session_id))

    @override
    def read_history(
        self, session_id: str, prompts: Sequence[str]
    ) -> Sequence[tuple[float, str, Mapping[str, Any]]]:
        """Read the bridge's own record."""
        return Record(self._home, session_id).read(prompts)
