"""The workers of a deployed Cattery are killed in the middle of each step of the whole story.

The moments are chosen by chance, a few of the many that `tests/faults` tries one by one on a fake
cluster. `CATTERY_FAULT_SEED` repeats a choice, which is printed.
"""

import asyncio
import os
import random
import secrets

import pytest

from tests.cluster.conftest import Deployed
from tests.cluster.faults import Faults, find_faults
from tests.cluster.kubectl import SYSTEM
from tests.cluster.test_story import live, told

LONGEST = {"start": 12.0, "stop": 3.0, "wake": 12.0, "delete": 4.0}
"""Seconds that a step takes about: the worker dies within them."""


@pytest.mark.timeout(600, func_only=True)
async def test_the_whole_story_with_the_workers_killed_in_the_middle_of_each_step(
    deployed: Deployed,
) -> None:
    faults = find_faults(deployed.kubectl)
    seed = int(os.environ.get("CATTERY_FAULT_SEED") or secrets.randbelow(10_000))
    chance = random.Random(seed)
    moments = {}

    async def cut(step: str) -> None:
        moments[step] = round(chance.uniform(0, LONGEST[step]), 1)
        await asyncio.sleep(moments[step])
        await asyncio.to_thread(kill_workers, faults)

    async with told(deployed) as story:
        try:
            await live(story, cut)
        finally:
            print(f"seed {seed}, workers killed after {moments}")
    assert set(moments) == set(LONGEST)


def kill_workers(faults: Faults) -> None:
    """Kill every worker (-9), and have fresh pods: a container that dies often is held back."""
    selector = "app.kubernetes.io/component=worker"
    for pod in faults.kubectl.items("pods", "--selector", selector):
        metadata = pod["metadata"]
        assert isinstance(metadata, dict)
        faults.run("pod", "kill", f"{SYSTEM}/{metadata['name']}")
    faults.kubectl.run(
        *("--namespace", SYSTEM, "delete", "pods", "--selector", selector),
        *("--force", "--grace-period=0", "--wait=false"),
    )
