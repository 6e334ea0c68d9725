"""How Claude Code is run: what it may do by itself, and what a project's own files cannot change.

A project's `.claude/settings.json`, `.mcp.json` and the like are written by strangers. They could
send the model's traffic elsewhere, run commands as hooks, start servers. So settings of the project
are not read at all; its CLAUDE.md is, as text. What stands in HOME, where the agent itself can
write, is read for its skills; hooks and servers of it are off as well.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from claude_agent_sdk import CanUseTool, ClaudeAgentOptions
from claude_agent_sdk.types import PermissionMode

MAX_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes of one message of the program; a tool's result may be large."""

_MODES: Final[Mapping[str, PermissionMode]] = {
    "acceptEdits": "acceptEdits",
    "default": "default",
    "plan": "plan",
    "bypassPermissions": "bypassPermissions",
}
_DEFAULT_MODE: Final = "acceptEdits"
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


@dataclass(frozen=True, slots=True)
class Setup:
    """What the bridge was started with.

    Attributes:
        workspace: the folder that the agent works in.
        home: HOME, writable.
        model: id of the model.
        mode: the permission mode.
    """

    workspace: Path
    home: Path
    model: str | None
    mode: PermissionMode

    def check_home(self) -> None:
        """Find out that transcripts can be kept.

        Raises:
            OSError: they cannot.
        """
        folder = self.home / ".claude" / "projects"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".cattery-probe"
        probe.write_text("")
        probe.unlink()

    def options(
        self, session_id: str, *, resume: bool, can_use_tool: CanUseTool
    ) -> ClaudeAgentOptions:
        """Return the SDK's options for one process of one session."""
        return ClaudeAgentOptions(
            model=self.model,
            cwd=self.workspace,
            session_id=None if resume else session_id,
            resume=session_id if resume else None,
            permission_mode=self.mode,
            allowed_tools=[] if self.mode in ("default", "plan") else [*_ALLOWED],
            disallowed_tools=[*_DISALLOWED],
            can_use_tool=can_use_tool,
            include_partial_messages=True,
            forward_subagent_text=True,
            system_prompt={"type": "preset", "preset": "claude_code"},
            setting_sources=["user"],
            settings=json.dumps(_SETTINGS),
            strict_mcp_config=True,
            # With the variable below: the workspace's CLAUDE.md is read, its settings are not.
            add_dirs=[self.workspace],
            env={"CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1"},
            max_buffer_size=MAX_MESSAGE,
        )


def read_setup(environ: Mapping[str, str], *, workspace: Path) -> Setup:
    """Read the bridge's environment. `CLAUDE_PERMISSION_MODE` is the user's to set."""
    mode = environ.get("CLAUDE_PERMISSION_MODE", "")
    return Setup(
        workspace=workspace,
        home=Path(environ["HOME"]),
        model=environ.get("MODEL") or None,
        mode=_MODES.get(mode, _MODES[_DEFAULT_MODE]),
    )
