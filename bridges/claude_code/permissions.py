"""What Claude Code asks of a person: its own questions, and leave to use a tool."""

from collections.abc import Mapping, Sequence
from typing import Any

from claude_agent_sdk import (
    PermissionResult,
    PermissionResultAllow,
    PermissionResultDeny,
    PermissionUpdate,
    ToolPermissionContext,
)

from bridges.contract.agent import Answered, Asked

QUESTION_TOOL = "AskUserQuestion"
PLAN_TOOL = "ExitPlanMode"
ALLOW_ONCE = "Allow once"
ALLOW_ALWAYS = "Always allow"
REJECT = "Reject"

_ASKS = {
    "Bash": "May the agent run this command?",
    "Write": "May the agent write this file?",
    "Edit": "May the agent change this file?",
    "NotebookEdit": "May the agent change this notebook?",
    "Read": "May the agent read this file?",
    "WebFetch": "May the agent fetch this page?",
    "WebSearch": "May the agent search the web for this?",
    PLAN_TOOL: "The agent has made a plan. May it begin?",
    "EnterPlanMode": "May the agent make a plan before it begins?",
}
_SHOWN = ("command", "file_path", "notebook_path", "url", "query", "path", "plan")
_MAX_SHOWN = 2000


def ask_of(tool: str, given: Mapping[str, Any], context: ToolPermissionContext) -> Asked:
    """Turn a request of the program into a question."""
    if tool == QUESTION_TOOL:
        return Asked(
            "question", [_question(q) for q in _objects(given, "questions")], _agent(context)
        )
    options = [{"label": ALLOW_ONCE, "description": "Only this time"}]
    if context.suggestions:
        always = "Until the session is taken up again"
        options.append({"label": ALLOW_ALWAYS, "description": always})
    options.append({"label": REJECT, "description": "The agent is told no, and goes on without it"})
    question = {
        "question": _permission_text(tool, given),
        "header": "Permission",
        "options": options,
        "multiSelect": False,
    }
    return Asked("permission", [question], _agent(context))


def result_of(
    tool: str,
    given: Mapping[str, Any],
    suggestions: Sequence[PermissionUpdate],
    answers: Sequence[Answered] | None,
) -> PermissionResult:
    """Turn the answers into what the program waits for. Withdrawn means: stop."""
    if answers is None:
        return PermissionResultDeny(message="The user stopped the turn.", interrupt=True)
    if tool == QUESTION_TOOL:
        spoken = {answer.question: _spoken(answer) for answer in answers}
        return PermissionResultAllow(updated_input={**given, "answers": spoken})
    labels = {label for answer in answers for label in answer.labels}
    notes = " ".join(answer.notes for answer in answers if answer.notes)
    if ALLOW_ALWAYS in labels:
        return PermissionResultAllow(updated_permissions=[*suggestions])
    if ALLOW_ONCE in labels:
        return PermissionResultAllow()
    reason = f"The user refused this. {notes}".strip()
    return PermissionResultDeny(message=reason)


def _question(question: Mapping[str, Any]) -> Mapping[str, Any]:
    options = [
        {
            "label": str(option.get("label", "")),
            "description": str(option.get("description", "")),
            **({"preview": option["preview"]} if isinstance(option.get("preview"), str) else {}),
        }
        for option in _objects(question, "options")
    ]
    return {
        "question": str(question.get("question", "")),
        "header": str(question.get("header", "")),
        "options": options,
        "multiSelect": question.get("multiSelect") is True,
    }


def _spoken(answer: Answered) -> str:
    return ", ".join([*answer.labels, *([answer.notes] if answer.notes else [])])


def _permission_text(tool: str, given: Mapping[str, Any]) -> str:
    ask = _ASKS.get(tool, f"May the agent use {tool}?")
    shown = next((str(given[name]) for name in _SHOWN if given.get(name)), "")
    if len(shown) > _MAX_SHOWN:
        shown = shown[: _MAX_SHOWN - 1] + "…"
    return f"{ask} ({shown})" if shown else ask


def _agent(context: ToolPermissionContext) -> str | None:
    agent: str | None = context.agent_id
    return agent


def _objects(parent: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    value = parent.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
