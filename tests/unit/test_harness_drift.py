"""How another version of a harness is pinned, and what of it is told."""

import json
from pathlib import Path

import pytest

from cattery.harnesses.manifest import load_manifests
from cattery.jsontypes import JsonObject
from tests.e2e.client import Event
from tests.harness_bench.observed import Observations, Seen, Version, as_json, compare
from tests.harness_bench.repin import (
    MANIFESTS,
    RepinError,
    change_requirement,
    change_version,
    constraints_of,
    lock_of,
)
from tests.harness_bench.table import Cell, Outcome


def seen(*events: tuple[str, JsonObject]) -> Seen:
    found = Seen()
    found.take([Event(number, kind, data) for number, (kind, data) in enumerate(events, 1)])
    return found


def version(name: str, outcome: Outcome, found: Seen, detail: str = "") -> Version:
    observations: Observations = {"hello": found}
    return Version(name, {"hello": Cell(outcome, 1.0, detail)}, observations)


IDLE: tuple[str, JsonObject] = ("session.idle", {"outcome": "completed"})
TOOL: JsonObject = {"toolId": "1", "tool": "edit", "diff": "+a", "parsed": {"lines": [{"n": 1}]}}
PASSED = version("1", Outcome.PASSED, seen(("tool.done", TOOL), IDLE))


def test_what_was_seen_is_named_by_its_fields_and_tools() -> None:
    empty: JsonObject = {**TOOL, "title": None, "child": "", "paths": []}
    assert seen(("tool.done", empty)).fields == {
        "tool.done.toolId",
        "tool.done.tool",
        "tool.done.diff",
        "tool.done.parsed",
        "tool.done.parsed.lines",
        "tool.done.parsed.lines.n",
        "tool.done of edit",
    }


def test_the_same_is_told_as_nothing() -> None:
    assert list(compare(PASSED, PASSED)) == []


def test_a_field_that_is_gone_and_one_that_is_new_are_told() -> None:
    changed: JsonObject = {"toolId": "1", "tool": "patch", "diff": "+a", "title": "Patch"}
    assert list(
        compare(PASSED, version("2", Outcome.PASSED, seen(("tool.done", changed), IDLE)))
    ) == [
        "lost       tool.done of edit (hello)",
        "lost       tool.done.parsed (hello)",
        "lost       tool.done.parsed.lines (hello)",
        "lost       tool.done.parsed.lines.n (hello)",
        "new        tool.done of patch (hello)",
        "new        tool.done.title (hello)",
    ]


def test_a_title_may_come_in_any_scenario_but_must_come_in_one() -> None:
    title: tuple[str, JsonObject] = ("session.title", {"title": "Cats"})
    cells = {"hello": Cell(Outcome.PASSED), "write": Cell(Outcome.PASSED)}
    early = Version("1", cells, {"hello": seen(title), "write": seen()})
    late = Version("2", cells, {"hello": seen(), "write": seen(title)})
    never = Version("3", cells, {"hello": seen(), "write": seen()})
    assert list(compare(early, late)) == []
    assert list(compare(early, never)) == ["lost       session.title.title (hello)"]


def test_an_outcome_that_changed_is_told_with_its_reason_and_not_by_its_fields() -> None:
    broken = version("2", Outcome.FAILED, Seen(), "AssertionError: no edit\nmore")
    assert list(compare(PASSED, broken)) == [
        "outcome    hello: passed → failed (AssertionError: no edit)"
    ]


def test_unknown_events_are_counted_by_their_type_also_where_the_scenario_fails() -> None:
    unknown: tuple[str, JsonObject] = ("harness.unknown", {"frameType": "odd", "preview": "{}"})
    other = version("2", Outcome.FAILED, seen(("tool.done", TOOL), unknown, unknown, IDLE))
    assert list(compare(PASSED, other)) == [
        "outcome    hello: passed → failed",
        "unknown    odd: 0 → 2 events",
    ]


def test_turns_that_end_otherwise_are_told() -> None:
    other = seen(("tool.done", TOOL), ("session.idle", {"outcome": "failed"}))
    assert list(compare(PASSED, version("2", Outcome.PASSED, other))) == [
        "turns      hello: ended ['completed'] → ['failed']"
    ]


def test_a_run_is_kept_for_programs() -> None:
    kept = json.loads(as_json(PASSED))
    assert kept["version"] == "1"
    assert kept["scenarios"]["hello"]["outcome"] == "passed"
    assert kept["scenarios"]["hello"]["ends"] == ["completed"]
    assert "tool.done.diff" in kept["scenarios"]["hello"]["fields"]


@pytest.mark.parametrize("folder", sorted(MANIFESTS.glob("*/harness.toml")), ids=str)
def test_every_manifest_can_be_given_another_version(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / folder.parent.name
    place.mkdir()
    (place / "harness.toml").write_text(change_version(folder.read_text(), "99.1"))
    before = load_manifests(MANIFESTS)[place.name]
    if before.install.shares is None:
        (after,) = load_manifests(tmp_path).values()
        expected = before.model_copy(update={"version": "99.1"})
        assert after.model_copy(update={"install": expected.install}) == expected
        assert after.install.prints in ("", None)


def test_a_manifest_without_a_version_is_refused() -> None:
    with pytest.raises(RepinError, match="0 lines with a version"):
        change_version('id = "x"\n', "2")


@pytest.mark.parametrize("wanted", sorted(MANIFESTS.glob("*/requirements.in")), ids=str)
def test_only_the_harness_changes_among_the_requirements(wanted: Path) -> None:
    if (wanted.parent / "package.json").exists():
        return  # npm has the harness, pip only what our bridges need
    before = wanted.read_text()
    changed = change_requirement(before, "99.1").splitlines()
    different = [line for line in changed if line not in before.splitlines()]
    assert len(different) == 1
    assert different[0].endswith("==99.1")


def test_requirements_with_several_pins_are_refused() -> None:
    with pytest.raises(RepinError, match="Which of these"):
        change_requirement("one==1\ntwo==2\n", "3")


def test_the_other_packages_stay_as_near_as_they_can() -> None:
    locked = (
        "aiohttp==3.14.5 \\\n    --hash=sha256:aa\n    # via x\n"
        "agent-sdk==1.0 \\\n    --hash=sha256:bb\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
    )
    assert constraints_of(locked, "agent-sdk") == "aiohttp==3.14.5\ncolorama==0.4.6\n"


def test_what_pip_would_install_becomes_a_lock_with_hashes() -> None:
    def one(name: str, version: str) -> JsonObject:
        info: JsonObject = {"archive_info": {"hashes": {"sha256": f"of-{name}"}}}
        return {"metadata": {"name": name, "version": version}, "download_info": info}

    assert lock_of({"install": [one("b", "2"), one("a", "1")]}) == (
        "a==1 --hash=sha256:of-a\nb==2 --hash=sha256:of-b\n"
    )
