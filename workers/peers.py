"""Notices within seconds that another worker has died, and has its turns taken over at once.

Temporal learns of a dead worker from heartbeats that fail to come. Each heartbeat of each running
turn is a write there, so they cannot be frequent; and people look at the turn that stands still. So
each worker raises one count in the database, however many turns it runs, and watches those of the
others. The attempts of one whose count stands still are failed in its name, and Temporal gives them
to the next. It may give them to the dead one once more, since a poll that it left open takes a task
along; so that is looked for as long as a poll can last, or until the worker counts on. One that
ended in order is treated alike.

A worker is held dead by one that saw its count stand still for `PATIENCE` while it could itself
count all the time. No clocks are compared, and neither a database that was away nor a machine that
was too busy for the watcher makes anybody dead. One that lives may be held dead all the same; what
its attempt writes after the next has begun is refused (`cattery.db.fences`), and
`activities.turn_stream` sees to it that no prompt is posted twice. Where nobody is left to notice,
the heartbeat's time-out remains.
"""

import asyncio
from asyncio import sleep
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError

from cattery.db.engine import Database
from cattery.db.worker_beats import beat, forget, list_left_sessions
from cattery.ids import SessionId
from cattery.temporal.client import is_unknown_workflow
from cattery.temporal.naming import session_workflow

log = structlog.get_logger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two beats."""
PATIENCE: Final = 4.0
"""Seconds for which a count may stand still."""
WORKER_GONE: Final = "worker_gone"
"""Failure type of an attempt whose worker is dead; another takes over."""
_RETRY_DELAY = timedelta(milliseconds=50)
_AT_ONCE = 20
_RPC_TIMEOUT = timedelta(seconds=5)
_OPEN_POLLS: Final = 75.0
"""Seconds for which Temporal may hold a poll of a worker that is gone: one lasts a minute."""
_LOOK_AGAIN: Final = 1.5
"""Seconds between looks for tasks that such a poll took."""
_LONGEST_DELAY: Final = 32.0
"""Seconds between tries while Temporal or the database is away: it doubles up to this."""


@asynccontextmanager
async def watching_peers(
    client: Client, database: Database, worker: str, stopping: set[SessionId]
) -> AsyncIterator[None]:
    """Show that this worker lives, and watch the others, while the body runs.

    `worker` is its name in the database and its identity in Temporal. `stopping` is kept as the set
    of sessions whose turn this worker has and somebody asked to stop.
    """
    peers = Peers(client, database, worker, stopping)
    watching = asyncio.create_task(peers.watch(), name="peers")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Seen:
    beats: int
    since: float


class Pulse:
    """Judges from counts, read one after the other, which workers are dead. No input or output."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looked_at = 0.0

    def judge(self, counts: Mapping[str, int], now: float) -> list[tuple[str, int]]:
        """Return who has stood still for too long, and at which count.

        Args:
            counts: of every other worker.
            now: seconds of a clock that only goes forward.
        """
        was_away = now - self._looked_at > PATIENCE / 2
        self._looked_at = now
        known = {} if was_away else self._seen
        self._seen = {
            worker: seen
            if (seen := known.get(worker)) and seen.beats == beats
            else _Seen(beats, now)
            for worker, beats in counts.items()
        }
        return [
            (worker, seen.beats)
            for worker, seen in self._seen.items()
            if now - seen.since >= PATIENCE
        ]


class Peers:
    """Watches the other workers of one installation."""

    def __init__(
        self, client: Client, database: Database, worker: str, stopping: set[SessionId]
    ) -> None:
        self._stopping = stopping
        self._client = client
        self._database = database
        self._worker = worker
        self._pulse = Pulse()
        self._counted: frozenset[str] = frozenset()
        """Who was on the list at the last look."""

    async def watch(self) -> None:
        """Beat and look for ever."""
        async with asyncio.TaskGroup() as releases:
            while True:
                try:
                    look = await beat(self._database, self._worker)
                    self._stopping.clear()
                    self._stopping |= look.stopping
                    self._counted = frozenset(look.counts)
                    for peer, beats in self._pulse.judge(look.counts, monotonic()):
                        if await forget(self._database, peer, beats):
                            self._counted -= {peer}
                            releases.create_task(self._release(peer))
                except Exception as error:  # noqa: BLE001 - whatever is away comes back
                    log.info("peers_not_seen", error=repr(error))
                await sleep(INTERVAL)

    async def _release(self, peer: str) -> None:
        """Fail every attempt that a dead worker was at, or is handed, so that others go on."""
        log.info("worker_gone", worker=peer)
        last_look = monotonic() + _OPEN_POLLS
        delay = _LOOK_AGAIN
        while True:
            try:
                if released := await self._release_once(peer):
                    log.warning("turns_released", worker=peer, attempts=released)
            except Exception as error:  # noqa: BLE001 - whatever is away comes back
                log.warning("turns_not_released", worker=peer, error=repr(error))
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                delay = _LOOK_AGAIN
                if peer in self._counted or monotonic() > last_look:
                    return
            await sleep(delay)

    async def _release_once(self, peer: str) -> int:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def release(session_id: SessionId) -> int:
            async with slots:
                return await self._release_session(peer, session_id)

        sessions = await list_left_sessions(self._database, peer)
        return sum(await asyncio.gather(*map(release, sessions)))

    async def _release_session(self, peer: str, session_id: SessionId) -> int:
        workflow_id = session_workflow(session_id)
        failure = ApplicationError(
            f"Worker {peer} is gone; another one goes on.",
            type=WORKER_GONE,
            category=ApplicationErrorCategory.BENIGN,
            next_retry_delay=_RETRY_DELAY,
        )
        released = 0
        try:
            handle = self._client.get_workflow_handle(workflow_id)
            described = await handle.describe(rpc_timeout=_RPC_TIMEOUT)
            for pending in described.raw_description.pending_activities:
                is_started = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
                if not is_started or pending.last_worker_identity != peer:
                    continue
                attempt = self._client.get_async_activity_handle(
                    workflow_id=workflow_id,
                    run_id=described.run_id,
                    activity_id=pending.activity_id,
                )
                await attempt.fail(failure, rpc_timeout=_RPC_TIMEOUT)
                released += 1
        except RPCError as error:
            if not is_unknown_workflow(error):  # it has ended, or was not begun
                raise
        return released
