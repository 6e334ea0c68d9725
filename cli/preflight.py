"""What must be true before anything is started; each failure is one sentence with its remedy."""

import re
import shutil
import subprocess
import sys

from cli.configuration import UpSettings
from cli.errors import CommandError
from cli.ports import describe_holder, is_free

OLDEST_PYTHON = (3, 12)
OLDEST_NODE = (20, 19)


def require_python() -> None:
    """Check the Python that runs this.

    Raises:
        CommandError: it is too old.
    """
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        wanted = ".".join(map(str, OLDEST_PYTHON))
        raise CommandError(
            f"Cattery needs Python {wanted} or newer; this is {found}. Install a newer one and "
            "run `make up`, which finds it."
        )


def require_node() -> str:
    """Return the version of Node.js, which harnesses from npm need.

    Raises:
        CommandError: it is missing or too old.
    """
    wanted = ".".join(map(str, OLDEST_NODE))
    program = shutil.which("node")
    if program is None:
        raise CommandError(
            f"Node.js is not installed. Install version {wanted} or newer (with npm), then "
            "run `make up` again."
        )
    said = run_version(program)
    match = re.match(r"v(\d+)\.(\d+)\.", said)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_NODE:
        raise CommandError(
            f"Cattery needs Node.js {wanted} or newer; {program} is {said or 'unusable'}. "
            "Install a newer one, then run `make up` again."
        )
    return said


def require_port(settings: UpSettings) -> None:
    """Check that the users' port is free.

    Raises:
        CommandError: another process listens there, or this user may not.
    """
    if is_free(settings.host, settings.port):
        return
    if settings.port < 1024:
        raise CommandError(
            f"Port {settings.port} cannot be used by this user, or is taken. "
            "Choose another: CATTERY_PORT=8080"
        )
    raise CommandError(
        f"Port {settings.port} is taken by {describe_holder(settings.port)}. Stop it, or choose "
        f"another port: CATTERY_PORT={settings.port + 1}"
    )


def run_version(program: str) -> str:
    """Return the first line that `program --version` prints; empty where it does not run."""
    try:
        result = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip().partition("\n")[0] if result.returncode == 0 else ""
