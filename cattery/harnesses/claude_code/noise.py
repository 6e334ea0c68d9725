"""Messages of the pinned Claude Code that say nothing to a watcher, by name.

An explicit list, so that what a later release adds is reported as unknown and not lost.
"""

from typing import Final

IGNORED_MESSAGES: Final = frozenset(
    {
        "auth_status",
        "command_lifecycle",
        "keep_alive",
        "prompt_suggestion",
        "rate_limit_event",
        "tool_progress",
        "tool_use_summary",
    }
)
IGNORED_SYSTEM: Final = frozenset(
    {
        "background_tasks_changed",
        "commands_changed",
        "files_persisted",
        "hook_progress",
        "hook_response",
        "hook_started",
        "init",
        "memory_recall",
        "permission_denied",
        "session_state_changed",
        "task_progress",
        "task_updated",
        "thinking_tokens",
        "ui_invalidate",
    }
)
IGNORED_STREAM: Final = frozenset(
    {"content_block_stop", "message_start", "message_delta", "message_stop", "ping"}
)
IGNORED_DELTAS: Final = frozenset({"citations_delta", "input_json_delta", "signature_delta"})
IGNORED_BLOCKS: Final = frozenset({"redacted_thinking"})
