"""Keeps sandboxes from starting where the cluster's network does not hold them.

What the network enforces is found out once for all workers and kept in the database, where the
HTTP process reads it too. A good finding lasts a day; one that an operator is expected to act on is
looked at again soon.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from cattery.clock import utc_now
from cattery.db.engine import Database, ReadSession
from cattery.db.locks import NETWORK_CHECK, take_lock
from cattery.db.site_facts import NETWORK, SiteFact, find_fact, store_fact
from cattery.errors import CatteryError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.network_finding import NetworkFinding
from cattery.sandboxes.port import Isolation
from cattery.settings import KubernetesSettings

log = structlog.get_logger(__name__)

GOOD_FOR: Final = timedelta(hours=24)
"""A finding with nothing wrong. Networks change when somebody changes them, and doctor looks."""
BAD_FOR: Final = timedelta(minutes=5)
"""A finding that somebody has to act on."""
UNKNOWN_FOR: Final = timedelta(seconds=60)
"""A check that could not be made."""
LOOK_SECONDS: Final = 30.0
"""How often a worker looks whether the finding is due, so that no start has to wait for it."""

type Check = Callable[[], Awaitable[NetworkFinding]]
"""Checks the network now; raises a `CatteryError` where that cannot be done."""


class NetworkGate:
    """Says what the network was found to enforce; finds it out where nobody has lately.

    Args:
        database: where findings are kept for everybody.
        check: makes a check, which starts two probes.
        settings: say which namespace, and whether sandboxes start all the same.
    """

    def __init__(self, database: Database, check: Check, settings: KubernetesSettings) -> None:
        self._database = database
        self._check = check
        self._settings = settings
        self._finding_out = asyncio.Lock()

    async def __call__(self) -> Isolation:
        """Return the finding; the first call waits until there is one."""
        fact = await self._read()
        if fact is None:
            async with self._finding_out:  # so that a thousand starts hold one connection
                fact = await self._read() or await self._find_out()
        enforced, summary = fact.get("enforced"), str(fact.get("summary", ""))
        return Isolation(enforced is True, summary, known=enforced is not None)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Find out in the background, at once and whenever it is due, while the body runs."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _keep(self) -> None:
        while True:
            try:
                await self()
            except Exception as error:  # noqa: BLE001 - such as a database that is away: go on
                log.warning("network_finding_unknown", error=str(error), kind=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def _read(self) -> JsonObject | None:
        """Read a finding that still counts."""
        async with self._database.read() as session:
            return self._take(await find_fact(session, NETWORK))

    async def _find_out(self) -> JsonObject:
        """Check, one worker at a time: whoever waited for another one takes what that one found."""
        async with self._database.write() as session:
            await take_lock(session, NETWORK_CHECK)
            known = self._take(await find_fact(ReadSession(session), NETWORK))
            if known is not None:
                return known
            found = await self._make_check()
            await store_fact(session, NETWORK, found)
            return found

    async def _make_check(self) -> JsonObject:
        bound = log.bind(namespace=self._settings.namespace)
        bound.info("network_check_started")
        try:
            finding = await self._check()
        except CatteryError as error:
            log.warning(
                "network_not_checked", namespace=self._settings.namespace, error=error.message
            )
            summary = f"What the cluster's network enforces could not be checked: {error.message}"
            return write_fact({"enforced": None, "summary": summary}, self._settings)
        tell = bound.info if finding.is_well else bound.warning
        tell(
            "network_checked",
            enforced=finding.enforced,
            gateway_reached=finding.gateway_reached,
            summary=finding.summary,
        )
        return write_fact(finding.write(), self._settings)

    def _take(self, fact: SiteFact | None) -> JsonObject | None:
        """Return what a fact says, unless it is too old or was found with other settings."""
        if fact is None:
            return None
        now = (self._settings.namespace, self._settings.allow_unenforced_network)
        if (fact.value.get("namespace"), fact.value.get("allowed")) != now:
            return None
        enforced, well = fact.value.get("enforced"), fact.value.get("well")
        lasts = UNKNOWN_FOR if enforced is None else GOOD_FOR if enforced and well else BAD_FOR
        return fact.value if utc_now() - fact.found_at < lasts else None


def write_fact(found: JsonObject, settings: KubernetesSettings) -> JsonObject:
    """Return a finding as it is kept in the database for everybody."""
    summary, allowed = str(found.get("summary", "")), settings.allow_unenforced_network
    if allowed and found.get("enforced") is not True:
        summary += " Sandboxes start all the same: CATTERY_K8S_ALLOW_UNENFORCED_NETWORK is true."
    return {
        **found,
        "summary": summary,
        "allowed": allowed,
        "namespace": settings.namespace,
        "checked_at": utc_now().isoformat(),
    }
