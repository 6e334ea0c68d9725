"""An event as it is sent to watchers: encoded once, however many there are."""

from typing import Self

import orjson

from cattery.events.model import LoggedEvent

STREAM_RESET = "stream.reset"
"""Type of the frame after which a watcher forgets what it has: the log follows, folded."""


class Frame:
    """One event as it is sent: encoded once, whoever watches."""

    __slots__ = ("_tail", "full", "is_preview", "seq", "turn_no", "type")

    def __init__(
        self, seq: int, turn_no: int, kind: str, data: bytes, *, is_preview: bool = False
    ) -> None:
        self.seq = seq
        self.turn_no = turn_no
        self.type = kind
        self.is_preview = is_preview
        """Whether the event is only the beginning of what `read_whole` gives."""
        self.full = b'{"seq":%d,"turn_no":%d,"type":"%b","data":%b}' % (
            seq,
            turn_no,
            kind.encode(),
            data,
        )
        """The event with its number and turn as JSON."""
        # What was given is not kept: the bytes that orjson makes hold 4 KiB, however short.
        self._tail = len(data) + 1

    @classmethod
    def of(cls, event: LoggedEvent) -> Self:
        """Encode an event."""
        data = orjson.dumps(event.data)
        is_preview = "large" in event.data
        return cls(event.seq, event.turn_no, event.type, data, is_preview=is_preview)

    @property
    def contract(self) -> bytes:
        """The contract's PlatformEvent as JSON."""
        return b'{"type":"%b","data":%b' % (self.type.encode(), self.full[-self._tail :])
