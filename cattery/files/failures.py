"""Where the kernel's refusals become sentences for people.

Every blocking file operation runs under `explaining`, so that routes hold no `try` and no errno
reaches a caller.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from cattery.errors import (
    BadRequestError,
    CatteryError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    UnavailableError,
)
from cattery.files.paths import show_path

_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_BUSY = frozenset({errno.EBUSY, errno.ENOTEMPTY, errno.ETXTBSY, errno.EAGAIN})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_SPECIAL = frozenset({errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP})


@contextmanager
def explaining(path: object) -> Iterator[None]:
    """Turn an `OSError` about `path` into the error that its meaning has in the contract."""
    try:
        yield
    except OSError as error:
        raise explain(error, path) from error


def explain(error: OSError, path: object) -> CatteryError:
    """Choose the error and the sentence for what the kernel said about `path`."""
    shown = show_path(path)
    number = error.errno
    if number in _MISSING:
        return NotFoundError(f"file or folder: {shown}")
    if number == errno.EEXIST:
        return taken(path)
    if number in (errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EXDEV):
        return BadRequestError(_EXPLANATIONS[number].format(path=shown))
    if number in _SPECIAL:
        return not_a_file(path)
    if number in _REFUSED:
        return ForbiddenError(f"The file system does not permit this on {shown}.")
    if number in _BUSY:
        return ConflictError(f"{shown} is being changed by someone else. Try again in a moment.")
    if number in _FULL:
        return UnavailableError("There is no space left for files. Delete some and try again.")
    return UnavailableError(f"The file system failed on {shown}. Try again in a moment.")


def not_a_file(path: object) -> BadRequestError:
    """Refuse what is neither a file nor a folder: a pipe, a socket or a device."""
    return BadRequestError(f"{show_path(path)} is not a regular file, so it cannot be read.")


def escaped(path: object) -> BadRequestError:
    """Refuse a path that leads out of its root."""
    return BadRequestError(f"{show_path(path)} leads out of these files, through `..` or a link.")


def taken(path: object) -> ConflictError:
    """Refuse to replace what has that name already."""
    return ConflictError(f"{show_path(path)} exists already. Choose another name, or delete it.")


_EXPLANATIONS = {
    errno.EISDIR: "{path} is a folder; this works on files only.",
    errno.ELOOP: "{path} goes through too many links; some may point at each other.",
    errno.ENAMETOOLONG: "{path} is longer than the file system allows.",
    errno.EINVAL: "A folder cannot be moved into itself, nor can {path} have that name here.",
    errno.EXDEV: "{path} lies on another file system and cannot be moved there; copy it instead.",
}
