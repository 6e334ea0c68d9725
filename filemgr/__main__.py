"""Runs a file manager: `python -m filemgr --root /data --port 4097 --kind workspace`."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from cattery.files.remote_wire import TOKEN_VARIABLE
from filemgr.app import Kind, create_app
from filemgr.logs import log_event
from filemgr.server import serve


def main() -> None:
    """Serve the volume until told to stop; its token comes from the environment."""
    arguments = _parse()
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        sys.exit(f"{TOKEN_VARIABLE} is not set: without a token the files would be everybody's.")
    os.umask(0o002)  # agents and users share a group: each can edit what the other made

    def announce(port: int) -> None:
        log_event("file_manager_started", kind=arguments.kind, port=port)

    try:
        app = create_app(arguments.root, arguments.kind, token)
    except OSError as error:
        sys.exit(f"The volume at {arguments.root} cannot be used: {error}. See how it is mounted.")
    asyncio.run(serve(app, arguments.host, arguments.port, ready=announce))
    log_event("file_manager_stopped")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m filemgr", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where the volume is mounted")
    parser.add_argument("--kind", type=Kind, choices=list(Kind), required=True)
    parser.add_argument("--host", default="0.0.0.0")  # noqa: S104 - its pod's own address
    parser.add_argument("--port", type=int, default=4097)
    return parser.parse_args()


if __name__ == "__main__":
    main()
