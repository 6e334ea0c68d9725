"""Which tests one process runs one after the other, when several processes run tests (`-n 3`).

Usually those of a file, which share what its fixtures start. Files of the cluster's tests that want
a deployed Cattery share that instead. What takes long begins first.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_DEPLOYED = (
    *("test_story", "test_cut_points", "test_deployment", "test_sandbox_policy"),
    *("test_harnesses", "test_rights"),
)
"""Files of `tests/cluster` for the one deployed Cattery; the others have namespaces."""
LANES: Mapping[str, str] = {f"tests/cluster/{name}.py": "deployed" for name in _DEPLOYED}
_SLOWEST_FIRST = ("tests/workflows/", "tests/bridges/", "tests/api/")


def lane_of(nodeid: str) -> str:
    """Return what a test shares a process with."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/cluster/"):
        return LANES.get(file, "namespaces")
    return LANES.get(file, file)


def order(items: list[pytest.Item]) -> None:
    """Put first what takes long; within that the order stays as it was, by chance."""
    folders = [*_SLOWEST_FIRST, ""]

    def rank(item: pytest.Item) -> int:
        return next(i for i, name in enumerate(folders) if item.nodeid.startswith(name))

    items.sort(key=rank)


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Make xdist's scheduler for files hand out lanes, in the order of the collection."""
    config.option.loadscopereorder = False
    scheduler = LoadFileScheduling(config, log)
    scheduler._split_scope = lane_of
    return scheduler
