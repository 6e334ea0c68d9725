"""What happened in a run, in its order: the first thing that a failure shows."""

import time
from dataclasses import dataclass, field
from typing import override


@dataclass
class History:
    """Lines with the seconds since the beginning."""

    began_at: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Keep what has just happened."""
        self.lines.append(f"{time.monotonic() - self.began_at:8.2f}  {what}")

    @override
    def __str__(self) -> str:
        return "\n".join(self.lines)
