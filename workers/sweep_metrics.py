"""Shows at every worker what the last sweep found, whichever worker swept.

A sweep runs in one worker, and Prometheus asks them all: one that has not swept for long would go
on saying what it found then. So the sweep writes down what it found, and each worker reads that.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog
from temporalio.common import MetricMeter

from activities.lost_work import Kind
from cattery.clock import utc_now
from cattery.db.engine import Database
from cattery.db.site_facts import SWEEP, SiteFact, find_fact

log = structlog.get_logger(__name__)

INTERVAL: Final = timedelta(seconds=15)


@asynccontextmanager
async def showing_sweeps(
    database: Database, meter: MetricMeter, *, interval: timedelta = INTERVAL
) -> AsyncIterator[None]:
    """Keep the gauges up to date while the body runs."""
    gauges = _Gauges(meter)
    showing = asyncio.create_task(_keep_showing(database, gauges, interval), name="sweep-metrics")
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


class _Gauges:
    def __init__(self, meter: MetricMeter) -> None:
        self._orphans = meter.create_gauge(
            "cattery_orphans", "Sandboxes that no row knows and that were not ended yet."
        )
        self._stuck = meter.create_gauge(
            "cattery_stuck", "What does not go on by itself although it was started again."
        )
        self._age = meter.create_gauge(
            "cattery_sweep_age_seconds", "Seconds since the last sweep that went well.", "s"
        )

    def show(self, fact: SiteFact) -> None:
        orphans = fact.value.get("orphans")
        self._orphans.set(orphans if isinstance(orphans, int) else 0)
        stuck = fact.value.get("stuck")
        for kind in Kind:
            count = stuck.get(kind.value) if isinstance(stuck, dict) else None
            self._stuck.set(count if isinstance(count, int) else 0, {"kind": kind.value})
        self._age.set(max(0, round((utc_now() - fact.found_at).total_seconds())))


async def _keep_showing(database: Database, gauges: _Gauges, interval: timedelta) -> None:
    while True:
        try:
            async with database.read() as rows:
                fact = await find_fact(rows, SWEEP)
            if fact is not None:
                gauges.show(fact)
        except Exception as error:  # noqa: BLE001 - a database that is away is told of elsewhere
            log.info("sweep_metrics_not_shown", error=repr(error))
        await asyncio.sleep(interval.total_seconds())
