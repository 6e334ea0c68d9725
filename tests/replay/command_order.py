"""Writes down, in the order of the source, everything in a workflow that makes a command.

    python -m tests.replay.command_order      # writes tests/replay/command_order.txt again

A workflow that is open while its code changes is replayed: the new code must give the commands of
the old one in the same order. Which commands a piece of code gives stands in its source: the
activities that it calls, its timers, patches, signals, and what decides between them. So each
function of each workflow is written as an outline: its commands, the functions of the workflow that
it calls, and the branches around them, without their conditions.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WORKFLOWS: Final = ROOT / "workflows"
FROZEN: Final = Path(__file__).with_name("command_order.txt")
INDENT: Final = "  "

_COMMANDS: Final = frozenset(
    {
        "continue_as_new",
        "deprecate_patch",
        "execute_activity",
        "execute_activity_method",
        "execute_child_workflow",
        "execute_local_activity",
        "execute_local_activity_method",
        "patched",
        "sleep",
        "start_activity",
        "start_activity_method",
        "start_child_workflow",
        "start_local_activity_method",
        "upsert_memo",
        "upsert_search_attributes",
    }
)
"""Functions of `temporalio.workflow`; `wait_condition` too, where it has a time-out: a timer."""
_NAMED: Final = frozenset({"patched", "deprecate_patch"})


def outline() -> str:
    """Return the outline of every module of workflows."""
    modules = {
        path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(WORKFLOWS.glob("*.py"))
    }
    functions = [
        node for tree in modules.values() for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)
    ]
    speaking = _speaking(functions)
    outlines = ("\n".join(_of_module(path, tree, speaking)) for path, tree in modules.items())
    return "\n".join(text for text in outlines if text)


def _of_module(path: Path, tree: ast.Module, speaking: set[str]) -> Iterator[str]:
    lines: list[str] = []
    for owner, function in _in_source_order(tree):
        if function.name in speaking:
            lines += ["", f"{owner}{function.name}:"]
            lines += [INDENT + line for line in _of_block(function.body, speaking)]
    if lines:
        yield f"# {path.relative_to(ROOT)}"
        yield from lines
        yield ""


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
type _Function = ast.FunctionDef | ast.AsyncFunctionDef


def _in_source_order(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    for node in tree.body:
        if isinstance(node, _FUNCTIONS):
            yield "", node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, _FUNCTIONS):
                    yield f"{node.name}.", inner


def _speaking(functions: Sequence[_Function]) -> set[str]:
    """Name the functions that give commands, by themselves or by others that they call.

    Of all modules together: a workflow may get its steps from a class in another one.
    """
    speaking: set[str] = set()
    while True:
        more = {
            function.name
            for function in functions
            if any(_command(call, speaking) for call in _calls(function))
        }
        if more <= speaking:
            return speaking
        speaking |= more


def _of_block(body: Sequence[ast.stmt], speaking: set[str]) -> list[str]:
    return [line for statement in body for line in _of_statement(statement, speaking)]


def _of_statement(node: ast.stmt, speaking: set[str]) -> list[str]:
    """Outline a statement: what its head calls, then its blocks, each named and indented."""
    if isinstance(node, _FUNCTIONS):
        return _named(f"def {node.name}", _of_block(node.body, speaking))
    lines: list[str] = []
    for name, block in _blocks(node):
        lines += _named(name, _of_block(block, speaking))
    head = [_command(call, speaking) for call in _head_calls(node)]
    ends = {ast.Return: "return", ast.Raise: "raise", ast.Break: "break", ast.Continue: "continue"}
    tail = [ends[type(node)]] if type(node) in ends else []
    return [line for line in head if line] + lines + tail


def _named(name: str, lines: Sequence[str]) -> list[str]:
    """Put a block's name over its lines; a block that gives no command and ends nothing is left."""
    return [f"{name}:", *(INDENT + line for line in lines)] if lines else []


def _blocks(node: ast.stmt) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
    match node:
        case ast.If():
            yield "if", node.body
            yield "else", node.orelse
        case ast.While() | ast.For() | ast.AsyncFor():
            yield "loop", node.body
            yield "else", node.orelse
        case ast.With() | ast.AsyncWith():
            yield "with", node.body
        case ast.Try():
            yield "try", node.body
            for handler in node.handlers:
                caught = ast.unparse(handler.type) if handler.type else ""
                yield f"except {caught}".strip(), handler.body
            yield "else", node.orelse
            yield "finally", node.finalbody
        case ast.Match():
            for case in node.cases:
                guard = " if …" if case.guard else ""
                yield f"case {ast.unparse(case.pattern)}{guard}", case.body


def _head_calls(node: ast.stmt) -> Iterator[ast.Call]:
    """Yield the calls of a statement outside its blocks, inner ones first, as they are run."""
    for field, value in ast.iter_fields(node):
        if field in {"body", "orelse", "finalbody", "handlers", "cases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _calls(child)
    if isinstance(node, ast.Match):
        for case in node.cases:
            if case.guard:
                yield from _calls(case.guard)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    for child in ast.iter_child_nodes(node):
        yield from _calls(child)
    if isinstance(node, ast.Call):
        yield node


def _command(call: ast.Call, speaking: set[str]) -> str | None:
    """Say what a call gives: a command, or a call of a function that gives some."""
    name = _name(call.func)
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    is_workflow = isinstance(owner, ast.Name) and owner.id == "workflow"
    if is_workflow and name == "wait_condition":
        return "timer" if any(k.arg == "timeout" for k in call.keywords) else None
    if is_workflow and name in _COMMANDS:
        return _described(name, call)
    if name == "signal" and not is_workflow:
        return f"signal {ast.unparse(call.args[0])}" if call.args else None
    if name == "cancel" and owner is not None and not call.args:
        return f"cancel {ast.unparse(owner)}"
    is_ours = owner is None or (isinstance(owner, ast.Name) and owner.id == "self")
    if not is_ours or name not in speaking:
        return None
    acts = [ast.unparse(one) for one in call.args if isinstance(one, ast.Attribute)]
    return " ".join([f"→ {name}", *(one for one in acts if "Activities." in one)])


def _described(name: str, call: ast.Call) -> str:
    if name in _NAMED:
        return f"{name} {ast.unparse(call.args[0])}"
    if "activity" in name or "child" in name:
        queue = [ast.unparse(k.value) for k in call.keywords if k.arg == "task_queue"]
        return " ".join(
            [
                name.removesuffix("_method"),
                ast.unparse(call.args[0]),
                *(f"on {each}" for each in queue),
            ]
        )
    return name


def _name(function: ast.expr) -> str:
    match function:
        case ast.Attribute():
            return function.attr
        case ast.Name():
            return function.id
        case _:
            return ""


if __name__ == "__main__":
    FROZEN.write_text(outline(), encoding="utf-8")
    print(f"{FROZEN.relative_to(ROOT)} is written.", file=sys.stderr)
