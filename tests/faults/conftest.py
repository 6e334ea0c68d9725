"""Prints what the cuts came to, at the end of a run."""

import pytest

from tests.faults.report import REPORT


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash.get(REPORT, None)
    if report:
        terminalreporter.section("cut points")
        terminalreporter.write_line(report)
