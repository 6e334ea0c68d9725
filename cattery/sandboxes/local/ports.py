"""Chooses the loopback port of a harness."""

import errno
import random
import re
import socket
from collections.abc import Collection

from cattery.errors import SandboxError
from cattery.settings import LOOPBACK

_RANGE = range(20000, 32000)
"""Below the ports that Linux hands out to outgoing connections, which come and go at any moment."""
_TRIES = 200
_TAKEN = re.compile(
    r"EADDRINUSE|address already in use|port \d* ?(is )?(already )?in use|is port \d+ in use",
    re.IGNORECASE,
)


def choose_port(avoid: Collection[int]) -> int:
    """Return a port of loopback that nobody listens on at this moment.

    Raises:
        SandboxError: none was found.
    """
    for _ in range(_TRIES):
        port = random.choice(_RANGE)  # noqa: S311 - a port is no secret
        if port not in avoid and _is_free(port):
            return port
    raise SandboxError("No free port was found for the harness. Try again in a moment.")


def tells_of_taken_port(log: str) -> bool:
    """Tell whether a harness's last words are that its port was taken."""
    return _TAKEN.search(log) is not None


def accepts_connections(port: int) -> bool:
    """Tell whether somebody listens on a loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True
