"""Mirrors and the state made of them: never backwards, never stale for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from cattery.errors import SandboxError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind, Listing, WatchLine, WatchType
from cattery.sandboxes.kubernetes.failures import ClusterForbiddenError, ClusterUnreachableError
from cattery.sandboxes.kubernetes.mirror import EVENTS_AN_OBJECT, Mirror
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.watching import name_of, version_of
from tests.fake_cluster.cluster import CLAIMS, EVENTS, PODS, SANDBOXES, SECRETS, FakeCluster
from tests.unit.cluster_site import (
    RESTLESS,
    make_claim,
    make_sandbox,
    make_secret,
    open_api,
)

type Plain = tuple[str, str]


def parse(raw: JsonObject) -> Plain:
    return name_of(raw), version_of(raw)


def item(name: str, version: int) -> JsonObject:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
async def api(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[ClusterApi]:
    async with open_api(cluster, tmp_path) as api:
        yield api


@asynccontextmanager
async def watched(api: ClusterApi) -> AsyncIterator[ClusterState]:
    state = ClusterState(api, timing=RESTLESS)
    await state.start()
    try:
        yield state
    finally:
        await state.stop()


async def test_a_mirror_holds_what_there_is_as_it_changes(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.create(SECRETS, make_secret("a"))
    heard: list[str] = []
    mirror = Mirror(api, Kind.SECRET, parse, timing=RESTLESS, hear=heard.append)
    assert not mirror.synced
    await mirror.start()
    assert (mirror.synced, mirror.get("a"), mirror.get("b")) == (True, ("a", "101"), None)
    cluster.create(SECRETS, make_secret("b"))
    cluster.hold(SECRETS, "b")
    cluster.store.delete(SECRETS, "cattery-sandboxes", "a")
    await cluster.until(lambda: mirror.values() == (("b", "103"),))
    assert heard == ["a", "b", "b", "a"]
    await mirror.stop()
    assert not mirror.synced


async def test_a_start_that_fails_says_why_and_may_be_repeated(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    mirror = Mirror(api, Kind.SECRET, parse, timing=RESTLESS)
    cluster.allowed = set()
    with pytest.raises(ClusterForbiddenError, match='the verb "list" on "secrets"'):
        await mirror.start()
    cluster.allowed = None
    await mirror.start()
    assert mirror.synced
    await mirror.stop()


async def test_a_list_that_is_not_understood_is_not_taken_for_the_present(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    def refuse(raw: JsonObject) -> Plain:
        raise ValueError(name_of(raw))

    cluster.create(SECRETS, make_secret("a"))
    mirror = Mirror(api, Kind.SECRET, refuse, timing=RESTLESS)
    with pytest.raises(SandboxError, match="secrets was not understood"):
        await mirror.start()
    assert not mirror.synced
    await mirror.stop()


async def test_what_a_call_returned_is_seen_at_once(api: ClusterApi, cluster: FakeCluster) -> None:
    mirror = Mirror(api, Kind.SECRET, parse, timing=RESTLESS)
    await mirror.start()
    cluster.silence_watches()
    made = await api.create(Kind.SECRET, make_secret("a"))
    mirror.take(made)
    assert mirror.get("a") == parse(made)
    await mirror.stop()


def test_a_mirror_never_goes_backwards() -> None:
    heard: list[str] = []
    mirror = Mirror(None, Kind.SECRET, parse, hear=heard.append)  # type: ignore[arg-type]
    mirror._hear_of(Listing((item("a", 5), item("b", 6)), "10"))
    mirror.take(item("a", 12))
    mirror._hear_of(WatchLine(WatchType.MODIFIED, item("a", 11)))
    assert mirror.get("a") == ("a", "12")
    mirror.take(item("c", 14))
    mirror._hear_of(Listing((item("a", 5),), "13"))
    assert mirror.values() == (("a", "12"), ("c", "14"))
    mirror._hear_of(WatchLine(WatchType.DELETED, item("a", 20)))
    mirror.take(item("a", 12))
    mirror.take(item("d", 20))
    assert mirror.values() == (("c", "14"),)
    mirror.take(item("a", 21))
    mirror._hear_of(WatchLine(WatchType.DELETED, item("a", 20)))
    assert mirror.get("a") == ("a", "21")
    assert heard == ["a", "b", "a", "c", "b", "a", "a"]


def test_a_cluster_that_was_restored_is_believed() -> None:
    mirror = Mirror(None, Kind.SECRET, parse)  # type: ignore[arg-type]
    mirror._hear_of(Listing((item("a", 50), item("b", 60)), "100"))
    mirror._hear_of(Listing((item("a", 40), item("c", 30)), "45"))
    assert mirror.values() == (("a", "40"), ("c", "30"))
    mirror._hear_of(WatchLine(WatchType.MODIFIED, item("a", 46)))
    assert mirror.get("a") == ("a", "46")


@settings(max_examples=100, deadline=None)
@given(
    history=st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), min_size=1, max_size=12),
    random=st.randoms(use_true_random=False),
)
def test_whatever_comes_late_the_mirror_ends_right(
    history: list[tuple[str, bool]], random: Random
) -> None:
    """Tell a history in order by watch, with lists of it and stale answers thrown in anywhere."""
    shuffle = random.randint
    mirror = Mirror(None, Kind.SECRET, parse)  # type: ignore[arg-type]
    states: list[dict[str, int]] = [{}]
    lines: list[WatchLine] = []
    for version, (name, deleted) in enumerate(history, start=1):
        state = dict(states[-1])
        if deleted and name in state:
            del state[name]
            lines.append(WatchLine(WatchType.DELETED, item(name, version)))
        else:
            kind = WatchType.MODIFIED if name in state else WatchType.ADDED
            state[name] = version
            lines.append(WatchLine(kind, item(name, version)))
        states.append(state)
    mirror._hear_of(Listing((), "0"))
    newest: dict[str, int] = {}
    moment = 0
    for position, line in enumerate(lines, start=1):
        for _ in range(shuffle(0, 2)):
            for name, version in states[shuffle(0, len(states) - 1)].items():
                mirror.take(item(name, version))
        mirror._hear_of(line)
        if shuffle(0, 3) == 0:
            moment = shuffle(max(position, moment), len(states) - 1)
            listed = tuple(item(name, version) for name, version in states[moment].items())
            mirror._hear_of(Listing(listed, str(moment)))
        for name, held in mirror.values():
            assert int(held) >= newest.get(name, 0)
            newest[name] = int(held)
    expected = {(name, str(version)) for name, version in states[-1].items()}
    assert set(mirror.values()) == expected


async def test_the_state_follows_a_sandbox_from_its_creation_to_its_end(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    name = "cattery-one"
    async with watched(api) as state:
        cluster.create(CLAIMS, make_claim("cattery-claim"))
        cluster.create(SANDBOXES, make_sandbox(name))

        def address() -> str | None:
            pod = state.pods.get(name)
            return pod.ip or None if pod else None

        assert await state.wait_for(address, about=(name,), timeout=5) == "127.0.0.1"
        await cluster.until(lambda: "Started" in [e.reason for e in state.events_about(name)])
        assert state.claims.get("cattery-claim") is not None
        assert state.synced
        await api.delete(Kind.SANDBOX, name)
        gone = lambda: (state.sandboxes.get(name) or state.pods.get(name)) is None or None  # noqa: E731
        assert await state.wait_for(gone, about=(name,), timeout=5)


@pytest.mark.parametrize("fault", ["drop_watches", "expire_watches", "silence_watches"])
async def test_the_state_is_right_again_after_any_fault(
    api: ClusterApi, cluster: FakeCluster, fault: str
) -> None:
    async with watched(api) as state:
        cluster.create(SANDBOXES, make_sandbox("cattery-kept"))
        cluster.create(SANDBOXES, make_sandbox("cattery-gone"))
        await cluster.until(lambda: len(state.pods.values()) == 2)
        getattr(cluster, fault)()
        cluster.store.delete(SANDBOXES, "cattery-sandboxes", "cattery-gone")
        cluster.delete_pod("cattery-kept")
        cluster.create(SANDBOXES, make_sandbox("cattery-new"))
        cluster.create(CLAIMS, make_claim("cattery-claim"))

        def held() -> dict[str, dict[str, str]]:
            return {
                SANDBOXES: {v.name: v.resource_version for v in state.sandboxes.values()},
                PODS: {v.name: v.resource_version for v in state.pods.values()},
                CLAIMS: {v.name: v.resource_version for v in state.claims.values()},
            }

        def there() -> dict[str, dict[str, str]]:
            return {
                kind: {name_of(o): version_of(o) for o in cluster.select(kind)}
                for kind in (SANDBOXES, PODS, CLAIMS)
            }

        await cluster.until(lambda: state.synced and held() == there())
        assert cluster.names(PODS) == ["cattery-kept", "cattery-new"]


async def test_an_outage_is_known(api: ClusterApi, cluster: FakeCluster) -> None:
    async with watched(api) as state:
        await cluster.close()
        await cluster.until(lambda: not state.synced)
        await cluster.open(cluster.port)
        await cluster.until(lambda: state.synced)


async def test_a_state_that_cannot_be_read_says_so_and_leaves_nothing_running(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.fail("list", EVENTS, 500, times=1_000)
    state = ClusterState(api, timing=RESTLESS)
    with pytest.raises(ClusterUnreachableError, match="could not list the"):
        await state.start()
    assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("follow-")]
    cluster.faults.clear()
    await state.start()
    assert state.synced
    await state.stop()


async def test_a_change_wakes_only_those_who_wait_for_it(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    async with watched(api) as state:
        looks = {"cattery-a": 0, "cattery-b": 0}

        def look_at(name: str) -> bool | None:
            looks[name] += 1
            return True if state.claims.get(name) else None

        waits = [
            asyncio.create_task(state.wait_for(lambda n=name: look_at(n), about=(name,), timeout=5))  # type: ignore[misc]
            for name in looks
        ]
        await asyncio.sleep(0)
        for number in range(20):
            cluster.create(CLAIMS, make_claim(f"cattery-{number}"))
        cluster.create(CLAIMS, make_claim("cattery-a"))
        assert await waits[0] is True
        assert looks == {"cattery-a": 2, "cattery-b": 1}
        cluster.create(CLAIMS, make_claim("cattery-b"))
        assert await waits[1] is True
        assert state._waiting == {}


async def test_a_wait_ends_with_its_time(api: ClusterApi) -> None:
    state = ClusterState(api)
    with pytest.raises(TimeoutError):
        await state.wait_for(lambda: None, about=("cattery-a",), timeout=0.05)
    assert await state.wait_for(lambda: "now", about=(), timeout=0) == "now"
    assert state._waiting == {}


async def test_a_wait_is_woken_by_what_the_cluster_says(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    async with watched(api) as state:
        said = lambda: state.events_about("cattery-a") or None  # noqa: E731
        wait = asyncio.create_task(state.wait_for(said, about=("cattery-a",), timeout=5))
        await asyncio.sleep(0)
        cluster.say(CLAIMS, "other", "Ignored", "not ours")
        cluster.say(CLAIMS, "cattery-a", "ProvisioningFailed", "no such class")
        (event,) = await wait
        assert (event.about_kind, event.about_name, event.reason, event.message) == (
            "PersistentVolumeClaim",
            "cattery-a",
            "ProvisioningFailed",
            "no such class",
        )
        assert (event.count, event.is_warning, state.events_about("other")) == (1, True, [])
        cluster.say(CLAIMS, "cattery-a", "ProvisioningFailed", "no such class")
        await cluster.until(lambda: [e.count for e in state.events_about("cattery-a")] == [2])
        for number in range(EVENTS_AN_OBJECT + 5):
            cluster.say(CLAIMS, "cattery-a", "Many", str(number))
        await cluster.until(
            lambda: [e.message for e in state.events_about("cattery-a")][-1:] == ["54"]
        )
        assert len(state.events_about("cattery-a")) == EVENTS_AN_OBJECT


async def test_subscribers_hear_of_sandboxes_and_pods_until_they_leave(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    async with watched(api) as state:
        heard: list[str] = []
        leave = state.subscribe(heard.append)
        cluster.create(CLAIMS, make_claim("cattery-claim"))
        cluster.create(SANDBOXES, make_sandbox("cattery-a"))
        await cluster.until(lambda: state.pods.get("cattery-a") and cluster.is_ready("cattery-a"))
        assert set(heard) == {"cattery-a"}
        leave()
        leave()
        heard.clear()
        cluster.delete_pod("cattery-a")
        await asyncio.sleep(0.05)
        assert heard == []
