"""When a worker is held dead by its peers."""

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
