"""What the cuts came to, for people."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import pytest

from tests.faults.campaign import TIMES_AGAIN, Campaign
from tests.faults.runs import Outcome

REPORT: Final = pytest.StashKey[str]()
"""Where a test leaves what is printed at the end."""


def write_report(campaign: Campaign) -> str:
    """Write the table: calls, cuts and times of each lifecycle, and every failure in full."""
    head = f"{'site':<11} {'lifecycle':<18} {'calls':>5} {'cuts':>4} {'survived':>8}  median  worst"
    lines = [f"seed {campaign.seed}", head]
    groups: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in campaign.outcomes:
        groups[outcome.site, outcome.cut.lifecycle.name].append(outcome)
    for (site, name), outcomes in sorted(groups.items()):
        tried = [each for each in outcomes if each.was_reached]
        lines.append(
            f"{site:<11} {name:<18} {len(campaign.calls[site, name]):>5} {len(tried):>4} "
            f"{sum(each.survived for each in tried):>8} {_write_times(tried)}"
        )
    tried = [each for each in campaign.outcomes if each.was_reached]
    survived = sum(each.survived for each in tried)
    lines.append(f"{'':<30} {'':>5} {len(tried):>4} {survived:>8} {_write_times(tried)}")
    unreached = len(campaign.outcomes) - len(tried)
    if unreached:
        lines.append(f"{unreached} calls did not come again, so nothing was cut there.")
    failed = [each for each in campaign.outcomes if each.left]
    lines += [*campaign.wrong, *(_write_failure(each) for each in failed)]
    if campaign.doubtful:
        lines.append(f"\nDOUBTFUL: failed among many, survived {TIMES_AGAIN} times alone:")
    return "\n".join([*lines, *(_write_failure(each) for each in campaign.doubtful)])


def write_line(outcome: Outcome) -> str:
    """Write what came of one cut, in a line."""
    cut, word = outcome.cut, "not reached"
    if outcome.was_reached:
        word = "survived" if outcome.survived else "FAILED"
    return (
        f"{outcome.seconds:>6.1f}s {word} {outcome.site}, {cut.lifecycle.name}, "
        f"cut {cut.number}: {cut.call}"
    )


def _write_times(outcomes: Sequence[Outcome]) -> str:
    times = [each.seconds for each in outcomes if each.survived]
    return f"{statistics.median(times):>6.1f}s {max(times):>5.1f}s" if times else ""


def _write_failure(outcome: Outcome) -> str:
    cut = outcome.cut
    left = "\n".join(f"    {each}" for each in outcome.left)
    return (
        f"\n{outcome.site}, {cut.lifecycle.name}, cut {cut.number}: {cut.call}\n{left}\n"
        f"    Repeat it: python -m tests.faults --site {outcome.site} "
        f"--lifecycle '{cut.lifecycle.name}' --cut '{cut.call}'\n"
        f"    The workers' last words:\n{outcome.log}"
    )
