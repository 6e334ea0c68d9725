"""How many things a worker does at once."""

from datetime import timedelta
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class WorkerSettings(BaseSettings):
    """Slots and patience of one worker process; names begin with `CATTERY_WORKER_`."""

    model_config = SettingsConfigDict(
        env_prefix="CATTERY_WORKER_", frozen=True, extra="ignore", populate_by_name=True
    )

    turns: int = 500
    """Turns that run at once. A turn past it waits in its queue."""
    sandboxes: int | None = None
    """Sandboxes that are started or ended at once; by default 16, on a cluster 100."""
    waits: int = 2_000
    """Activities of each kind that wait for a workflow at once; they cost next to nothing."""
    cached_workflows: int = 1_000
    """Workflows kept in memory, so that their next step needs no replay."""
    writers: int = 1
    """Connections that write events; a session's events always take the same one. One writes the
    larger batches; more help where commits are slow and cores are many."""
    fold_after: timedelta = timedelta(days=1)
    """Once a turn has ended for so long the pieces of its texts are put together: a watcher that
    comes back later gets whole parts. 0 is never."""
    sweep_dry_run: bool = False
    """Have the sweep log and count the sandboxes that it would end, and end none."""
    graceful_shutdown: timedelta = timedelta(seconds=5)
    """How long running activities get to hand over when the worker is asked to stop."""
    ready_file: Path | None = None
    """Touched every few seconds while the worker polls, for whoever started it."""
    metrics_address: str | None = None
    """`host:port` where Prometheus finds this worker's metrics; by default it has none."""
