"""The rights of open streams: checked again after any change, for all of a process together.

A stream outlives the request that opened it, so it looks again and again whether its reader may
still read. Thousands of streams look at the same change: those that ask while a check runs are
answered by the next one, which is one statement for all of them, and streams that rest on the same
claim share its answer.
"""

import asyncio
import random
from dataclasses import dataclass
from time import monotonic
from weakref import WeakValueDictionary

from cattery.auth.access import Caller
from cattery.db.engine import Database
from cattery.db.standings import Claim, Standing, find_standings
from cattery.events.hub import StreamHub
from cattery.ids import ProjectId, SessionId

RECHECK_EVERY = 40.0
"""Seconds after which rights are checked without a sign of change: sign-ins expire silently. A
stream that is idle may look a ping's time later."""
EARLIEST = 0.75
"""Of `RECHECK_EVERY`: each claim draws its own moment, so that what began together spreads."""

_UNKNOWN = Standing(signed_in=False, may_see=False)


@dataclass(slots=True, weakref_slot=True)
class _Verdict:
    """What is known of a claim; new ones are due at once."""

    standing: Standing = _UNKNOWN
    epoch: int = -1
    due_at: float = 0.0


class StandingGrant:
    """Leave to go on reading; asks the database only where something may have changed."""

    def __init__(self, rights: "StandingRights", claim: Claim, verdict: _Verdict) -> None:
        self._rights = rights
        self._claim = claim
        self._verdict = verdict

    def is_due(self) -> bool:
        """Tell whether something may have changed since the last check."""
        return self._rights.is_due(self._verdict)

    async def check(self) -> Standing:
        """Return what holds now, from a check that began no earlier than the last change."""
        if self.is_due():
            await self._rights.check(self._claim)
        return self._verdict.standing

    async def holds(self) -> bool:
        """Tell whether the reader is signed in and may see all that was granted."""
        standing = await self.check()
        return standing.signed_in and standing.may_see


class StandingRights:
    """The grants of all open streams of a process."""

    def __init__(self, database: Database, hub: StreamHub) -> None:
        self._database = database
        self._hub = hub
        self._verdicts: WeakValueDictionary[Claim, _Verdict] = WeakValueDictionary()
        """Of the grants that somebody holds."""
        self._asked: dict[Claim, _Verdict] = {}
        self._next: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    def grant(
        self,
        user: Caller,
        *,
        session_id: SessionId | None = None,
        project_id: ProjectId | None = None,
    ) -> StandingGrant:
        """Make the grant of a reader: of the sign-in alone, or to see an object too.

        It is checked at its first use: what the request that opened the stream was told may have
        changed since.
        """
        claim = Claim(user.user_id, user.auth_session_id, session_id, project_id)
        verdict = self._verdicts.get(claim)
        if verdict is None:
            verdict = self._verdicts[claim] = _Verdict()
        return StandingGrant(self, claim, verdict)

    def is_due(self, verdict: _Verdict) -> bool:
        """Tell whether a verdict is older than the last change, or simply old."""
        return verdict.epoch != self._hub.access_epoch or monotonic() >= verdict.due_at

    async def check(self, claim: Claim) -> None:
        """Have a claim that somebody holds checked, together with all that ask meanwhile."""
        self._asked[claim] = self._verdicts[claim]
        if self._next is None:
            self._next = asyncio.create_task(self._check_asked(), name="standing-rights")
        await asyncio.shield(self._next)

    async def _check_asked(self) -> None:
        async with self._one_at_a_time:
            asked, self._asked, self._next = self._asked, {}, None
            epoch, now = self._hub.access_epoch, monotonic()
            async with self._database.read() as rows:
                standings = await find_standings(rows, list(asked))
        for verdict, standing in zip(asked.values(), standings, strict=True):
            verdict.standing, verdict.epoch = standing, epoch
            verdict.due_at = now + RECHECK_EVERY * random.uniform(EARLIEST, 1)  # noqa: S311
