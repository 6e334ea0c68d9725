"""Which lines that give a command the recorded histories reach, replayed through the code."""

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Final

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from cattery.temporal.client import DATA_CONVERTER
from tests.replay import command_order
from workers.process import ALL_WORKFLOWS

_TOOL: Final = 4
"""A number of `sys.monitoring` that no debugger, coverage or profiler takes."""


def list_commands() -> dict[str, tuple[Path, range]]:
    """Return where each command is given, by what it is: `_start: start_activity A.a`."""
    found: dict[str, tuple[Path, range]] = {}
    for module in sorted(command_order.WORKFLOWS.glob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for owner, function in command_order._in_source_order(tree):
            for call in command_order._calls(function):
                if command := command_order._command(call, set()):
                    lines = range(call.lineno, (call.end_lineno or call.lineno) + 1)
                    found.setdefault(f"{owner}{function.name}: {command}", (module, lines))
    return found


async def list_reached(histories: Iterable[WorkflowHistory]) -> set[str]:
    """Replay histories, and return which commands were given."""
    lines: set[tuple[str, int]] = set()

    def note(code: CodeType, line: int) -> object:
        if "/workflows/" in code.co_filename:
            lines.add((code.co_filename, line))
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(_TOOL, "reach")
    sys.monitoring.register_callback(_TOOL, sys.monitoring.events.LINE, note)
    sys.monitoring.set_events(_TOOL, sys.monitoring.events.LINE)
    try:
        for history in histories:
            replayer = Replayer(
                workflows=list(ALL_WORKFLOWS),
                data_converter=DATA_CONVERTER,
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
            await replayer.replay_workflow(history)
    finally:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)
    return {
        name
        for name, (module, within) in list_commands().items()
        if any((str(module), line) in lines for line in within)
    }
