"""How a terminal's bridge is started, whatever the program that it runs."""

from collections.abc import Mapping

from cattery.harnesses.port import LaunchInput


def bridge_command(program: str, given: LaunchInput) -> tuple[str, ...]:
    """Return the command of the bridge. Its Python is the one beside the program."""
    return (
        f"{given.tools}/{program}/venv/bin/python",
        *("-P", "-m", "bridges.terminal", program),
        *("--tools", given.tools, "--host", given.host, "--port", str(given.port)),
    )


def bridge_environment(given: LaunchInput) -> Mapping[str, str]:
    """Return what the bridge needs, and the contract's settings."""
    return {
        "HOME": given.home,
        "MODEL": given.model,
        "PORT": str(given.port),
        "PYTHONPATH": given.tools,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BRIDGE_PASSWORD": given.password,
        "LANG": "C.UTF-8",
    }
