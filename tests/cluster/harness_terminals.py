"""The rows that terminal harnesses have to pass in a pod."""

from tests.harness_bench import model
from tests.harness_bench.scenario import Scenario, Subject
from tests.harness_bench.screens import displaying, wait_for_pattern
from tests.harness_bench.terminals import TERMINAL_SCENARIOS

STOP_KEYS = {"codex": "\x1b", "hermes": "\x03"}
"""Escape, Ctrl-C: what a person stops a turn with."""
RESTART = "term-restart"


async def stopped(subject: Subject) -> None:
    """The program's own key stops a turn, and it takes the next prompt."""
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        await viewer.prompt("slow")
        await wait_for_pattern(viewer, "slow-3")
        await viewer.type(STOP_KEYS[subject.manifest.id])
        await display.settled()
        await viewer.prompt("hello")
        await viewer.wait_for(model.GREETING)
        assert f"slow-{model.SLOW_WORDS - 1}" not in viewer.text, viewer.text


TERMINALS: tuple[Scenario, ...] = (
    *(row for row in TERMINAL_SCENARIOS if row.on_cluster),
    Scenario("term-stop", "stopped in its text", stopped, on_cluster=True),
    *(row for row in TERMINAL_SCENARIOS if row.name == RESTART and not row.on_cluster),
)
