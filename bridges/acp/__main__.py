"""Starts the bridge: `python -P -m bridges.acp --host H --port P -- COMMAND…`, in the workspace."""

import argparse
import os
import sys
from pathlib import Path

from bridges.acp.agent import AcpAgent
from bridges.contract.serve import DEFAULT_PORT, PASSWORD, serve

_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Ours alone: the agent's own Python must not find the bridge's packages."""


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", DEFAULT_PORT)))
    parser.add_argument("command", nargs="+", help="the agent and its arguments, after --")
    given = parser.parse_args()
    password = os.environ.pop(PASSWORD, None)
    for name in _OURS:
        os.environ.pop(name, None)
    home = Path(os.environ.get("HOME", "/"))
    agent = AcpAgent(given.command, workspace=Path.cwd(), home=home)
    return serve(agent, host=given.host, port=given.port, password=password)


if __name__ == "__main__":
    sys.exit(main())
