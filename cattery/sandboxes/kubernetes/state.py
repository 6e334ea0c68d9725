"""All that the worker knows of its namespace, kept by one watch a kind for the whole process.

Whoever waits for something waits here: it looks at the mirrors, and is woken when an object that it
named has changed. A change wakes only those who wait for that object, so a thousand sandboxes can
start at the same time.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.mirror import EventBoard, Follower, Mirror
from cattery.sandboxes.kubernetes.views import (
    ClaimView,
    EventView,
    PodView,
    SandboxView,
    parse_claim,
    parse_pod,
    parse_sandbox,
)
from cattery.sandboxes.kubernetes.watching import WatchTiming

OURS: Final = "app.kubernetes.io/part-of=cattery"
OUR_PREFIX: Final = "cattery-"
"""Of the names of everything that we make; events have no labels of their own."""
RECHECK_SECONDS: Final = 5.0
"""Some things ripen by time alone, such as a wait that has become too long."""


class ClusterState:
    """The sandboxes, pods, claims and events of the namespace as they are now."""

    def __init__(self, api: ClusterApi, *, timing: WatchTiming | None = None) -> None:
        self.sandboxes: Mirror[SandboxView] = Mirror(
            api, Kind.SANDBOX, parse_sandbox, labels=OURS, timing=timing, hear=self._tell
        )
        self.pods: Mirror[PodView] = Mirror(
            api, Kind.POD, parse_pod, labels=OURS, timing=timing, hear=self._tell
        )
        self.claims: Mirror[ClaimView] = Mirror(
            api, Kind.CLAIM, parse_claim, labels=OURS, timing=timing, hear=self._wake
        )
        self._events = EventBoard(api, OUR_PREFIX, timing=timing, hear=self._wake)
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._subscribers: dict[object, Callable[[str], None]] = {}

    @property
    def synced(self) -> bool:
        """Whether all of it is the present, and not what was there before an outage."""
        return all(follower.synced for follower in self._followers)

    async def start(self) -> None:
        """Follow from now on; return once everything is there.

        Raises:
            SandboxError: the cluster could not be read. Nothing goes on; start again.
        """
        starts = [asyncio.create_task(follower.start()) for follower in self._followers]
        try:
            await asyncio.gather(*starts)
        except BaseException:
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Follow no longer; what is held stays, and grows old."""
        for follower in self._followers:
            await follower.stop()

    def events_about(self, *names: str) -> list[EventView]:
        """Return what the cluster said lately of some objects, the oldest first."""
        return self._events.about(names)

    async def wait_for[T](
        self, look: Callable[[], T | None], *, about: Collection[str], timeout: float
    ) -> T:
        """Wait until there is something to see.

        Args:
            look: returns it, or `None` as long as there is nothing. Called at once, after every
                change of an object that is named, and every few seconds.
            about: names of the objects, and of the objects of the events, that matter.
            timeout: seconds after which to give up.

        Raises:
            TimeoutError: there was nothing to see in time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        woken = asyncio.Event()
        for name in about:
            self._waiting[name].add(woken)
        try:
            while (found := look()) is None:
                left = until - loop.time()
                if left <= 0:
                    raise TimeoutError
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, RECHECK_SECONDS)):
                        await woken.wait()
                woken.clear()
            return found
        finally:
            for name in about:
                self._forget(name, woken)

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Tell the name of every sandbox that changes, or whose pod does, until unsubscribed.

        Returns:
            What ends it.
        """
        key = object()
        self._subscribers[key] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(key, None)

        return unsubscribe

    @property
    def _followers(self) -> tuple[Follower, ...]:
        return (self.sandboxes, self.pods, self.claims, self._events)

    def _tell(self, name: str) -> None:
        self._wake(name)
        for callback in tuple(self._subscribers.values()):
            callback(name)

    def _wake(self, name: str) -> None:
        for woken in self._waiting.get(name, ()):
            woken.set()

    def _forget(self, name: str, woken: asyncio.Event) -> None:
        waiting = self._waiting.get(name)
        if waiting is not None:
            waiting.discard(woken)
            if not waiting:
                del self._waiting[name]
