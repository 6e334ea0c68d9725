"""The HTTP surface of Claude Code's bridge: the contract's own, with message ids that are UUIDs."""

from collections.abc import Mapping
from typing import override
from uuid import uuid4

from cattery.harnesses.claude_code.launch import basic_auth
from cattery.harnesses.http_client import HttpHarnessClient
from cattery.ids import HarnessMessageId


class ClaudeCodeClient(HttpHarnessClient):
    """One running bridge."""

    @override
    def new_message_id(self) -> HarnessMessageId:
        """Make an id. The bridge orders prompts by when they come, not by their ids."""
        return HarnessMessageId(str(uuid4()))

    @override
    def _headers(self) -> Mapping[str, str]:
        return {"Authorization": basic_auth(self._password)} if self._password else {}
