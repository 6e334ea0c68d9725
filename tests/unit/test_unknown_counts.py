"""The count of unknown frames tells a bounded number of types apart."""

from collections import Counter
from datetime import timedelta

from temporalio.runtime import (
    BUFFERED_METRIC_KIND_COUNTER,
    MetricBuffer,
    Runtime,
    TelemetryConfig,
)

from activities.unknown_frames import MAX_TYPES, METRIC, OTHER, UnknownFrames


def test_each_type_is_counted_under_its_name_until_there_are_too_many() -> None:
    buffer = MetricBuffer(10_000)
    runtime = Runtime(
        telemetry=TelemetryConfig(metrics=buffer), worker_heartbeat_interval=timedelta(seconds=60)
    )
    unknown = UnknownFrames(runtime.metric_meter)
    for number in range(MAX_TYPES + 5):
        unknown.count("opencode", f"odd.{number}")
    unknown.count("opencode", "odd.0")
    unknown.count("codex-acp", "odd.59")

    counts: Counter[tuple[str, str]] = Counter()
    for update in buffer.retrieve_updates():
        if update.metric.name.endswith(METRIC):
            assert update.metric.kind == BUFFERED_METRIC_KIND_COUNTER
            labels = update.attributes
            counts[str(labels["harness_type"]), str(labels["event_type"])] += int(update.value)
    assert counts == {
        **{("opencode", f"odd.{number}"): 1 for number in range(MAX_TYPES)},
        ("opencode", "odd.0"): 2,
        ("opencode", OTHER): 5,
        ("codex-acp", "odd.59"): 1,
    }
