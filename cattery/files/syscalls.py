"""The two system calls that safe file work needs and Python's `os` does not have.

`openat2` resolves a whole path beneath a folder without a race; `renameat2` refuses to replace,
or swaps two objects at once. Both are Linux's; kernels, sandboxes and file systems that lack them
say so with an errno that callers know how to live with.
"""

import ctypes
import errno
import os
import struct
from functools import cache

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

_SYS_OPENAT2 = 437  # the same on every architecture that CPython supports on Linux
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_BENEATH = 0x08
_UNSUPPORTED = frozenset({errno.ENOSYS, errno.EPERM, errno.EINVAL, errno.E2BIG})


def open_beneath(folder_fd: int, path: str, flags: int) -> int:
    """Open `path` relative to a folder, following links and `..` that stay beneath it.

    Absolute links fail with `EXDEV` as well, wherever they point. See openat2(2).

    Raises:
        OSError: `EXDEV` the path leaves the folder; `EAGAIN` a rename raced with a `..`.
    """
    how = struct.pack("=QQQ", flags, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    buffer = ctypes.create_string_buffer(how, len(how))
    encoded = os.fsencode(path)
    while True:
        fd: int = _libc().syscall(_SYS_OPENAT2, folder_fd, encoded, buffer, len(how))
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), path)


@cache
def has_open_beneath() -> bool:
    """Whether openat2 works here: gVisor and old kernels lack it, some filters forbid it."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_beneath(root, ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    else:
        return True
    finally:
        os.close(root)


def rename_at(old_fd: int, old: str, new_fd: int, new: str, flags: int) -> None:
    """Rename within or between two open folders, with the flags of renameat2(2).

    Raises:
        OSError: `EEXIST` for a taken target with `RENAME_NOREPLACE`; `ENOSYS` or `EINVAL` where
            the kernel or the file system does not know the flag.
    """
    call = getattr(_libc(), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(old_fd, os.fsencode(old), new_fd, os.fsencode(new), flags) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old, None, new)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
