"""The harness types of this clone, as every process loads them."""

from functools import cache

from cattery.harnesses.registry import HarnessRegistry, load_registry
from cattery.settings import HarnessSettings


@cache
def clone_registry() -> HarnessRegistry:
    return load_registry(HarnessSettings(types=None))
