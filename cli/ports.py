"""Ports on this machine: which are free, who holds one, and which ours were last time.

The parts' own ports are chosen once and kept, so that bookmarks (the Temporal UI) and running
sandboxes (the gateway) stay right from one start to the next. They lie below the range from which
the kernel takes ports for outgoing connections (one of those could sit on ours when we return) and
below that of the sandboxes.
"""

import contextlib
import json
import random
import socket
from collections.abc import Iterable

import psutil

from cli.home import Home, write_atomically

_CANDIDATES = range(15_000, 20_000)


def choose_ports(home: Home, names: Iterable[str]) -> tuple[dict[str, int], frozenset[str]]:
    """Return a free loopback port for each name, last time's where it is still free.

    Returns:
        The ports, and the names whose port is another one than last time.
    """
    kept = read_ports(home)
    chosen: dict[str, int] = {}
    for name in names:
        port = kept.get(name)
        if port is None or port in chosen.values() or not is_free("127.0.0.1", port):
            port = _find_free({*kept.values(), *chosen.values()})
        chosen[name] = port
    moved = frozenset(name for name, port in chosen.items() if kept.get(name, port) != port)
    document = {"version": 1, "ports": kept | chosen}
    write_atomically(home.state_file, json.dumps(document, indent=2) + "\n")
    return chosen, moved


def read_ports(home: Home) -> dict[str, int]:
    """Return last time's ports by name; none where the file is missing or damaged."""
    try:
        ports = json.loads(home.state_file.read_text(encoding="utf-8"))["ports"]
        return {str(name): int(port) for name, port in ports.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(address)
            server.listen(1)
    except OSError:
        return False
    return True


def describe_holder(port: int) -> str:
    """Name the process that listens on a port, as far as this user may see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port:
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another process"


def _find_free(taken: set[int]) -> int:
    for port in random.sample(_CANDIDATES, k=len(_CANDIDATES)):
        if port not in taken and is_free("127.0.0.1", port):
            return port
    raise OSError("no free loopback port")
