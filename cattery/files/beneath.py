"""Containment: whatever a path says, what is opened lies beneath the root.

The agent owns every inode of its workspace and may swap any of them for a link at any moment, so
nothing is decided by looking at a path first and opening it afterwards. The kernel resolves the
whole path (`openat2`); where it cannot, and for absolute links that name the root by the place at
which sandboxes see it, the walk below opens one component after another, never through a link,
and reads links itself. Changes are made relative to open folders, on the last component itself.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Self

from cattery.errors import BadRequestError, NotFoundError, UnavailableError
from cattery.files.failures import escaped, not_a_file
from cattery.files.paths import TreePath, join_names, show_path, split_path
from cattery.files.syscalls import has_open_beneath, open_beneath

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
"""Flags for a folder that other objects are reached through."""
READ_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK
READ_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""Neither a FIFO without a writer nor a device makes this wait."""

_OBJECT = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # as many as Linux follows in one path
_MAX_STEPS = 20_000
_RACED_TRIES = 8


class Resolution(Enum):
    """Who resolves paths: the kernel, or our own walk where it cannot."""

    KERNEL = auto()
    WALK = auto()


def best_resolution() -> Resolution:
    """Ask the kernel once whether it can."""
    return Resolution.KERNEL if has_open_beneath() else Resolution.WALK


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object itself is: an open folder and its name there, no link followed at the end.

    `folder_path` is how the folder is called in answers.
    """

    folder_fd: int
    name: str
    folder_path: TreePath

    @property
    def path(self) -> TreePath:
        """The object's own path."""
        return self.folder_path.child(self.name)


class Beneath:
    """One root, open for one operation; use it as a context manager.

    Args:
        root: the folder; it is trusted, links on the way to it included.
        mount_point: the absolute path at which sandboxes see the root. Absolute links that begin
            with it are resolved beneath the root, as they are in the sandbox.
        resolution: who resolves paths; by default the kernel where it can.
    """

    def __init__(
        self, root: Path, *, mount_point: str | None = None, resolution: Resolution | None = None
    ) -> None:
        self._root = root
        self._mount = split_path(mount_point) if mount_point else ()
        self._resolution = resolution or best_resolution()
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self._root, FOLDER)
        except FileNotFoundError as error:
            raise UnavailableError(
                "These files are not ready yet. Try again in a moment."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def open(self, path: TreePath, flags: int) -> int:
        """Open what `path` leads to, links followed; the caller closes it.

        Raises:
            BadRequestError: the path leaves the root.
            OSError: as open(2) says.
        """
        if self._resolution is Resolution.KERNEL:
            try:
                return open_beneath(self._fd, "/".join(path.parts) or ".", flags)
            except OSError as error:
                # EXDEV may be an absolute link that names the root; EAGAIN is a race with `..`.
                if error.errno not in (errno.EXDEV, errno.EAGAIN):
                    raise
        return self._open_by_walk(path, flags)

    def open_regular(self, path: TreePath) -> int:
        """Open a regular file for reading; the caller closes it.

        Raises:
            BadRequestError: a folder, a FIFO, a socket or a device.
        """
        fd = self.open(path, READ_FILE)
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise BadRequestError(f"{show_path(path)} is a folder; this works on files only.")
        raise not_a_file(path)

    @contextmanager
    def folder(self, path: TreePath, flags: int = FOLDER) -> Iterator[int]:
        """Open a folder for as long as the block runs.

        Raises:
            BadRequestError: it is there, but it is no folder.
        """
        try:
            fd = self.open(path, flags)
        except NotADirectoryError as error:
            self._require_presence(path)
            raise BadRequestError(f"{show_path(path)} is not a folder.") from error
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def spot(self, path: TreePath) -> Iterator[Spot]:
        """Find the object itself: its folder resolved, the object neither opened nor followed.

        Raises:
            BadRequestError: it is the root.
        """
        if path.name == "..":  # it is called by its descendants; find its own name
            path = self.real_path(path)
        if path.is_root:
            raise BadRequestError("The root folder itself cannot be changed.")
        with self.folder(path.parent) as fd:
            yield Spot(fd, path.name, self.plain_path(path.parent))

    def plain_path(self, folder: TreePath) -> TreePath:
        """Say how a folder is called in answers: as asked for, or without any `..`."""
        return self.real_path(folder) if folder.climbs else folder

    def real_path(self, path: TreePath) -> TreePath:
        """Find the path without `..` and links that `path` leads to at this moment."""
        with self._walked(path) as walk:
            return join_names((*walk.names, walk.leaf) if walk.leaf else walk.names)

    def _require_presence(self, path: TreePath) -> None:
        try:
            os.close(self.open(path, os.O_PATH | os.O_CLOEXEC))
        except OSError as error:
            raise NotFoundError(f"file or folder: {show_path(path)}") from error

    def _open_by_walk(self, path: TreePath, flags: int) -> int:
        for _ in range(_RACED_TRIES):
            with self._walked(path) as walk:
                try:
                    return os.open(walk.leaf or ".", flags | os.O_NOFOLLOW, dir_fd=walk.fd)
                except OSError as error:
                    if error.errno != errno.ELOOP:
                        raise  # ELOOP: what was a file a moment ago is a link now; look again
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    @contextmanager
    def _walked(self, path: TreePath) -> "Iterator[_Walk]":
        walk = _Walk(self._fd, self._mount, path)
        try:
            walk.run()
            yield walk
        finally:
            os.close(walk.fd)


class _Walk:
    """Resolves a path one component at a time, holding only the folder that it has come to.

    `names` are the components from the root to the folder `fd`, none of them a link when they
    were passed; `leaf` is the object in it where that is not a folder. A `..` does not ask the
    kernel for a parent, which may have been moved elsewhere: it comes down again from the root.
    """

    def __init__(self, root_fd: int, mount: tuple[str, ...], path: TreePath) -> None:
        self._root_fd = root_fd
        self._mount = mount
        self._path = path
        self._pending = list(reversed(path.parts))
        self._links = self._steps = 0
        self.fd = os.open(".", FOLDER, dir_fd=root_fd)
        self.names: list[str] = []
        self.leaf: str | None = None

    def run(self) -> None:
        """Walk to the end of the path, links at its end included."""
        while self._pending:
            part = self._pending.pop()
            if part == "..":
                self._climb()
            else:
                self._enter(part)

    def _climb(self) -> None:
        if not self.names:
            raise escaped(self._path)
        names = self.names[:-1]
        self._return_to_root()
        for name in names:
            self._go_to(self._open(name, FOLDER | os.O_NOFOLLOW), name)

    def _enter(self, part: str) -> None:
        fd = self._open(part, _OBJECT)
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            self._go_to(fd, part)
            return
        try:
            if stat.S_ISLNK(mode):
                self._follow(os.readlink("", dir_fd=fd))
            elif self._pending:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            else:
                self.leaf = part
        finally:
            os.close(fd)

    def _follow(self, target: str) -> None:
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        parts = split_path(target)
        if target.startswith("/"):
            depth = len(self._mount)
            if not depth or parts[:depth] != self._mount:
                raise escaped(self._path)
            parts = parts[depth:]
            self._return_to_root()
        self._pending.extend(reversed(parts))

    def _open(self, name: str, flags: int) -> int:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return os.open(name, flags, dir_fd=self.fd)

    def _return_to_root(self) -> None:
        self._go_to(os.open(".", FOLDER, dir_fd=self._root_fd))
        self.names = []

    def _go_to(self, fd: int, name: str | None = None) -> None:
        os.close(self.fd)
        self.fd = fd
        if name is not None:
            self.names.append(name)
