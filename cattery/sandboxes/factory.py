"""The one place that knows which runtimes there are."""

from collections.abc import Mapping

from cattery.harnesses.port import HarnessType
from cattery.sandboxes.local import LocalRuntime
from cattery.settings import HomeSettings, SandboxSettings


def create_runtime(
    home: HomeSettings, settings: SandboxSettings, registry: Mapping[str, HarnessType]
) -> LocalRuntime:
    """Make the runtime that the settings name."""
    return LocalRuntime(home.home, home.tools_folder, settings, registry)
