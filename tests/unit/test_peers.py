"""When a worker is held dead by its peers."""

from unittest.mock import AsyncMock, MagicMock

import pytest
from temporalio.service import RPCError, RPCStatusCode

from cattery.ids import SessionId, new_id
from workers import peers
from workers.peers import PATIENCE, Pulse


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


async def test_a_dead_workers_turns_are_released_once_temporal_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = SessionId(new_id())
    monkeypatch.setattr(peers, "_RETRIES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(peers, "list_left_sessions", AsyncMock(return_value=[session]))
    away = RPCError("no connection", RPCStatusCode.UNAVAILABLE, b"")
    release = AsyncMock(side_effect=[away, 1, 1])
    watcher = peers.Peers(MagicMock(), MagicMock(), "me", set())
    monkeypatch.setattr(watcher, "_release_session", release)
    await watcher._release("dead")
    assert [call.args for call in release.await_args_list] == [("dead", session)] * 2
