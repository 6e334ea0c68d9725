"""Counting tokens and cost of a session while its turn runs.

opencode tells a session's total only before a turn and after its idle; each message tells its own.
"""

from collections.abc import Sequence

from cattery.events.model import UsageUpdated
from cattery.harnesses.frames import number_of, object_of
from cattery.jsontypes import JsonObject

type _Counts = tuple[float, float, float]


class Usage:
    """The session's total before the turn, and what each of the turn's messages adds."""

    def __init__(self) -> None:
        self._before: _Counts | None = None
        self._messages: dict[str, _Counts] = {}

    def set_total(self, session: JsonObject) -> None:
        """Take the total that a session shows before the turn's first answer."""
        self._before = _count(session)

    def set_earlier(self, messages: Sequence[JsonObject]) -> None:
        """Add up the total from the messages before the turn."""
        counts = [_count(message) for message in messages]
        self._before = (
            sum(c[0] for c in counts),
            sum(c[1] for c in counts),
            sum(c[2] for c in counts),
        )

    def take(self, message_id: str, message: JsonObject) -> None:
        """Take what a message of the turn counts so far."""
        self._messages[message_id] = _count(message)

    def tell(self) -> list[UsageUpdated]:
        """Return the total, where it is known and anything was counted."""
        if self._before is None:
            return []
        counts = [self._before, *self._messages.values()]
        used, written, cost = (sum(c[i] for c in counts) for i in range(3))
        if not used and not written:
            return []
        # Without a price list every cost is zero, which would be a lie.
        return [UsageUpdated(int(used), int(written), cost or None)]


def _count(counted: JsonObject) -> _Counts:
    tokens = object_of(counted, "tokens")
    cache = object_of(tokens, "cache")
    used = number_of(tokens, "input") + number_of(cache, "read") + number_of(cache, "write")
    written = number_of(tokens, "output") + number_of(tokens, "reasoning")
    return used, written, number_of(counted, "cost")
