"""Writes files into a harness's HOME, which may be full of traps.

The harness of an earlier generation could write there whatever it liked, links to the platform's
own files included. Every step goes through a folder's descriptor and never follows a link:
whatever stands in the way of a folder is taken away.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def lay_out_file(root: Path, relative: str, content: str) -> None:
    """Write a text file beneath a root, whole or not at all, making its folders."""
    with _open_parent(root, relative) as (folder, name):
        draft = f".{name}.draft"
        _clear(folder, draft)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as out:
            out.write(content)
        if _is_folder(folder, name):
            _set_aside(folder, name)
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def lay_out_link(root: Path, relative: str, target: str) -> None:
    """Make a symbolic link beneath a root, in the place of whatever is there."""
    with _open_parent(root, relative) as (folder, name):
        _clear(folder, name)
        os.symlink(target, name, dir_fd=folder)


@contextmanager
def _open_parent(root: Path, relative: str) -> Iterator[tuple[int, str]]:
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError(f"not a path beneath HOME: {relative!r}")
    descriptor = os.open(root, _FOLDER)
    try:
        for part in path.parent.parts:
            below = _enter(descriptor, part)
            os.close(descriptor)
            descriptor = below
        yield descriptor, path.name
    finally:
        os.close(descriptor)


def _enter(folder: int, name: str) -> int:
    if not _is_folder(folder, name):
        _clear(folder, name)
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _FOLDER, dir_fd=folder)


def _clear(folder: int, name: str) -> None:
    """Take away what has a name; a folder is set aside under another name, not searched."""
    if _is_folder(folder, name):
        _set_aside(folder, name)
        return
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _is_folder(folder: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _set_aside(folder: int, name: str) -> None:
    aside = f"{name}.aside-{os.urandom(4).hex()}"
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
