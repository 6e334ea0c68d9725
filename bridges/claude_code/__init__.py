"""Claude Code behind the HTTP harness contract, on claude-agent-sdk.

`python -P -m bridges.claude_code` serves it. The agent runs as the bundled command-line program, a
process a session; this bridge feeds it prompts, passes its messages on as they are, and asks people
what it asks.
"""
