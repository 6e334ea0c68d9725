"""Counts what no translator knows, so that a new release of a harness does not go unnoticed.

Both labels come from outside: a type of harness from its row, a type of frame from the harness. So
a process tells a bounded number of them apart, and all later ones are counted together.
"""

from typing import Final

import structlog
from temporalio.common import MetricMeter

log = structlog.get_logger(__name__)

METRIC: Final = "cattery_harness_unknown_events"
MAX_TYPES: Final = 50
"""Types of frame that are told apart for one type of harness."""
OTHER: Final = "(other)"


class UnknownFrames:
    """The count of one process."""

    def __init__(self, meter: MetricMeter) -> None:
        self._counter = meter.create_counter(
            METRIC, "Events of harnesses that no translator knows, as they were written."
        )
        self._known: dict[str, set[str]] = {}

    def count(self, harness_type: str, frame_type: str) -> None:
        """Count one frame; the first of its type is also logged."""
        known = self._known.setdefault(harness_type, set())
        if frame_type not in known and len(known) >= MAX_TYPES:
            frame_type = OTHER
        if frame_type not in known:
            known.add(frame_type)
            log.warning("harness_frame_unknown", harness_type=harness_type, frame_type=frame_type)
        self._counter.add(1, {"harness_type": harness_type, "event_type": frame_type})
