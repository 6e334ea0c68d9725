"""The environment of a sandboxed harness, built by allow-list (design: O18).

Nothing of the platform's own environment comes in by itself. Later parts win over earlier ones:
what every program needs, then the user's variables, then the platform's settings and those of the
harness's launch.
"""

import re
from collections.abc import Mapping

from cattery.errors import SandboxSetupError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "PWD",
        "TMPDIR",
        "TMP",
        "TEMP",
        "BASH_ENV",
        "ENV",
        "IFS",
        "NODE_OPTIONS",
        "BUN_OPTIONS",
        "MODEL",
        "PORT",
        "HARNESS_ID",
        "PROJECT_ID",
    }
)
_RESERVED_PATTERN = re.compile(
    r"LD_.*|GLIBC_TUNABLES|XDG_.*|CATTERY_.*|(HTTPS?|ALL|NO|FTP)_PROXY"
    r"|(ANTHROPIC|OPENAI)_(BASE_URL|API_KEY|AUTH_TOKEN)",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_SECRET_LENGTH = 8
"""Shorter values are not blanked out of logs: they would take half of the words with them."""


def is_valid_name(name: str) -> bool:
    """Tell whether an environment variable can have this name."""
    return _NAME.fullmatch(name) is not None


def is_reserved(name: str) -> bool:
    """Tell whether a variable is the platform's: a user's value for it is not used."""
    return name in _RESERVED or _RESERVED_PATTERN.fullmatch(name) is not None


def build_environment(
    *, base: Mapping[str, str], user: Mapping[str, str], platform: Mapping[str, str]
) -> dict[str, str]:
    """Put a harness's environment together.

    Raises:
        SandboxSetupError: a user's variable cannot be passed to a program at all.
    """
    for name, value in user.items():
        if not is_valid_name(name) or "\0" in value:
            raise SandboxSetupError(
                f"The environment variable {name[:100]!r} of this harness cannot be used: a name "
                "has letters, digits and _ only and begins with no digit, a value has no NUL. "
                "Correct the harness's variables."
            )
    kept = {name: value for name, value in user.items() if not is_reserved(name)}
    return {**base, **kept, **platform}


def find_secrets(user: Mapping[str, str]) -> list[str]:
    """List the values of a user's variables that by their names are secrets."""
    return [
        value
        for name, value in user.items()
        if len(value) >= _SECRET_LENGTH and _SECRET_NAME.search(name)
    ]
