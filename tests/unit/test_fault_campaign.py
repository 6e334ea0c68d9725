"""Which failed cuts of a campaign count."""

from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest

from tests.faults import campaign
from tests.faults.campaign import TIMES_AGAIN, Campaign
from tests.faults.lifecycles import LIFECYCLES
from tests.faults.report import write_report
from tests.faults.runs import Cut, Outcome

CUT = Cut(LIFECYCLES[0], 1, "sandbox.stop: taken#1")


def outcome(left: list[str]) -> Outcome:
    return Outcome("local", CUT, was_reached=True, seconds=1.0, left=left, log="last words")


async def look_again(
    monkeypatch: pytest.MonkeyPatch, first: list[list[str]], again: Iterator[list[str]]
) -> Campaign:
    async def try_cut(*_: object) -> Outcome:
        return outcome(next(again))

    monkeypatch.setattr(campaign, "try_cut", try_cut)
    lane = MagicMock()
    lane.site.name = "local"
    made = Campaign([lane], seed=1, room=7, outcomes=[outcome(left) for left in first])
    made.calls["local", CUT.lifecycle.name] = []
    await made._look_again()
    return made


async def test_a_cut_that_survives_every_time_alone_is_doubtful_and_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await look_again(monkeypatch, [["bad"], []], iter([[]] * TIMES_AGAIN))
    assert not any(each.left for each in made.outcomes)
    report = write_report(made)
    assert "DOUBTFUL" in report
    assert "bad" in report


async def test_a_cut_that_fails_once_more_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = await look_again(monkeypatch, [["bad"], []], iter([[], ["bad again"], []]))
    assert [each.left for each in made.outcomes] == [["bad"], []]
    assert not made.doubtful


async def test_many_that_failed_are_a_fault_without_a_second_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = await look_again(monkeypatch, [["bad"]] * 3, iter([]))
    assert len([each for each in made.outcomes if each.left]) == 3
