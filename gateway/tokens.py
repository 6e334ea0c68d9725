"""Who a sandbox token belongs to, asked of a verifier and remembered for a few seconds.

The memory keeps a busy gateway from asking the database for every request, and is short enough
that a revoked token is worthless within five seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from cattery.auth.sandbox_tokens import SandboxPrincipal, hash_token, looks_like_token

MAX_REMEMBERED = 4096
"""Tokens kept in memory at once; past it the one that was asked for longest ago goes."""


class TokenVerifier(Protocol):
    """Knows which sandbox tokens are valid at this moment."""

    async def verify(self, token: str) -> SandboxPrincipal | None:
        """Return the sandbox of a token, or `None` if it is unknown, revoked or expired.

        Raises any exception where it cannot tell; the gateway then lets nothing new in.
        """


@dataclass(frozen=True, slots=True)
class _Verdict:
    principal: SandboxPrincipal | None
    at: float


class RememberingVerifier:
    """A verifier that asks another one at most once per token and `lifetime`."""

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        lifetime: timedelta,
        clock: Callable[[], float] = time.monotonic,
        capacity: int = MAX_REMEMBERED,
    ) -> None:
        self._verifier = verifier
        self._lifetime = lifetime.total_seconds()
        self._clock = clock
        self._capacity = capacity
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()

    async def verify(self, token: str) -> SandboxPrincipal | None:
        """Return the sandbox of a token, from memory if the answer there is young enough."""
        if not looks_like_token(token):
            return None
        remembered = self._verdicts.get(hash_token(token))
        if remembered and self._clock() - remembered.at < self._lifetime:
            return remembered.principal
        return await self.verify_now(token)

    async def verify_now(self, token: str) -> SandboxPrincipal | None:
        """Ask the verifier whatever the memory says, and remember its answer.

        The answer counts from when it was asked for, so a slow one is not believed for longer.
        """
        asked_at = self._clock()
        principal = await self._verifier.verify(token)
        key = hash_token(token)
        self._verdicts[key] = _Verdict(principal, asked_at)
        self._verdicts.move_to_end(key)
        while len(self._verdicts) > self._capacity:
            self._verdicts.popitem(last=False)
        return principal
