"""Recursive deletion that no racing link swap can lead astray.

Every step works on an open folder and a name in it: a link is unlinked, never followed, and a
folder is entered only as the folder that was opened without following. Depth is bounded in open
files: what lies deeper is first moved up to the top of the tree that is being deleted.
"""

import errno
import os
import stat
from contextlib import suppress
from uuid import uuid4

from cattery.files.paths import PRIVATE_PREFIX

_MAX_DEPTH = 32
_MAX_PASSES = 2_000
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def remove_tree(folder_fd: int, name: str) -> None:
    """Delete an object, a link itself, or a folder with all in it.

    Raises:
        OSError: `ENOENT` it is not there; `ENOTEMPTY` someone keeps filling it; `EACCES`.
    """
    if _unlink(folder_fd, name):
        return
    for _ in range(_MAX_PASSES):
        fd = _open_folder(folder_fd, name)
        try:
            _empty(fd, fd, depth=1)
        finally:
            os.close(fd)
        try:
            os.rmdir(name, dir_fd=folder_fd)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))


def _empty(folder_fd: int, top_fd: int, *, depth: int) -> None:
    """Delete what a folder holds; what someone adds meanwhile is left for the next pass."""
    with os.scandir(folder_fd) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if not _unlink(folder_fd, entry.name):
                    _remove_folder(folder_fd, entry.name, top_fd, depth=depth)


def _remove_folder(folder_fd: int, name: str, top_fd: int, *, depth: int) -> None:
    if depth >= _MAX_DEPTH:
        os.rename(  # the next pass finds it at the top
            name, f"{PRIVATE_PREFIX}{uuid4().hex}", src_dir_fd=folder_fd, dst_dir_fd=top_fd
        )
        return
    try:
        fd = _open_folder(folder_fd, name)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return  # swapped for something else; the next pass unlinks that
        raise
    try:
        _empty(fd, top_fd, depth=depth + 1)
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=folder_fd)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOTDIR):
            raise


def _unlink(folder_fd: int, name: str) -> bool:
    """Unlink what is no folder; say whether that was done."""
    try:
        os.unlink(name, dir_fd=folder_fd)
    except IsADirectoryError:
        return False
    except PermissionError:
        if _is_folder(folder_fd, name):
            return False
        if not _make_writable(folder_fd):
            raise
        os.unlink(name, dir_fd=folder_fd)
    return True


def _open_folder(folder_fd: int, name: str) -> int:
    """Open a folder to be emptied; tools such as Go's leave folders that are not writable."""
    try:
        fd = os.open(name, _OPEN, dir_fd=folder_fd)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder_fd)
        try:
            os.chmod(f"/proc/self/fd/{handle}", 0o700)  # noqa: PTH101 - an open folder has no path
        finally:
            os.close(handle)
        fd = os.open(name, _OPEN, dir_fd=folder_fd)
    _make_writable(fd)
    return fd


def _is_folder(folder_fd: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode)


def _make_writable(folder_fd: int) -> bool:
    """Let the owner change a folder that is ours; say whether its mode was changed."""
    mode = stat.S_IMODE(os.fstat(folder_fd).st_mode)
    if mode & stat.S_IRWXU == stat.S_IRWXU:
        return False
    try:
        os.fchmod(folder_fd, mode | stat.S_IRWXU)
    except OSError:
        return False
    return True
