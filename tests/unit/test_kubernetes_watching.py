"""Watches in their layers, each alone: renewed, listed again, begun again (F12)."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.sandboxes.kubernetes.api import (
    ClusterApi,
    Kind,
    Listing,
    Patience,
    WatchLine,
    WatchType,
)
from cattery.sandboxes.kubernetes.failures import ClusterForbiddenError, ClusterUnreachableError
from cattery.sandboxes.kubernetes.watching import (
    News,
    Outage,
    WatchTiming,
    follow,
    follow_forever,
    is_newer,
    name_of,
    version_of,
)
from tests.fake_cluster.cluster import SECRETS, FakeCluster
from tests.unit.cluster_site import RESTLESS, make_secret, open_api


class Told:
    """Reads news in a task of its own, and keeps it in short form."""

    def __init__(self, news: AsyncIterator[News | Outage]) -> None:
        self.news: list[str] = []
        self.task = asyncio.create_task(self._read(news))

    async def _read(self, news: AsyncIterator[News | Outage]) -> None:
        async for item in news:
            match item:
                case Listing(items):
                    self.news.append("list " + " ".join(name_of(i) for i in items))
                case WatchLine(kind, changed):
                    if kind is not WatchType.BOOKMARK:
                        self.news.append(f"{kind.value} {name_of(changed)}")
                case Outage(error):
                    self.news.append(f"outage {error.code}")

    async def until(self, count: int, *, within: float = 5) -> list[str]:
        async with asyncio.timeout(within):
            while len(self.news) < count and not self.task.done():
                await asyncio.sleep(0.005)
        return self.news

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        cluster.watch_seconds, cluster.bookmark_seconds = 0.2, 0.05
        cluster.create(SECRETS, make_secret("a"))
        yield cluster


@pytest.fixture
async def api(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[ClusterApi]:
    async with open_api(cluster, tmp_path) as api:
        yield api


@pytest.fixture
async def continuous(api: ClusterApi, cluster: FakeCluster) -> AsyncIterator[Told]:
    async with aclosing(follow(api, Kind.SECRET, timing=RESTLESS)) as news:
        told = Told(news)
        await cluster.until(lambda: cluster.watches)
        yield told
        await told.stop()


@pytest.fixture
async def never_ending(api: ClusterApi, cluster: FakeCluster) -> AsyncIterator[Told]:
    async with aclosing(follow_forever(api, Kind.SECRET, timing=RESTLESS)) as news:
        told = Told(news)
        await cluster.until(lambda: cluster.watches)
        yield told
        await told.stop()


def test_with_our_timing_every_fault_of_a_watch_is_over_within_a_minute() -> None:
    timing, patience = WatchTiming(), Patience()
    noticed = timing.lasting + patience.watch_grace
    again = timing.first_delay + patience.answer
    assert noticed + again < timedelta(seconds=60)
    assert timing.longest_delay + patience.longest_delay + patience.answer < timedelta(seconds=60)


async def test_watches_are_renewed_without_another_list(
    continuous: Told, cluster: FakeCluster
) -> None:
    for name in ("b", "c"):
        seen = cluster.count("watch", SECRETS)
        await cluster.until(lambda: cluster.count("watch", SECRETS) > seen)  # noqa: B023
        cluster.create(SECRETS, make_secret(name))
    assert await continuous.until(3) == ["list a", "ADDED b", "ADDED c"]
    assert cluster.count("list", SECRETS) == 1


async def test_bookmarks_carry_a_quiet_watch_over_forgotten_history(
    continuous: Told, cluster: FakeCluster
) -> None:
    seen = cluster.count("watch", SECRETS)
    cluster.store.compact()
    await cluster.until(lambda: cluster.count("watch", SECRETS) > seen + 1)
    cluster.create(SECRETS, make_secret("b"))
    assert await continuous.until(2) == ["list a", "ADDED b"]
    assert cluster.count("list", SECRETS) == 1


async def test_a_forgotten_past_is_listed_again(continuous: Told, cluster: FakeCluster) -> None:
    cluster.silence_watches()
    cluster.create(SECRETS, make_secret("b"))
    cluster.expire_watches()
    for watch in cluster.watches:
        watch.silent = False
    assert await continuous.until(2) == ["list a", "list a b"]


async def test_a_server_that_forgets_at_once_is_a_failure(
    continuous: Told, cluster: FakeCluster
) -> None:
    cluster.fail("watch", SECRETS, 410, times=10)
    cluster.expire_watches()
    await asyncio.wait({continuous.task})
    with pytest.raises(ClusterUnreachableError, match="forgets secrets faster"):
        continuous.task.result()


async def test_a_broken_connection_ends_what_is_not_never_ending(
    continuous: Told, cluster: FakeCluster
) -> None:
    cluster.drop_watches()
    await asyncio.wait({continuous.task})
    with pytest.raises(ClusterUnreachableError, match="watch the secrets"):
        continuous.task.result()


async def test_silence_is_noticed(continuous: Told, cluster: FakeCluster) -> None:
    cluster.silence_watches()
    await asyncio.wait({continuous.task}, timeout=2)
    with pytest.raises(ClusterUnreachableError, match="does not answer in time"):
        continuous.task.result()


async def test_a_watch_that_ends_at_once_is_a_failure(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    slow = WatchTiming(brief=timedelta(seconds=1))
    cluster.watch_seconds = 0.0
    async with aclosing(follow(api, Kind.SECRET, timing=slow)) as news:
        assert isinstance(await anext(news), Listing)
        with pytest.raises(ClusterUnreachableError, match="ends every watch of secrets at once"):
            await anext(news)


@pytest.mark.parametrize("fault", ["drop_watches", "silence_watches"])
async def test_after_a_fault_all_is_listed_again(
    never_ending: Told, cluster: FakeCluster, fault: str
) -> None:
    await never_ending.until(1)
    getattr(cluster, fault)()
    cluster.create(SECRETS, make_secret("b"))
    await never_ending.until(3)
    seen = cluster.count("watch", SECRETS)
    await cluster.until(lambda: cluster.count("watch", SECRETS) > seen - 1 and cluster.watches)
    cluster.create(SECRETS, make_secret("c"))
    assert await never_ending.until(4) == [
        "list a",
        "outage cluster_unreachable",
        "list a b",
        "ADDED c",
    ]


async def test_an_api_server_that_is_away_is_waited_for(
    never_ending: Told, cluster: FakeCluster
) -> None:
    await cluster.close()
    cluster.create(SECRETS, make_secret("b"))
    await asyncio.sleep(0.1)
    await cluster.open(cluster.port)
    told = await never_ending.until(3)
    assert (told[0], set(told[1:-1]), told[-1]) == (
        "list a",
        {"outage cluster_unreachable"},
        "list a b",
    )


async def test_failures_are_tried_again_ever_less_often(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    timing = WatchTiming(
        first_delay=timedelta(milliseconds=20), longest_delay=timedelta(milliseconds=160)
    )
    cluster.allowed = set()
    clock = asyncio.get_running_loop().time
    async with aclosing(follow_forever(api, Kind.SECRET, timing=timing)) as news:
        moments = []
        for _ in range(6):
            outage = await anext(news)
            assert isinstance(outage, Outage)
            assert isinstance(outage.error, ClusterForbiddenError)
            moments.append(clock())
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert pauses[0] >= 0.01
    assert pauses[-1] >= 0.08
    assert sum(pauses) < 2


def test_versions_are_compared_as_numbers() -> None:
    assert is_newer("100", "99")
    assert not is_newer("99", "100")
    assert not is_newer("99", "99")
    assert is_newer("abc", "abd")
    assert not is_newer("abc", "abc")
    assert version_of({"metadata": {"resourceVersion": "5"}}) == "5"
    assert (version_of({}), name_of({"metadata": None})) == ("", "")
