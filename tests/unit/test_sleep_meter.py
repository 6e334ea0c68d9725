"""What suspending does is counted for Prometheus."""

from collections import Counter
from datetime import timedelta

from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from activities.idle import SleepMeter


def test_suspensions_wakes_and_the_seconds_between_are_counted() -> None:
    buffer = MetricBuffer(1_000)
    runtime = Runtime(
        telemetry=TelemetryConfig(metrics=buffer), worker_heartbeat_interval=timedelta(seconds=60)
    )
    meter = SleepMeter(runtime.metric_meter)
    for _ in range(3):
        meter.count_suspended()
    meter.count_sleep(3_600.4)
    meter.count_sleep(60)

    counts: Counter[str] = Counter()
    for update in buffer.retrieve_updates():
        counts[update.metric.name.removeprefix("temporal_")] += int(update.value)
    assert counts == {
        "cattery_sandboxes_suspended": 3,
        "cattery_sandboxes_woken": 2,
        "cattery_sandbox_sleep_seconds": 3_660,
    }
