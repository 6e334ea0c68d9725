"""The conformance table: what came of each scenario for each harness, kept and compared.

`docs/harness-conformance.md` is for people; `conformance.json` beside this module is what a run is
held against.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from tests.harness_bench.limits import LIMITS
from tests.harness_bench.scenario import Scenario

KEPT = Path(__file__).parent / "conformance.json"
PAGE = Path(__file__).parents[2] / "docs" / "harness-conformance.md"


class Outcome(StrEnum):
    """What came of one scenario."""

    PASSED = "passed"
    FAILED = "failed"
    LIMIT = "limit"
    """It does not pass, for a reason of the harness's own that `limits.py` names."""
    NOT_OFFERED = "not offered"
    """The manifest does not promise it, or the transport has no such thing."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One harness in one scenario."""

    outcome: Outcome
    seconds: float = 0.0
    detail: str = ""
    """Why it failed, or which limit it has."""


type Table = dict[str, dict[str, Cell]]
"""Cells by harness type and scenario."""


def read_kept() -> Table:
    """Read the committed table; empty where there is none yet."""
    if not KEPT.exists():
        return {}
    raw = json.loads(KEPT.read_text())
    return {
        harness: {name: Cell(Outcome(outcome)) for name, outcome in row.items()}
        for harness, row in raw.items()
    }


def keep(table: Table, versions: Mapping[str, str], groups: Sequence[Sequence[Scenario]]) -> None:
    """Write the table down, for the next run and for people."""
    outcomes = {
        harness: {name: str(cell.outcome) for name, cell in sorted(row.items())}
        for harness, row in sorted(table.items())
    }
    KEPT.write_text(json.dumps(outcomes, indent=1) + "\n")
    PAGE.write_text(_page(table, versions, groups))


def find_regressions(kept: Table, table: Table) -> list[str]:
    """Say what was better in the committed table, and what has failed without being in it."""
    worse: list[str] = []
    for harness, row in table.items():
        for name, cell in row.items():
            before = kept.get(harness, {}).get(name)
            if cell.outcome is Outcome.FAILED:
                worse.append(f"{harness} · {name}: {cell.detail}")
            elif before is not None and before.outcome is Outcome.PASSED != cell.outcome:
                worse.append(f"{harness} · {name}: passed before, now {cell.outcome}")
    return worse


def show(table: Table, scenarios: Sequence[Scenario]) -> str:
    """Return the table for a terminal."""
    harnesses = _concerned(table, scenarios)
    lines = [f"{'':<20}" + "".join(f"{name:>18}" for name in harnesses)]
    for scenario in scenarios:
        cells = [_short(table[harness].get(scenario.name)) for harness in harnesses]
        if any(cells):
            lines.append(f"{scenario.name:<20}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def as_json(table: Table) -> str:
    """Return everything that is known, for programs."""
    return json.dumps(
        {h: {name: asdict(cell) for name, cell in row.items()} for h, row in table.items()},
        indent=1,
    )


def _short(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.outcome is Outcome.NOT_OFFERED:
        return "-"
    return f"{cell.outcome} {cell.seconds:.1f}s"


def _concerned(table: Table, scenarios: Sequence[Scenario]) -> list[str]:
    """Return the harnesses that have cells in these rows: chats and terminals have their own."""
    names = {scenario.name for scenario in scenarios}
    return sorted(harness for harness, row in table.items() if names & set(row))


def _page(table: Table, versions: Mapping[str, str], groups: Sequence[Sequence[Scenario]]) -> str:
    lines = [
        "# Conformance of the harnesses",
        "",
        "Written by `make harness-bench`: each harness is the real program at its pinned version, "
        "behind the whole product, with a scripted model. ✓ passed; - not offered by the harness; "
        "a number is a limit of the harness itself, below.",
    ]
    notes: list[str] = []
    for scenarios in groups:
        harnesses = _concerned(table, scenarios)
        heads = " | ".join(f"{name} {versions[name]}" for name in harnesses)
        lines += ["", f"| | {heads} |", "|---" * (len(harnesses) + 1) + "|"]
        for scenario in scenarios:
            cells = [_mark(harness, scenario.name, table, notes) for harness in harnesses]
            lines.append(f"| {scenario.title} | " + " | ".join(cells) + " |")
    if notes:
        lines += ["", "## Limits of the harnesses", ""]
        lines += [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join(lines) + "\n"


def _mark(harness: str, scenario: str, table: Table, notes: list[str]) -> str:
    cell = table[harness].get(scenario)
    match cell.outcome if cell else None:
        case None:
            return ""
        case Outcome.PASSED:
            return "✓"
        case Outcome.FAILED:
            return "✗"
        case Outcome.NOT_OFFERED:
            return "-"
        case Outcome.LIMIT:
            note = f"**{harness}**, {LIMITS[harness, scenario]}"
            if note not in notes:
                notes.append(note)
            return str(notes.index(note) + 1)
