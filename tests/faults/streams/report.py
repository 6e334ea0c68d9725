"""What a run came to, as numbers that a reader can judge."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import override


@dataclass
class Report:
    """The counts of one run; from `lost` to `sent_twice` all must be 0."""

    faults: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    written: int = 0
    prompts: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    watchers: int = 0
    connections: int = 0
    checked: int = 0
    lost: int = 0
    doubled: int = 0
    reordered: int = 0
    changed: int = 0
    sent_twice: int = 0
    restarts: int = 0
    """Processes that ended by themselves, such as one that found no server at its start."""
    stalls: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """By fault, the longest that a piece was under way while it lasted, in seconds."""
    violations: list[str] = field(default_factory=list)

    @override
    def __str__(self) -> str:
        turns = ", ".join(f"{n} {name}" for name, n in sorted(self.outcomes.items()))
        lines = [
            f"faults injected            {sum(self.faults.values()):>9,}",
            f"prompts taken              {self.prompts:>9,}   turns: {turns}",
            f"events written             {self.written:>9,}",
            f"watchers                   {self.watchers:>9,}   connections: {self.connections:,}",
            f"watchers x events checked  {self.checked:>9,}",
            f"lost                       {self.lost:>9,}",
            f"doubled                    {self.doubled:>9,}",
            f"reordered                  {self.reordered:>9,}",
            f"with other content         {self.changed:>9,}",
            f"prompts sent twice         {self.sent_twice:>9,}",
            f"ended by themselves        {self.restarts:>9,}   processes, started again",
            f"everything that must hold  {'holds' if not self.violations else 'does NOT hold':>9}",
        ]
        if self.faults:
            lines += ["", f"{'fault':<40} {'times':>6} {'longest stall':>14}"]
        for name in sorted(self.faults, key=lambda name: -self.stalls[name]):
            lines.append(f"{name:<40} {self.faults[name]:>6} {self.stalls[name]:>12.2f} s")
        return "\n".join(lines)
