"""The objects of one kind as they are now, kept by a watch: looking costs nothing.

A mirror never goes backwards. What a call of our own returned (`take`) may be newer or older than
what the watch has told, and a list may be older than both; each object is kept by its resource
version.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, override

import structlog

from cattery.errors import SandboxError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind, Listing, WatchType
from cattery.sandboxes.kubernetes.views import EventView, parse_event
from cattery.sandboxes.kubernetes.watching import (
    News,
    Outage,
    WatchTiming,
    follow_forever,
    is_newer,
    name_of,
    version_of,
)

log = structlog.get_logger(__name__)

EVENTS_AN_OBJECT: Final = 50
OBJECTS_WITH_EVENTS: Final = 4_000
"""Events are of the last hour; beyond this many objects the longest untouched are let go."""

type Hear = Callable[[str], None]


class Follower(ABC):
    """Follows one kind in a task of its own; what it does with the news is its subclass's."""

    def __init__(self, api: ClusterApi, kind: Kind, labels: str, timing: WatchTiming) -> None:
        self._api = api
        self._kind = kind
        self._labels = labels
        self._timing = timing
        self._task: asyncio.Task[None] | None = None
        self._synced = False

    @property
    def synced(self) -> bool:
        """Whether what is held is the present: listed, and no outage since."""
        return self._synced

    async def start(self) -> None:
        """Follow from now on; return once everything is there.

        Raises:
            SandboxError: it could not be listed. Nothing goes on; start again.
        """
        if self._task is not None:
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(ready), name=f"follow-{self._kind.plural}")
        try:
            await ready
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Follow no longer; what is held stays, and grows old."""
        task, self._task, self._synced = self._task, None, False
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, ready: asyncio.Future[None]) -> None:
        news = follow_forever(self._api, self._kind, labels=self._labels, timing=self._timing)
        try:
            async for item in news:
                if isinstance(item, Outage):
                    self._synced = False
                    if not ready.done():
                        ready.set_exception(item.error)
                    continue
                is_understood = self._take_up(item)
                if isinstance(item, Listing):
                    self._synced = is_understood
                    if not ready.done() and is_understood:
                        ready.set_result(None)
                    elif not ready.done():
                        ready.set_exception(self._not_understood())
        finally:
            self._synced = False
            await news.aclose()

    def _take_up(self, news: News) -> bool:
        """Take up what was told; false where it was not understood, which is logged."""
        try:
            self._hear_of(news)
        except Exception:
            log.exception("cluster_news_not_understood", kind=self._kind.plural)
            return False
        return True

    def _not_understood(self) -> SandboxError:
        return SandboxError(
            f"What the cluster lists as {self._kind.plural} was not understood, so nothing is "
            "known of them. The worker's log says more."
        )

    @abstractmethod
    def _hear_of(self, news: News) -> None:
        """Take up what was told."""


class Mirror[V](Follower):
    """All objects of a kind, by name, as views."""

    def __init__(
        self,
        api: ClusterApi,
        kind: Kind,
        parse: Callable[[JsonObject], V],
        *,
        labels: str = "",
        timing: WatchTiming | None = None,
        hear: Hear | None = None,
    ) -> None:
        """Mirror a kind.

        Args:
            api: where from.
            kind: of what.
            parse: makes the view that is kept of an object.
            labels: a selector; without one, all.
            timing: of its watches.
            hear: called with the name of every object that came, changed or went.
        """
        super().__init__(api, kind, labels, timing or WatchTiming())
        self._parse = parse
        self._hear = hear
        self._views: dict[str, V] = {}
        self._versions: dict[str, str] = {}
        self._heard = ""
        """The version up to which everything is known: what is missing then is gone."""

    def get(self, name: str) -> V | None:
        """Return an object as it is now, or `None` where there is none."""
        return self._views.get(name)

    def values(self) -> tuple[V, ...]:
        """Return all objects."""
        return tuple(self._views.values())

    def take(self, raw: JsonObject) -> None:
        """Take up what a call returned, so that it is seen here before the watch tells of it."""
        self._put(raw, told=False)

    @override
    def _hear_of(self, news: News) -> None:
        if isinstance(news, Listing):
            self._replace(news)
        elif news.type is WatchType.DELETED:
            self._drop(name_of(news.item), version_of(news.item))
            self._advance(version_of(news.item))
        else:
            if news.type is not WatchType.BOOKMARK:
                self._put(news.item, told=False)
            self._advance(version_of(news.item))

    def _replace(self, listing: Listing) -> None:
        version = listing.resource_version
        if self._heard and is_newer(self._heard, version) and not is_newer(version, self._heard):
            log.warning("cluster_went_back", kind=self._kind.plural, version=version)
            self._versions = dict.fromkeys(self._versions, "0")  # it was restored from a backup
            self._heard = version
        for item in listing.items:
            self._put(item, told=True)
        for name in self._views.keys() - {name_of(item) for item in listing.items}:
            self._drop(name, version)
        self._advance(version)

    def _advance(self, version: str) -> None:
        if not self._heard or is_newer(version, self._heard):
            self._heard = version

    def _put(self, item: JsonObject, *, told: bool) -> None:
        """Keep an object unless a newer state of it is known; `told`: it is known to exist."""
        name, version = name_of(item), version_of(item)
        known = self._versions.get(name)
        if known is None and not told and self._heard and not is_newer(version, self._heard):
            return  # gone since
        if known is not None and not is_newer(version, known):
            return
        self._views[name] = self._parse(item)
        self._versions[name] = version
        self._tell(name)

    def _drop(self, name: str, version: str) -> None:
        known = self._versions.get(name)
        if known is None or (known != version and is_newer(known, version)):
            return  # made again since, or never known
        del self._views[name], self._versions[name]
        self._tell(name)

    def _tell(self, name: str) -> None:
        if self._hear is not None:
            self._hear(name)


class EventBoard(Follower):
    """What the cluster said lately of our objects, by their names; bounded."""

    def __init__(
        self, api: ClusterApi, prefix: str, *, timing: WatchTiming | None = None, hear: Hear
    ) -> None:
        super().__init__(api, Kind.EVENT, "", timing or WatchTiming())
        self._prefix = prefix
        self._hear = hear
        self._by_name: OrderedDict[str, dict[str, EventView]] = OrderedDict()

    def about(self, names: Iterable[str]) -> list[EventView]:
        """Return the events about some objects, the oldest first."""
        found = [event for name in names for event in self._by_name.get(name, {}).values()]
        return sorted(found, key=lambda event: event.at)

    @override
    def _hear_of(self, news: News) -> None:
        if isinstance(news, Listing):
            self._replace([parse_event(item) for item in news.items])
        elif news.type is WatchType.DELETED:
            self._drop(parse_event(news.item))
        elif news.type is not WatchType.BOOKMARK and self._put(event := parse_event(news.item)):
            self._hear(event.about_name)

    def _drop(self, event: EventView) -> None:
        kept = self._by_name.get(event.about_name, {})
        kept.pop(event.key, None)
        if not kept:
            self._by_name.pop(event.about_name, None)

    def _replace(self, events: Iterable[EventView]) -> None:
        before, self._by_name = self._by_name, OrderedDict()
        for event in events:
            self._put(event)
        for name in before.keys() | self._by_name.keys():
            if before.get(name) != self._by_name.get(name):
                self._hear(name)

    def _put(self, event: EventView) -> bool:
        name = event.about_name
        if not name.startswith(self._prefix):
            return False
        kept = self._by_name.setdefault(name, {})
        self._by_name.move_to_end(name)
        kept.pop(event.key, None)
        kept[event.key] = event
        if len(kept) > EVENTS_AN_OBJECT:
            kept.pop(min(kept, key=lambda key: kept[key].at))
        if len(self._by_name) > OBJECTS_WITH_EVENTS:
            self._by_name.popitem(last=False)
        return True
