"""The tokens that sandboxes show to the model gateway: how they are made and how they are stored.

A token is 256 random bits behind a prefix by which scanners and people recognise it. Only its
SHA-256 is ever stored: against so much entropy a slow password hash would add nothing.
"""

import hashlib
import re
import secrets
import string
from dataclasses import dataclass

from cattery.ids import HarnessId, ProjectId

TOKEN_PREFIX = "ctk_"  # noqa: S105 - the public part of every token

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BITS = 256
_LENGTH = 43  # 62**43 is just over 2**256
_FORM = re.compile(rf"{TOKEN_PREFIX}[0-9A-Za-z]{{{_LENGTH}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SandboxPrincipal:
    """The sandbox that a token belongs to, and that a model request comes from."""

    harness_id: HarnessId
    project_id: ProjectId
    generation: int
    """Counts a harness's sandboxes: a token is for one of them, not for the next."""


def new_token() -> str:
    """Make a token for one generation of one sandbox: `ctk_` and 43 base62 digits."""
    number = secrets.randbits(_BITS)
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return TOKEN_PREFIX + "".join(reversed(digits))


def hash_token(token: str) -> bytes:
    """Return the 32 bytes under which a token is stored and looked up."""
    return hashlib.sha256(token.encode()).digest()


def looks_like_token(text: str) -> bool:
    """Tell whether a text has a token's form, so that garbage never costs a look-up."""
    return _FORM.fullmatch(text) is not None
