"""Takes the one uploaded file out of a multipart body while the body still arrives.

The frameworks' form parsers spool a whole body to disk before anybody sees its first byte; here
the bytes of the field `file` go on as they come, so that a limit stops an upload at the limit and
nothing is written twice. See RFC 7578.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from cattery.errors import BadRequestError

FILE_FIELD = b"file"
MAX_OTHER_BYTES = 1024 * 1024
"""How much may come in other fields, before the file."""
MAX_DISCARDED_BYTES = 64 * 1024 * 1024
"""How much of a refused body is still taken, so that its sender reads the refusal."""


@dataclass(slots=True)
class _Part:
    """What the parser's callbacks gathered of the part that it is in."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)


class UploadedFile:
    """The file of a multipart body; open it once, then iterate `chunks` once.

    Args:
        content_type: the request's header of that name.
        body: the request's body as it arrives.
    """

    def __init__(self, content_type: str, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._parser = MultipartParser(
            _boundary(content_type),
            callbacks={
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header_name,
                "on_header_value": self._add_header_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_part_end": self._end_part,
                "on_end": self._end,
            },
        )
        self._part = _Part()
        self._found = self._in_file = self._file_ended = self._ended = False
        self._data: deque[bytes] = deque()
        self.file_name = ""

    async def open(self) -> str:
        """Read up to the file and return its name, a directory part dropped.

        Raises:
            BadRequestError: the body is no multipart form, or has no field `file` with a name.
        """
        received = 0
        while not self._found:
            if received > MAX_OTHER_BYTES:
                raise BadRequestError("Too much comes before the field `file` of the form.")
            received += await self._feed()
        return self.file_name

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the file's bytes as they come, then read the form to its end.

        Raises:
            BadRequestError: the body ends or breaks before the file does.
        """
        while True:
            while self._data:
                yield self._data.popleft()
            if self._ended:
                return
            await self._feed()

    async def discard(self) -> None:
        """Read on and throw away, within reason, what a refused body still brings."""
        left = MAX_DISCARDED_BYTES
        async for chunk in self._body:
            left -= len(chunk)
            if left < 0:
                return

    async def _feed(self) -> int:
        """Parse the next piece of the body; return its size."""
        async for piece in self._body:
            if not piece:
                continue
            try:
                self._parser.write(piece)
            except FormParserError as error:
                raise BadRequestError("The body is not a valid multipart form.") from error
            if self._ended and not self._found:
                break
            return len(piece)
        if self._file_ended:  # without the closing boundary, but the file is whole
            self._ended = True
            return 0
        if self._found:
            raise BadRequestError("The upload broke off before its end. Send the file again.")
        raise BadRequestError("The form has no file in its field `file`.")

    def _begin_part(self) -> None:
        self._part = _Part()

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _end_header(self) -> None:
        part = self._part
        part.headers[bytes(part.header_name).lower()] = bytes(part.header_value)
        part.header_name.clear()
        part.header_value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition"))
        if self._found or options.get(b"name") != FILE_FIELD or b"filename" not in options:
            return
        self.file_name = _base_name(options[b"filename"])
        self._found = self._in_file = True

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._data.append(data[start:end])

    def _end_part(self) -> None:
        if self._in_file:
            self._in_file = False
            self._file_ended = True

    def _end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise BadRequestError("Send the file as multipart/form-data, in the field `file`.")
    return boundary


def _base_name(raw: bytes) -> str:
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("The name of the file is not valid UTF-8.") from error
    return name.rsplit("/", 1)[-1]
