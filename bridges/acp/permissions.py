"""What an agent asks leave for, as a question, and the answer as the option that it offered."""

from collections.abc import Mapping, Sequence
from typing import Any

from bridges.contract.agent import Answered, Asked

CANCELLED: Mapping[str, Any] = {"outcome": {"outcome": "cancelled"}}
_MAX_SHOWN = 2000
_KINDS = {
    "allow_once": "Only this time",
    "allow_always": "Without asking from now on",
    "reject_once": "The agent is told no, and goes on without it",
    "reject_always": "The agent is told no, this time and from now on",
}


def ask_of(params: Mapping[str, Any]) -> Asked:
    """Turn the params of `session/request_permission` into a question."""
    call = params.get("toolCall")
    options = [
        {"label": label, "description": _KINDS.get(str(option.get("kind")), "")}
        for label, option in _labelled(params)
    ]
    question = {
        "question": _text(call if isinstance(call, dict) else {}),
        "header": "Permission",
        "options": options,
        "multiSelect": False,
    }
    return Asked("permission", [question])


def outcome_of(params: Mapping[str, Any], answers: Sequence[Answered] | None) -> Mapping[str, Any]:
    """Turn the answer into the result. Withdrawn is cancelled; what is not offered is refused."""
    if answers is None:
        return CANCELLED
    labels = {label for answer in answers for label in answer.labels}
    offered = _labelled(params)
    chosen = [option for label, option in offered if label in labels] or [
        option for _, option in offered if str(option.get("kind")).startswith("reject")
    ]
    if not chosen:
        return CANCELLED
    return {"outcome": {"outcome": "selected", "optionId": chosen[0].get("optionId")}}


def _labelled(params: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Name each option; a name that another has already is told apart by its place."""
    options = params.get("options")
    named: dict[str, Mapping[str, Any]] = {}
    for place, option in enumerate(options if isinstance(options, list) else [], 1):
        if isinstance(option, dict):
            name = str(option.get("name") or option.get("optionId"))
            named[name if name not in named else f"{name} ({place})"] = option
    return [*named.items()]


def _text(call: Mapping[str, Any]) -> str:
    given = call.get("rawInput")
    given = given if isinstance(given, dict) else {}
    shown = [str(call.get("title") or "")]
    command = given.get("command")
    if isinstance(command, list):
        command = " ".join(map(str, command))
    shown += [str(value) for value in (command, given.get("reason")) if value]
    locations = call.get("locations")
    for location in locations if isinstance(locations, list) else []:
        if isinstance(location, dict) and location.get("path"):
            shown.append(str(location["path"]))
    lines = [*dict.fromkeys(line for line in shown if line.strip())]
    return "\n".join(["May the agent do this?", *lines])[:_MAX_SHOWN]
