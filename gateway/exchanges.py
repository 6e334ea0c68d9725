"""The requests that are open right now, each of which can be ended from outside.

An exchange ends early because one step took too long, because its token was revoked, or because
the gateway stops. All three go through one timer per exchange, so there is one way to be ended
and one error that says why.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import structlog

from cattery.auth.sandbox_tokens import SandboxPrincipal
from cattery.ids import HarnessId
from gateway.failures import (
    BadTokenError,
    ClosingError,
    GatewayError,
    TooManyRequestsError,
    VerifierDownError,
)
from gateway.tokens import RememberingVerifier

log = structlog.stdlib.get_logger(__name__)

MAX_OPEN_PER_SANDBOX = 32
"""Far more than an agent with its children needs, far less than would hurt the others."""

VERIFIER_GRACE = timedelta(seconds=30)
"""How long open streams outlive a verifier that does not answer, such as a database restart."""


class Exchange:
    """One request, from its valid token to the last byte of its answer."""

    def __init__(self, token: str, principal: SandboxPrincipal) -> None:
        self.principal = principal
        self.token = token
        self._timer: asyncio.Timeout | None = None
        self._why: GatewayError | None = None
        self._is_ended = False

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Run the block until it is done or the exchange is ended.

        Raises:
            GatewayError: why it was ended, once the block has been cancelled.
        """
        try:
            async with asyncio.timeout(None) as self._timer:
                if self._is_ended:
                    self._expire()
                yield
        except TimeoutError:
            if self._timer is None or not self._timer.expired() or self._why is None:
                raise
            raise self._why from None

    def expect(self, within: float, otherwise: GatewayError) -> None:
        """Give the block's next step so many seconds, in place of what the last step had."""
        if self._is_ended or self._timer is None or self._timer.expired():
            return
        self._why = otherwise
        self._timer.reschedule(asyncio.get_running_loop().time() + within)

    def end(self, why: GatewayError) -> None:
        """End the exchange now; the first reason stands."""
        if self._is_ended or (self._timer is not None and self._timer.expired()):
            return
        self._is_ended = True
        self._why = why
        self._expire()

    def _expire(self) -> None:
        if self._timer is not None:
            self._timer.reschedule(asyncio.get_running_loop().time())


class OpenExchanges:
    """All open exchanges: counts them, re-checks their tokens, drains them at the end."""

    def __init__(self, verifier: RememberingVerifier, *, limit: int = MAX_OPEN_PER_SANDBOX) -> None:
        self._verifier = verifier
        self._limit = limit
        self._open: set[Exchange] = set()
        self._by_harness: Counter[HarnessId] = Counter()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self._is_closing = False
        self._verifier_lost_at: float | None = None

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def open(self, token: str, principal: SandboxPrincipal) -> Iterator[Exchange]:
        """Count one more exchange in for as long as the block runs.

        Raises:
            ClosingError: the gateway is stopping.
            TooManyRequestsError: the sandbox has its limit open already.
        """
        if self._is_closing:
            raise ClosingError
        if self._by_harness[principal.harness_id] >= self._limit:
            raise TooManyRequestsError(self._limit)
        exchange = Exchange(token, principal)
        self._open.add(exchange)
        self._by_harness[principal.harness_id] += 1
        self._all_closed.clear()
        try:
            yield exchange
        finally:
            self._open.discard(exchange)
            self._by_harness[principal.harness_id] -= 1
            if not self._by_harness[principal.harness_id]:
                del self._by_harness[principal.harness_id]
            if not self._open:
                self._all_closed.set()

    async def keep_checking(self, interval: timedelta) -> None:
        """Re-check the tokens of open exchanges for ever, every `interval`."""
        while True:
            await asyncio.sleep(interval.total_seconds())
            await self.check_tokens()

    async def check_tokens(self) -> None:
        """Ask the verifier about every token in use, and end the exchanges of invalid ones."""
        tokens = {exchange.token for exchange in self._open}
        await asyncio.gather(*(self._check(token) for token in tokens))

    async def drain(self, patience: timedelta) -> None:
        """Let no new exchange in, give open ones some time, then end them with the reason."""
        self._is_closing = True
        await self._wait_closed(patience.total_seconds())
        for exchange in list(self._open):
            exchange.end(ClosingError())
        await self._wait_closed(_FAREWELL_SECONDS)

    async def _check(self, token: str) -> None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                principal = await self._verifier.verify_now(token)
        except Exception as error:  # noqa: BLE001 - a verifier may fail in any way; see VERIFIER_GRACE
            self._bear_lost_verifier(token, error)
            return
        self._verifier_lost_at = None
        if principal is None:
            self._end_all_of(token, BadTokenError())

    def _bear_lost_verifier(self, token: str, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._verifier_lost_at is None:
            self._verifier_lost_at = now
            log.warning("token_check_failed", error=type(error).__name__)
        elif now - self._verifier_lost_at > VERIFIER_GRACE.total_seconds():
            self._end_all_of(token, VerifierDownError())

    def _end_all_of(self, token: str, why: GatewayError) -> None:
        for exchange in [e for e in self._open if e.token == token]:
            log.info(
                "exchange_ended", harness_id=str(exchange.principal.harness_id), reason=why.code
            )
            exchange.end(why)

    async def _wait_closed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._all_closed.wait()
        except TimeoutError:
            return


_CHECK_SECONDS = 1.5
"""One look-up; with the interval between checks it stays under the promised five seconds."""
_FAREWELL_SECONDS = 2.0
"""Time to write the last error event to clients that still read."""
