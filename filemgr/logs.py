"""The file manager's log: one line of JSON an event, as the other processes write it.

It needs none of their logging library, whose import would take a fifth of the start-up time that
somebody waits for.
"""

import json
import sys

from cattery.clock import utc_now


def log_event(event: str, *, level: str = "info", **fields: object) -> None:
    """Write an event to standard error. Never anything secret, never the content of a file."""
    line = {"event": event, "level": level, "timestamp": utc_now().isoformat(), **fields}
    sys.stderr.write(json.dumps(line, default=str) + "\n")
