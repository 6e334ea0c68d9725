"""What counts as worse than the committed conformance table."""

from tests.harness_bench.table import Cell, Outcome, find_regressions, read_kept

PASSED, FAILED, LIMIT = Cell(Outcome.PASSED), Cell(Outcome.FAILED, 1.0, "why"), Cell(Outcome.LIMIT)


def test_a_failure_is_worse_also_where_it_failed_before() -> None:
    kept = {"codex": {"hello": FAILED}}
    assert find_regressions(kept, {"codex": {"hello": FAILED}}) == ["codex · hello: why"]


def test_what_passed_may_not_become_a_limit() -> None:
    kept = {"codex": {"hello": PASSED}}
    found = find_regressions(kept, {"codex": {"hello": LIMIT}})
    assert found == ["codex · hello: passed before, now limit"]


def test_what_passes_or_is_a_limit_still_is_no_news() -> None:
    kept = {"codex": {"hello": PASSED, "cut": LIMIT}}
    assert find_regressions(kept, {"codex": {"hello": PASSED, "cut": LIMIT}}) == []
    assert find_regressions({}, {"new": {"hello": PASSED}}) == []


def test_nothing_fails_in_the_committed_table() -> None:
    kept = read_kept()
    assert len(kept) == 6
    outcomes = {cell.outcome for row in kept.values() for cell in row.values()}
    assert Outcome.FAILED not in outcomes
