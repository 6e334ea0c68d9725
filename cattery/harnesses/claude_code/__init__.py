"""Claude Code, by way of the bridge in `bridges.claude_code`."""
