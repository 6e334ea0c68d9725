"""Password hashes: argon2id, off the event loop, a few at a time.

One hash takes 64 MiB and a tenth of a second; the semaphore keeps a storm of sign-ins from eating
the machine. A user who does not exist costs the same as one whose password is wrong.
"""

import asyncio
from asyncio import Semaphore

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher

from cattery.errors import BadRequestError

MIN_LENGTH = 8
MAX_LENGTH = 1024
CONCURRENT_HASHES = 2


class Passwords:
    """Makes and checks password hashes."""

    def __init__(self, hasher: HasherProtocol | None = None) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._slots = Semaphore(CONCURRENT_HASHES)
        self._decoy = self._hash.hash("a password that nobody has")

    async def hash(self, password: str) -> str:
        """Hash a new password."""
        async with self._slots:
            return await asyncio.to_thread(self._hash.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Compare a password with a stored hash; without one take as long and say no."""
        candidate = password if len(password) <= MAX_LENGTH else ""
        async with self._slots:
            matches = await asyncio.to_thread(self._matches, candidate, stored or self._decoy)
        return matches and stored is not None and candidate == password

    def _matches(self, password: str, stored: str) -> bool:
        try:
            return self._hash.verify(password, stored)
        except UnknownHashError:  # what no hasher of ours made, no password opens
            return False


def check_new_password(password: str) -> None:
    """Refuse a new password that is too short or absurdly long.

    Raises:
        BadRequestError: under 8 or over 1,024 characters.
    """
    if len(password) < MIN_LENGTH:
        raise BadRequestError(f"A password has at least {MIN_LENGTH} characters. Choose another.")
    if len(password) > MAX_LENGTH:
        raise BadRequestError(f"A password has at most {MAX_LENGTH:,} characters. Choose another.")
