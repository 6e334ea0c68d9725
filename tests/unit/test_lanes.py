"""What `make test` runs in one process is what there is."""

from pathlib import Path

from xdist.scheduler import LoadFileScheduling

from tests.lanes import LANES, lane_of

ROOT = Path(__file__).parents[2]


def test_every_file_with_a_lane_is_there() -> None:
    assert [name for name in LANES if not (ROOT / name).is_file()] == []


def test_files_share_a_lane_or_have_their_own() -> None:
    assert lane_of("tests/e2e/test_story.py::test_a") == "tests/e2e/test_story.py"
    assert lane_of("tests/cluster/test_story.py::test_a") == "deployed"
    assert lane_of("tests/cluster/test_leases.py::test_a[x::y]") == "namespaces"
    assert lane_of("tests/unit/test_lanes.py::test_a") == "tests/unit/test_lanes.py"


def test_the_scheduler_asks_for_lanes_by_the_name_that_is_replaced() -> None:
    assert callable(LoadFileScheduling._split_scope)
