"""`python tests/bench/echo_worker.py`: a real worker whose Codex is the bridge with an echo.

Its sandboxes are not confined: the bridge runs in this very interpreter, as the scripted harness.
"""

import sys
from pathlib import Path

from cattery.harnesses.port import HarnessType, Launch, LaunchInput, TransportKind
from cattery.harnesses.terminal.client import TerminalClient
from cattery.harnesses.terminal.launch import bridge_environment
from workers.main import run

ROOT = Path(__file__).parents[2]


def launch_echo(given: LaunchInput) -> Launch:
    """Build what starts the bridge."""
    return Launch(
        argv=(
            *(sys.executable, "-P", "-m", "tests.bench.echo_bridge", "codex"),
            *("--tools", given.tools, "--host", given.host, "--port", str(given.port)),
        ),
        env={**bridge_environment(given), "PYTHONPATH": str(ROOT)},
        files={},
        links={},
    )


if __name__ == "__main__":
    echo = HarnessType(
        id="codex",
        display_name="Echo",
        transport=TransportKind.TERMINAL,
        version="echo",
        launch=launch_echo,
        client=TerminalClient,
    )
    run({"codex": echo})
