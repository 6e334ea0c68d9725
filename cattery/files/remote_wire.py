"""How a file manager and its callers write things down, for both of them.

Answers are JSON, of files the bytes themselves; an error is `{code, message}` with its status and
becomes the same error again on the other side. It is an internal protocol: both ends are of one
release, and nobody else speaks it.
"""

from collections.abc import Iterator
from typing import Final

from cattery.errors import CatteryError, UnavailableError
from cattery.jsontypes import Json, JsonObject

TOKEN_VARIABLE: Final = "CATTERY_FILEMGR_TOKEN"  # noqa: S105 - where it is read from
NAME_HEADER: Final = "X-Cattery-Name"
"""Of a file's bytes: its name, percent-encoded."""

HEALTH: Final = "/healthz"
READY: Final = "/ready"
"""As `HEALTH`, but for callers who prove themselves: whoever gets through here gets through."""
LIST: Final = "/files/list"
TEXT: Final = "/files/text"
BYTES: Final = "/files/bytes"
UPLOAD: Final = "/files/upload"
DELETE: Final = "/files/delete"
RENAME: Final = "/files/rename"
MOVE: Final = "/files/move"
MAKE_FOLDER: Final = "/files/make-folder"
CATALOG: Final = "/skills/catalog"
UPLOAD_SKILL: Final = "/skills/upload"
HOMES: Final = "/homes"
KEEP_HOMES: Final = "/homes/keep"

MAX_REQUEST_LINE: Final = 64 * 1024
"""Two paths of 4,096 bytes, each byte percent-encoded, and room to spare."""


def write_error(error: CatteryError) -> JsonObject:
    """Write an error down; its status travels beside it."""
    return {"code": error.code, "message": error.message}


def read_error(status: int, written: Json) -> CatteryError:
    """Make the error again that was written down."""
    if isinstance(written, dict):
        code, message = written.get("code"), written.get("message")
        for known in _all_errors(CatteryError):
            if known.code == code and known.status == status and isinstance(message, str):
                error = known.__new__(known)
                CatteryError.__init__(error, message)
                return error
    return UnavailableError(
        f"The file manager gave an answer that makes no sense (status {status}). "
        "Try again in a moment; if it stays so, see the file manager's log."
    )


def _all_errors(kind: type[CatteryError]) -> Iterator[type[CatteryError]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _all_errors(derived)
