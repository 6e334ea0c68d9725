"""The commands of each workflow, in their order, are those that were agreed on."""

import difflib
import textwrap
from pathlib import Path

import pytest

from tests.replay import command_order
from tests.replay.command_order import FROZEN, outline

CHANGED = """
The commands of a workflow changed, or their order. Workflows that are open while a site is upgraded
are replayed through the new code and end in an error where it does not give the same commands.

    Guard the change with `workflow.patched`: docs/changing-a-workflow.md says how.
    Then write the new order down: make workflow-order

"""


def test_no_workflow_gives_other_commands_than_were_agreed_on() -> None:
    now, agreed = outline(), FROZEN.read_text(encoding="utf-8")
    changes = difflib.unified_diff(
        agreed.splitlines(), now.splitlines(), "agreed", "now", lineterm="", n=4
    )
    assert now == agreed, CHANGED + "\n".join(changes)


@pytest.mark.parametrize(
    ("before", "after", "is_seen"),
    [
        ("await workflow.sleep(1)", "await workflow.sleep(2)", False),
        ("await self.b()", "await self.c()", True),
        (
            "await workflow.sleep(1)\nawait self.b()",
            "await self.b()\nawait workflow.sleep(1)",
            True,
        ),
        ("if x:\n    await self.b()", "await self.b()", True),
        ("if x:\n    await self.b()", "if y:\n    await self.b()", False),
        ("x = 1\nawait self.b()", "y = 2\nawait self.b()", False),
        ("await workflow.wait_condition(x)", "await workflow.wait_condition(x, timeout=y)", True),
        ("if workflow.patched(A):\n    pass", "if workflow.patched(B):\n    pass", True),
        ("await h.signal(A)", "await h.signal(B)", True),
        ("if x:\n    return\nawait self.b()", "await self.b()", True),
    ],
)
def test_a_change_is_seen_where_it_changes_commands(
    before: str, after: str, is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_order, "WORKFLOWS", tmp_path)
    monkeypatch.setattr(command_order, "ROOT", tmp_path)

    def written(body: str) -> str:
        source = (
            "class Story:\n    async def run(self):\n"
            + textwrap.indent(body, " " * 8)
            + "\n        await workflow.execute_activity_method(A.a, 1, **ROWS)\n"
            + "    async def b(self):\n        await workflow.sleep(1)\n"
            + "    async def c(self):\n        await workflow.sleep(1)\n"
        )
        (tmp_path / "story.py").write_text(source)
        return outline()

    assert (written(before) != written(after)) == is_seen
