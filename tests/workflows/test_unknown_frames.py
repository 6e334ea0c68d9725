"""What no translator knows, from a harness that sends it to the log, the history and the metric."""

from pathlib import Path

import aiohttp
import pytest
from temporalio.client import Client

from activities.unknown_frames import METRIC
from cattery.events.history import fold_history
from cattery.events.model import EventType
from tests.processes import free_port
from tests.workflows.parts import (
    odd_harness,
    of_type,
    open_session,
    platform_on,
    said,
    text_of,
    worker_process,
)
from workers.metrics import create_runtime
from workers.settings import WorkerSettings


async def test_unknown_frames_are_kept_without_secrets_and_counted(
    temporal: Client, database_url: str, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_port()}"
    odd = odd_harness("novel-frames")
    async with (
        platform_on(temporal, database_url, tmp_path / "home", odd) as platform,
        worker_process(
            platform,
            1,
            oddity="novel-frames",
            more_env={"CATTERY_WORKER_METRICS_ADDRESS": address},
        ),
    ):
        user, _, session = await open_session(platform)
        await platform.prompt(session, user, "deltas=3 size=1")
        events = await platform.wait_for_idles(session, 1)

        assert events[-1].data == {"outcome": "completed"}
        assert text_of(events) == said(3)
        kept = of_type(events, EventType.HARNESS_UNKNOWN)
        assert [event.data["frameType"] for event in kept] == ["hologram.shown"] * 3
        for number, event in enumerate(kept):
            preview = str(event.data["preview"])
            assert f'"number":{number},"apiKey":"[redacted]"' in preview
        told = [event for event in fold_history(events)[-1].events if "unknown" in str(event)]
        assert [event["data"] for event in told] == [event.data for event in kept]
        labels = 'event_type="hologram.shown",harness_type="opencode"'
        assert await read_count(f"http://{address}/metrics", labels) == 3


def test_an_address_that_is_taken_is_said(unused_address: str) -> None:
    settings = WorkerSettings(metrics_address=unused_address)
    first = create_runtime(settings)
    with pytest.raises(RuntimeError, match=f"cannot serve its metrics at {unused_address}: "):
        create_runtime(settings)
    assert first is not None
    assert create_runtime(WorkerSettings()) is None


@pytest.fixture
def unused_address() -> str:
    return f"127.0.0.1:{free_port()}"


async def read_count(url: str, labels: str) -> float:
    """Read our metric as Prometheus does."""
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        lines = (await response.text()).splitlines()
    (line,) = [line for line in lines if line.startswith(f"{METRIC}_total{{") and labels in line]
    return float(line.split()[-1])
