"""Moves on the time at which the cluster ends sandboxes by itself (`spec.shutdownTime`).

As long as a worker lives, that time never comes. Where none does any more, nobody would suspend
what is idle, and pods would run and cost for ever.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Final
from zlib import crc32

import structlog

from cattery.errors import SandboxError
from cattery.ids import HarnessId
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.ending import change
from cattery.sandboxes.kubernetes.failures import PatchConflictError
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import SandboxView
from cattery.sandboxes.names import harness_of

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20
"""Sandboxes that one call extends; the next goes on. Sweeps come every 15 seconds, so that is
more than 2,000 in half an hour."""
RENEWED: Final = 0.7
SPREAD: Final = 0.1
"""The part of a lease that is left when it is extended, and by how much that differs from sandbox
to sandbox: a thousand that were started together are not extended together for ever."""


class Leases:
    """Extends the leases of one namespace.

    Args:
        api: the cluster.
        state: its mirrors, started.
        span: how long a sandbox may run with nobody there; 0: for ever, and nothing is written.
    """

    def __init__(self, api: ClusterApi, state: ClusterState, span: timedelta) -> None:
        self._api = api
        self._state = state
        self._span = span

    async def extend(self, harness_ids: Collection[HarnessId], now: datetime) -> int:
        """Extend the leases among these that are due, those first that end soonest.

        Raises:
            SandboxError: the cluster does not answer.
        """
        if not self._span:
            return 0
        wanted = frozenset(harness_ids)
        due = [
            view
            for view in self._state.sandboxes.values()
            if harness_of(view.labels) in wanted and self._is_due(view, now)
        ]
        due.sort(key=lambda view: view.shutdown_at or now)
        for view in due[:AT_ONCE]:
            await self._extend(view, now)
        return min(len(due), AT_ONCE)

    def _is_due(self, view: SandboxView, now: datetime) -> bool:
        if view.suspended or view.deleting_at is not None or view.has_expired(now):
            return False
        left = (RENEWED + SPREAD * crc32(view.uid.encode()) / 2**32) * self._span
        return view.shutdown_at is None or view.shutdown_at - now < left

    async def _extend(self, view: SandboxView, now: datetime) -> None:
        """Write the new time, unless the sandbox was stopped or started anew since it was read."""
        until = (now + self._span).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        operations = (
            ("test", "/spec/operatingMode", "Running"),
            ("add", "/spec/shutdownTime", until),
            ("add", "/spec/shutdownPolicy", "Retain"),
        )
        try:
            patched = await self._api.patch(Kind.SANDBOX, view.name, change(view, *operations))
        except PatchConflictError:
            return  # somebody stops it or starts it: it is looked at again
        except SandboxError as error:
            log.warning("lease_not_extended", sandbox=view.name, error=error.message)
            raise
        if patched is not None:
            self._state.sandboxes.take(patched)
