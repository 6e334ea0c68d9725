"""The HTTP surface of Claude Code's bridge: the contract's own, with message ids that are UUIDs."""

from typing import override
from uuid import uuid4

from cattery.harnesses.bridged.client import BridgeClient
from cattery.ids import HarnessMessageId


class ClaudeCodeClient(BridgeClient):
    """One running bridge."""

    @override
    def new_message_id(self) -> HarnessMessageId:
        """Make an id. The bridge orders prompts by when they come, not by their ids."""
        return HarnessMessageId(str(uuid4()))
