"""How each harness calls the tools that the demo model has no use for."""

from gateway.demo.parts import ToolUse
from gateway.demo.tools import Tools, shell_call


def edit_call(tools: Tools, path: str, old: str, new: str) -> ToolUse | None:
    """Call the tool that replaces a text in a file."""
    if "edit" in tools:
        return ToolUse("edit", {"filePath": path, "oldString": old, "newString": new})
    if "Edit" in tools:
        return ToolUse("Edit", {"file_path": path, "old_string": old, "new_string": new})
    if "exec_command" in tools:  # Codex takes a patch out of a command, and applies it itself
        hunk = f"@@\n-{old.strip()}\n+{new.strip()}\n"
        patch = f"*** Begin Patch\n*** Update File: {path}\n{hunk}*** End Patch"
        return shell_call(tools, f"apply_patch <<'PATCH'\n{patch}\nPATCH\n", "Edit the file")
    if "patch" in tools:
        what = {"path": path, "old_string": old, "new_string": new}
        return ToolUse("patch", {"mode": "replace", **what})
    return None


def delegate_call(tools: Tools, prompt: str) -> ToolUse | None:
    """Call the tool that hands work to a sub-agent."""
    for name, kind in (("task", "general"), ("Agent", "general-purpose"), ("Task", "general")):
        if name in tools:
            asked = {"description": "a task", "prompt": prompt, "subagent_type": kind}
            return ToolUse(name, {**asked})
    if "spawn_agent" in tools:
        return ToolUse("spawn_agent", {"message": prompt})
    if "delegate_task" in tools:
        return ToolUse("delegate_task", {"goal": prompt})
    return None


def skill_call(tools: Tools, name: str) -> ToolUse | None:
    """Use the tool for skills; a harness without one is told of files, and reads them."""
    for tool, parameter in (("skill", "name"), ("Skill", "skill"), ("skill_view", "name")):
        if tool in tools:
            return ToolUse(tool, {parameter: name})
    path = f'"$HOME"/.agents/skills/{name}/SKILL.md'
    return shell_call(tools, f"cat {path}", "Read the skill")
