"""When a turn of Claude Code is over. Pure: messages in, a verdict out.

A `result` ends one run of the model, and a turn may be several: sub-agents go on in the background
after the first result, and when the last of them is done the program begins a run of its own. So a
turn is over at a result with no sub-agent left, and, where one has just ended, only if no run
follows within a moment. A command in the background holds no turn: it may be a server.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

_HOLDING = frozenset({"local_agent", "remote_agent", "in_process_teammate"})


class Verdict(Enum):
    """What is known after a message."""

    GOES_ON = "goes on"
    MAYBE_OVER = "maybe over"
    """Over, unless another message comes within a moment."""
    OVER = "over"


class TurnWatch:
    """Follows one turn from its prompt on."""

    def __init__(self, message_id: str) -> None:
        self._message_id = message_id
        self._started = False
        self._running = False
        self._finished = False
        self._owed = False
        self.tasks: frozenset[str] = frozenset()
        """Sub-agents that run."""
        self.result: Mapping[str, Any] | None = None
        """The newest result of the turn."""

    @property
    def started(self) -> bool:
        """Whether the program has begun with this turn's prompt."""
        return self._started

    @property
    def running(self) -> bool:
        """Whether the model is at work, and not only sub-agents."""
        return self._running

    def take(self, message: Mapping[str, Any]) -> Verdict:
        """Take the next message of the session."""
        kind = message.get("type")
        if self._is_begin(message):
            self._started = self._running = True
        if kind == "system":
            self._take_system(message)
        elif kind == "result" and self._started:
            self._running, self._finished, self.result = False, True, message
        if not self._finished or self._running or self.tasks:
            return Verdict.GOES_ON
        return Verdict.MAYBE_OVER if self._owed else Verdict.OVER

    def _is_begin(self, message: Mapping[str, Any]) -> bool:
        if message.get("type") == "command_lifecycle":
            return (
                message.get("state") == "started"
                and message.get("command_uuid") == self._message_id
            )
        uuids = message.get("user_message_uuids")
        return not self._started and isinstance(uuids, list) and self._message_id in uuids

    def _take_system(self, message: Mapping[str, Any]) -> None:
        match message.get("subtype"):
            case "init":
                self._owed = False
                self._running = self._running or self._finished
            case "background_tasks_changed":
                tasks = read_tasks(message)
                self._owed = self._owed or bool(self.tasks - tasks)
                self.tasks = tasks
            case "task_notification":
                self._owed = True


def read_tasks(message: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the sub-agents in a `background_tasks_changed`."""
    tasks = message.get("tasks")
    return frozenset(
        str(task.get("task_id"))
        for task in (tasks if isinstance(tasks, list) else [])
        if isinstance(task, dict) and task.get("task_type") in _HOLDING
    )
