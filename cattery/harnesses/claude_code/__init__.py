"""Claude Code, by way of our bridge: how it is started, spoken to and understood."""

from cattery.harnesses.bridged.turns import session_of
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.harnesses.claude_code.launch import launch_claude_code
from cattery.harnesses.claude_code.translator import ClaudeCodeTranslator
from cattery.harnesses.manifest import Manifest
from cattery.harnesses.port import Implementation


def implement(_manifest: Manifest) -> Implementation:
    """Return the parts that the registry joins with Claude Code's manifest."""
    return Implementation(
        launch=launch_claude_code,
        client=ClaudeCodeClient,
        translator=ClaudeCodeTranslator,
        session_of=session_of,
    )
