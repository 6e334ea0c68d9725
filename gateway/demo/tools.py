"""How each harness calls the tools that the demo model uses: names differ, the idea does not."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from cattery.jsontypes import Json, JsonObject
from gateway.demo.parts import ToolUse

type Tools = Mapping[str, frozenset[str]]
"""Tool names with their parameters' names."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its choices, each a label and what it means."""

    question: str
    header: str
    options: tuple[tuple[str, str], ...]


def write_call(tools: Tools, path: str, content: str) -> ToolUse | None:
    """Call the tool that writes a file, or a shell that does."""
    for name, parameter in (("write", "filePath"), ("Write", "file_path")):
        if name in tools:
            return ToolUse(name, {parameter: path, "content": content})
    if "write_file" in tools:
        parameter = "path" if "path" in tools["write_file"] else "file_path"
        return ToolUse("write_file", {parameter: path, "content": content})
    folder, _, _ = path.rpartition("/")
    make_folder = f"mkdir -p {shlex.quote(folder)} && " if folder else ""
    command = f"{make_folder}printf %s {shlex.quote(content)} > {shlex.quote(path)}"
    return shell_call(tools, command, f"Write {path}")


def read_call(tools: Tools, path: str) -> ToolUse | None:
    """Call the tool that reads a file, or a shell that does."""
    for name, parameter in (("read", "filePath"), ("Read", "file_path")):
        if name in tools:
            return ToolUse(name, {parameter: path})
    if "read_file" in tools:
        parameter = "path" if "path" in tools["read_file"] else "file_path"
        return ToolUse("read_file", {parameter: path})
    return shell_call(tools, f"cat {shlex.quote(path)}", f"Read {path}")


def shell_call(tools: Tools, command: str, description: str) -> ToolUse | None:
    """Call the tool that runs a command."""
    for name in ("bash", "Bash", "run_shell_command"):
        if name in tools:
            return ToolUse(name, {"command": command, "description": description})
    if "exec_command" in tools:
        return ToolUse("exec_command", {"cmd": command})
    if "shell" in tools:
        return ToolUse("shell", {"command": ["bash", "-lc", command]})
    for name in ("shell_command", "terminal"):
        if name in tools:
            return ToolUse(name, {"command": command})
    return None


def question_call(tools: Tools, question: Question) -> ToolUse | None:
    """Call the tool that asks the user."""
    options: list[Json] = [
        {"label": label, "description": description} for label, description in question.options
    ]
    asked: JsonObject = {
        "question": question.question,
        "header": question.header,
        "options": options,
    }
    if "question" in tools:
        return ToolUse("question", {"questions": [asked]})
    if "AskUserQuestion" in tools:
        return ToolUse("AskUserQuestion", {"questions": [{**asked, "multiSelect": False}]})
    if "request_user_input" in tools:
        return ToolUse("request_user_input", {"questions": [{**asked, "id": "choice"}]})
    if "clarify" in tools:
        labels: list[Json] = [label for label, _ in question.options]
        return ToolUse("clarify", {"question": question.question, "choices": labels})
    return None


def todo_call(tools: Tools, steps: Mapping[str, str]) -> ToolUse | None:
    """Call the tool that shows a plan; `steps` maps each step to its state."""
    if "todowrite" in tools:
        todos: list[Json] = [
            {"id": str(number), "content": step, "status": state, "priority": "medium"}
            for number, (step, state) in enumerate(steps.items(), start=1)
        ]
        return ToolUse("todowrite", {"todos": todos})
    if "TodoWrite" in tools:
        todos = [
            {"content": step, "activeForm": step, "status": state} for step, state in steps.items()
        ]
        return ToolUse("TodoWrite", {"todos": todos})
    if "todo" in tools:
        todos = [
            {"id": str(number), "content": step, "status": state}
            for number, (step, state) in enumerate(steps.items(), start=1)
        ]
        return ToolUse("todo", {"todos": todos})
    if "update_plan" in tools:
        plan: list[Json] = [{"step": step, "status": state} for step, state in steps.items()]
        return ToolUse("update_plan", {"plan": plan})
    return None
