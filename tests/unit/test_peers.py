"""When a worker is held dead by its peers."""

import itertools
from unittest.mock import AsyncMock, MagicMock

import pytest
from temporalio.service import RPCError, RPCStatusCode

from workers import peers
from workers.peers import PATIENCE, Peers, Pulse


def test_whose_count_stands_still_is_dead_after_the_patience() -> None:
    pulse = Pulse()
    assert pulse.judge({"a": 7, "b": 1}, 100.0) == []
    for second in range(1, int(PATIENCE)):
        assert pulse.judge({"a": 7, "b": 1 + second}, 100.0 + second) == []
    assert pulse.judge({"a": 7, "b": 99}, 100.0 + PATIENCE) == [("a", 7)]


def test_whose_count_goes_on_is_alive() -> None:
    pulse = Pulse()
    assert not any(pulse.judge({"a": second // 3}, float(second)) for second in range(100, 200))


def test_nobody_is_judged_by_one_that_could_not_look() -> None:
    pulse = Pulse()
    pulse.judge({"a": 7}, 100.0)
    pulse.judge({"a": 7}, 101.0)
    assert pulse.judge({"a": 7}, 131.0) == [], "the database was away, or this worker itself"
    found = [pulse.judge({"a": 7}, 131.0 + second) for second in range(1, 5)]
    assert found == [[], [], [], [("a", 7)]]


def test_who_is_no_longer_counted_is_forgotten() -> None:
    pulse = Pulse()
    pulse.judge({"a": 7}, 100.0)
    pulse.judge({}, 101.0)
    pulse.judge({"a": 7}, 102.0)
    assert pulse.judge({"a": 7}, 100.0 + PATIENCE) == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have time go by only where the watcher sleeps; each sleep is noted.

    Others share the loop, and what sleeps for ever must not go on for ever without a pause.
    """
    sleeps: list[float] = []

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    monkeypatch.setattr(peers, "monotonic", lambda: sum(sleeps))
    monkeypatch.setattr(peers, "sleep", sleep)
    return sleeps


def watching(
    monkeypatch: pytest.MonkeyPatch, *released: int | Exception
) -> tuple[Peers, AsyncMock]:
    """Make a watcher; `released` is what comes of its looks, one after the other, then nothing."""
    watcher = Peers(MagicMock(), MagicMock(), "me", set())
    release = AsyncMock(side_effect=itertools.chain(released, itertools.repeat(0)))
    monkeypatch.setattr(watcher, "_release_once", release)
    return watcher, release


async def test_a_dead_workers_turns_are_released_once_temporal_is_back(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    away = RPCError("no connection", RPCStatusCode.UNAVAILABLE, b"")
    watcher, release = watching(monkeypatch, *[away] * 20, 1)
    await watcher._release("dead")
    assert release.await_count == 21
    assert max(clock) <= 32.0, "half a minute is as long as it waits between two tries"


async def test_tasks_that_a_dead_workers_open_polls_take_are_released_too(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    watcher, release = watching(monkeypatch, 3, 0, 2)
    await watcher._release("dead")
    assert 60.0 <= sum(clock) <= 90.0, "a poll lasts a minute"
    assert release.await_count >= sum(clock) / 2, "nobody waits long for the next look"


@pytest.mark.usefixtures("clock")
async def test_a_worker_that_counts_on_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, release = watching(monkeypatch, 3)
    watcher._counted = frozenset({"dead"})
    await watcher._release("dead")
    assert release.await_count == 1
