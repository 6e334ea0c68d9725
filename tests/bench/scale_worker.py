"""A real worker whose harness answers without a program, for pods on nodes that exist in name only.

Run by path: `python tests/bench/scale_worker.py`. A second connection counts nothing; what the
worker itself writes at its end, on `SIGTERM`, are its calls to the API server.
"""

import dataclasses
import sys
from collections import Counter
from pathlib import Path
from typing import override

sys.path.insert(0, str(Path(__file__).parents[2]))

from cattery.harnesses.opencode.client import OpencodeClient
from cattery.sandboxes.kubernetes import api
from cattery.sandboxes.kubernetes.failures import Attempt
from cattery.sandboxes.kubernetes.kinds import Kind
from tests.harness_types import clone_registry
from workers.main import run

CALLS: Counter[str] = Counter()


class CountingApi(api.ClusterApi):
    """Counts every call, watches too."""

    @override
    def _attempt(self, verb: str, kind: Kind, name: str = "") -> Attempt:
        CALLS[f"{verb} {kind.plural}"] += 1
        return super()._attempt(verb, kind, name)


class SilentClient(OpencodeClient):
    """Believes that the harness answers: a fake node runs nothing."""

    @override
    async def check_health(self) -> None:
        return


if __name__ == "__main__":
    api.ClusterApi = CountingApi  # type: ignore[misc]
    kwok = dataclasses.replace(clone_registry()["opencode"], client=SilentClient)
    run({"opencode": kwok})
    Path(sys.argv[1]).write_text("\n".join(f"{count} {call}" for call, count in CALLS.items()))
