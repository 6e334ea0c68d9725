"""How Claude Code is run: what it may do by itself, and what a project's own files cannot change.

A project's `.claude/settings.json`, `.mcp.json` and the like are written by strangers. They could
send the model's traffic elsewhere, run commands as hooks, start servers. So settings of the project
are not read at all; its CLAUDE.md is, as text. What stands in HOME, where the agent itself can
write, is read for its skills; hooks and servers of it are off as well.
"""

import json
from typing import Final, cast

from claude_agent_sdk import CanUseTool, ClaudeAgentOptions
from claude_agent_sdk.types import PermissionMode

from bridges.claude_code.setup import Setup

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of one message of the program; a tool's result may be large."""

_ALLOWED: Final = (
    *("Bash", "BashOutput", "KillShell", "Read", "Glob", "Grep", "Agent", "Task", "TaskStop"),
    *("TodoWrite", "WebFetch", "WebSearch", "Skill", "ToolSearch", "NotebookEdit"),
)
"""Without asking, unless the harness is set to ask. The sandbox is the wall around them; only what
is written outside of the workspace is asked for, since the other agents' files may be there."""
_DISALLOWED: Final = (
    *("CronCreate", "CronDelete", "CronList", "ScheduleWakeup"),
    *("EnterWorktree", "ExitWorktree", "Workflow", "ListAgents"),
)
"""They begin turns that no prompt asked for, or belong to another surface."""
_SETTINGS: Final = {
    "disableAllHooks": True,
    "enableAllProjectMcpServers": False,
    "includeCoAuthoredBy": False,
    "env": {"CLAUDE_CODE_ENABLE_TELEMETRY": "0"},
}
"""Given on the command line: only a managed settings file stands above them."""


def build_options(
    setup: Setup, session_id: str, *, resume: bool, can_use_tool: CanUseTool
) -> ClaudeAgentOptions:
    """Return the SDK's options for one process of one session."""
    mode = cast("PermissionMode", setup.mode)
    return ClaudeAgentOptions(
        model=setup.model,
        cwd=setup.workspace,
        session_id=None if resume else session_id,
        resume=session_id if resume else None,
        permission_mode=mode,
        allowed_tools=[] if mode in ("default", "plan") else [*_ALLOWED],
        disallowed_tools=[*_DISALLOWED],
        can_use_tool=can_use_tool,
        include_partial_messages=True,
        forward_subagent_text=True,
        system_prompt={"type": "preset", "preset": "claude_code"},
        setting_sources=["user"],
        settings=json.dumps(_SETTINGS),
        strict_mcp_config=True,
        # With the variable below: the workspace's CLAUDE.md is read, its settings are not.
        add_dirs=[setup.workspace],
        env={"CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1"},
        max_buffer_size=MAX_MESSAGE,
    )
