"""Starts the bridge: `python -P -m bridges.claude_code --host H --port P`, in the workspace."""

import argparse
import os
import sys
import threading
import warnings
from pathlib import Path

from bridges.claude_code.agent import ClaudeAgent
from bridges.claude_code.conversation import load_program
from bridges.claude_code.setup import read_setup
from bridges.contract.serve import DEFAULT_PORT, PASSWORD, serve

_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
"""Ours alone: the agent's own Python programs must not find the bridge's packages."""


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", DEFAULT_PORT)))
    given = parser.parse_args()
    # Its advice on each start: that what is allowed is not asked for. That is what we want.
    warnings.filterwarnings("ignore", message="can_use_tool will not be invoked")
    password = os.environ.pop(PASSWORD, None)
    for name in _OURS:
        os.environ.pop(name, None)
    setup = read_setup(os.environ, workspace=Path.cwd())
    try:
        setup.check_home()
    except OSError as error:
        # Claude Code itself would go on and store nothing: no session could be taken up again.
        sys.stderr.write(f"~/.claude must be a folder that can be written: {error}.\n")
        return 70
    threading.Thread(target=load_program, daemon=True).start()
    return serve(ClaudeAgent(setup), host=given.host, port=given.port, password=password)


if __name__ == "__main__":
    sys.exit(main())
