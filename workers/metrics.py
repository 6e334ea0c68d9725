"""Where a worker's metrics go: those of Temporal's SDK, and our own beside them."""

from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig

from workers.settings import WorkerSettings


def create_runtime(settings: WorkerSettings) -> Runtime | None:
    """Serve metrics for Prometheus at the address of the settings; `None` where there is none.

    Raises:
        RuntimeError: nothing can listen at that address; its message says it.
    """
    if settings.metrics_address is None:
        return None
    prometheus = PrometheusConfig(bind_address=settings.metrics_address, counters_total_suffix=True)
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=prometheus))
    except (RuntimeError, ValueError) as error:
        raise RuntimeError(
            f"The worker cannot serve its metrics at {settings.metrics_address}: {error}. "
            "CATTERY_WORKER_METRICS_ADDRESS names a free host:port."
        ) from error
