"""Server-sent events as bytes come in, after the WHATWG rules, without a copy more than needed.

Our own, because every event of every harness passes here: only `data` matters to us, one large
event must not make the parser quadratic, and an endless one must not fill the memory.
"""

from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""Data of one event at most: a tool's output fits in it many times over."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class SkippedEvent:
    """Stands for an event that was over the limit and therefore not kept."""

    limit: int


type Payload = bytes | SkippedEvent
"""The data of one event, its lines joined by LF; not decoded."""


class SseParser:
    """Takes an event stream in chunks of any size and gives the data of each finished event.

    Comments, `event`, `id` and `retry` are read over. An event that the stream's end cuts off is
    never given, as the standard asks.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit = max_event_bytes
        self._at_start = True
        self._after_cr = False
        self._pieces: list[bytes] = []
        """The unfinished line, as it came."""
        self._line_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._skipping_line = False
        self._skipping_event = False

    def feed(self, chunk: bytes) -> list[Payload]:
        """Take the next bytes; return what they finished."""
        if self._at_start:
            chunk = self._cut_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        tail = lines.pop()
        payloads: list[Payload] = []
        if lines:
            lines[0] = self._finish_line(lines[0])
            for line in lines:
                self._take_line(line, payloads)
        self._keep_tail(tail)
        return payloads

    def _cut_bom(self, chunk: bytes) -> bytes:
        head = b"".join(self._pieces) + chunk
        self._pieces = []
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._pieces = [head]
            return b""
        self._at_start = False
        self._line_bytes = 0
        return head.removeprefix(_BOM)

    def _finish_line(self, end: bytes) -> bytes:
        if self._pieces:
            self._pieces.append(end)
            end = b"".join(self._pieces)
        self._pieces, self._line_bytes = [], 0
        return end

    def _take_line(self, line: bytes, payloads: list[Payload]) -> None:
        if self._skipping_line:
            self._skipping_line = False
            return
        if not line:
            self._dispatch(payloads)
            return
        if line.startswith(b"data:"):
            value = line[6:] if line.startswith(b"data: ") else line[5:]
        elif line == b"data":
            value = b""
        else:
            return
        self._data_bytes += len(value) + 1
        if self._data_bytes > self._limit + 1:
            self._skip_event()
        elif not self._skipping_event:
            self._data.append(value)

    def _dispatch(self, payloads: list[Payload]) -> None:
        if self._skipping_event:
            payloads.append(SkippedEvent(self._limit))
        elif self._data:
            payloads.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
        if self._data_bytes or self._skipping_event:
            self._data, self._data_bytes, self._skipping_event = [], 0, False

    def _keep_tail(self, tail: bytes) -> None:
        if not tail or self._at_start:
            return
        if self._skipping_line:
            return
        self._pieces.append(tail)
        self._line_bytes += len(tail)
        # `data: ` may precede the limit's bytes.
        if self._line_bytes + self._data_bytes > self._limit + len(b"data: "):
            self._skipping_line = True
            self._skip_event()

    def _skip_event(self) -> None:
        self._skipping_event = True
        self._pieces, self._line_bytes = [], 0
        self._data, self._data_bytes = [], 0
