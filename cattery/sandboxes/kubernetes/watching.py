"""Hears of all changes of one kind for as long as the process lives, whatever happens to a watch.

In three layers, each of which is whole without the next:

- `ClusterApi.watch` is one request: it ends when the server ends it, and fails when it breaks.
- `follow` goes on from where a request ended, and lists again where the server no longer has what
  came since (410). It fails when anything else does.
- `follow_forever` never fails: it begins again, with a back-off and jitter, and tells of outages.

A connection can be dead without a sign of it. So the server is asked to end each watch soon, and
one that outlives that is given up; after any fault everything is listed anew. Together they make
the state right again within a minute of any fault.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import structlog

from cattery.errors import SandboxError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind, Listing, WatchLine
from cattery.sandboxes.kubernetes.failures import ClusterUnreachableError, WatchExpiredError
from cattery.sandboxes.kubernetes.reading import as_object, as_text

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """How watches are renewed and begun again.

    Attributes:
        lasting: how long one request goes on; up to a quarter less, so that not all end at once.
        brief: a watch that ends sooner than this without a word was not served at all.
        first_delay: of the back-off after a fault, which doubles up to `longest_delay`.
    """

    lasting: timedelta = timedelta(seconds=40)
    brief: timedelta = timedelta(seconds=1)
    first_delay: timedelta = timedelta(milliseconds=200)
    longest_delay: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Outage:
    """Nothing is heard for now. What follows is a `Listing`."""

    error: SandboxError


type News = Listing | WatchLine
"""A `Listing` replaces all that was known; a line changes one object, or is a bookmark."""


async def follow(
    api: ClusterApi, kind: Kind, *, labels: str = "", timing: WatchTiming
) -> AsyncGenerator[News, None]:
    """List, then tell of every change, for ever; list again where the past is no longer kept.

    Raises:
        SandboxError: a request failed; what was told until then is true.
    """
    expired = 0
    while True:
        listing = await api.list(kind, labels=labels)
        yield listing
        version = listing.resource_version
        try:
            while True:
                began = asyncio.get_running_loop().time()
                lasting = timing.lasting * random.uniform(0.75, 1)  # noqa: S311 - spreads load
                lines = api.watch(kind, labels=labels, resource_version=version, lasting=lasting)
                heard = False
                async with aclosing(lines):
                    async for line in lines:
                        heard, expired = True, 0
                        version = version_of(line.item) or version
                        yield line
                _expect_service(kind, began, timing, heard=heard)
        except WatchExpiredError as error:
            expired += 1
            if expired > 1:
                raise ClusterUnreachableError(
                    f"The cluster forgets {kind.nouns} faster than they can be listed."
                ) from error
            log.info("watch_expired", kind=kind.plural)


async def follow_forever(
    api: ClusterApi, kind: Kind, *, labels: str = "", timing: WatchTiming
) -> AsyncGenerator[News | Outage, None]:
    """Follow, and begin again after every failure, for ever."""
    failures = 0
    while True:
        news = follow(api, kind, labels=labels, timing=timing)
        try:
            async with aclosing(news):
                async for item in news:
                    if isinstance(item, WatchLine):
                        failures = 0
                    yield item
        except SandboxError as error:
            failures += 1
            delay = _delay(timing, failures)
            log.warning(
                "watch_failed", kind=kind.plural, error=error.message, again_in=round(delay, 2)
            )
            yield Outage(error)
            await asyncio.sleep(delay)


def version_of(item: JsonObject) -> str:
    """Return an object's resource version; empty where it has none."""
    return as_text(as_object(item.get("metadata")).get("resourceVersion"))


def name_of(item: JsonObject) -> str:
    """Return an object's name; empty where it has none."""
    return as_text(as_object(item.get("metadata")).get("name"))


def is_newer(version: str, than: str) -> bool:
    """Whether a resource version comes after another; where they are no numbers, if it differs.

    Versions of a kind's objects and lists may be compared with each other, see
    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    """
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than


def _expect_service(kind: Kind, began: float, timing: WatchTiming, *, heard: bool) -> None:
    lasted = asyncio.get_running_loop().time() - began
    if not heard and lasted < min(timing.brief, timing.lasting / 2).total_seconds():
        raise ClusterUnreachableError(f"The cluster ends every watch of {kind.nouns} at once.")


def _delay(timing: WatchTiming, failures: int) -> float:
    longest = timing.longest_delay.total_seconds()
    delay: float = min(timing.first_delay.total_seconds() * 2 ** min(failures - 1, 16), longest)
    return delay * random.uniform(0.5, 1)  # noqa: S311 - spreads load
