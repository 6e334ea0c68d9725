"""Whatever an agent swaps while we work, nothing outside of the root is read or changed.

Another thread keeps replacing folders, files and links by one another, as a hostile agent would;
Hypothesis chooses the operations. What lies outside carries a mark that must never come back,
and must be the same afterwards, to the inode and the nanosecond.
"""

import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from cattery.errors import CatteryError
from cattery.files.beneath import Resolution
from cattery.files.local_tree import LocalTree
from cattery.files.syscalls import RENAME_EXCHANGE, rename_at

MARK = "outside"
NAMES = ["a", "b", "c"]
TARGETS = ["../outside", "../../outside", "..", "../..", ".", "a", "b/../c", "/workspace/b", "a/.."]

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

paths = st.lists(st.sampled_from([*NAMES, *NAMES, "..", MARK]), max_size=4).map("/".join)
operations = st.tuples(
    st.sampled_from(["list", "read", "open", "upload", "delete", "rename", "move", "mkdir"]),
    paths,
    paths,
    st.sampled_from(NAMES),
)


@pytest.mark.parametrize("resolution", Resolution)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(steps=st.lists(operations, min_size=10, max_size=30), seed=st.integers(0, 2**32))
def test_racing_link_swaps_never_lead_out(
    resolution: Resolution, steps: list[tuple[str, str, str, str]], seed: int
) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        root = prepare(home)
        before = snapshot(home)
        tree = LocalTree(root, "/workspace", resolution=resolution)
        chance = random.Random(seed)
        with racing(root, lambda fd: swap_anything(fd, chance)):
            seen = asyncio.run(run_all(tree, steps))
        assert not [text for text in seen if MARK in text]
        assert snapshot(home) == before
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("resolution", Resolution)
def test_a_folder_that_turns_into_a_link_and_back_all_the_time_never_leads_out(
    resolution: Resolution, tmp_path: Path
) -> None:
    root = prepare(tmp_path)
    (root / "c" / "link").symlink_to("../outside")
    before = snapshot(tmp_path)
    tree = LocalTree(root, resolution=resolution)
    steps = [
        ("list", "b", "", ""),
        ("upload", "b", "", "c"),
        ("read", "b/c", "", ""),
        ("rename", "b/c", "", "a2"),
        ("mkdir", "b", "", "new"),
        ("move", "b/a2", "a", ""),
        ("delete", "b/new", "", ""),
        ("delete", "a/a2", "", ""),
    ]

    def flip(fd: int) -> None:
        rename_at(fd, "b", fd, "c/link", RENAME_EXCHANGE)

    with racing(root, flip):
        seen = asyncio.run(run_all(tree, steps * 40))
    assert not [text for text in seen if MARK in text]
    assert snapshot(tmp_path) == before


def prepare(home: Path) -> Path:
    """Make a workspace, and beside it folders of the same names, which it must not see."""
    for path in ("outside/a", "outside/b", "workspace/a/b/c", "workspace/b/a", "workspace/c"):
        (home / path).mkdir(parents=True)
    for folder in (home / "outside", home / "outside" / "a", home / "outside" / "b"):
        for name in ("c", "outside-only"):
            (folder / name).write_text(MARK)
    return home / "workspace"


def snapshot(home: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Describe everything outside of the workspace, changes of which would show."""
    rows = []
    for path in sorted((home / "outside").rglob("*")):
        found = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        rows.append((str(path), found.st_ino, found.st_mode, found.st_mtime_ns, content))
    assert sorted(path.name for path in home.iterdir()) == ["outside", "workspace"]
    return rows


@contextmanager
def racing(root: Path, change: Callable[[int], None]) -> Iterator[None]:
    """Change the workspace, given as an open folder, as fast as possible while the block runs."""
    done = Event()
    begun = Event()
    fd = os.open(root, FOLDER)

    def run() -> None:
        while not done.is_set():
            with suppress(OSError):
                change(fd)
            begun.set()

    thread = Thread(target=run)
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        begun.wait()
        yield
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(old)
        os.close(fd)


def swap_anything(root_fd: int, chance: random.Random) -> None:
    """Swap one object, without following links: the agent is not the one who is tested."""
    fd = os.dup(root_fd)
    try:
        for _ in range(chance.randrange(3)):
            inner = os.open(chance.choice(NAMES), FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        swap(fd, chance.choice(NAMES), chance)
    finally:
        os.close(fd)


def swap(fd: int, name: str, chance: random.Random) -> None:
    kind = chance.randrange(6)
    if kind == 0:
        os.mkdir(name, dir_fd=fd)
    elif kind == 1:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, dir_fd=fd))
    elif kind == 2:
        os.mkfifo(name, dir_fd=fd)
    elif kind == 3:
        os.unlink(name, dir_fd=fd)
    else:  # a link for a moment, then what was there before
        os.rename(name, ".aside", src_dir_fd=fd, dst_dir_fd=fd)
        os.symlink(chance.choice(TARGETS), name, dir_fd=fd)
        if kind == 4:
            os.unlink(name, dir_fd=fd)
            os.rename(".aside", name, src_dir_fd=fd, dst_dir_fd=fd)


async def run_all(tree: LocalTree, steps: list[tuple[str, str, str, str]]) -> list[str]:
    seen: list[str] = []
    for step in steps:
        with suppress(CatteryError):  # and nothing else
            seen += await run(tree, *step)
    return seen


async def run(tree: LocalTree, operation: str, path: str, other: str, name: str) -> list[str]:
    """Run one operation; return every text that it gave away."""
    match operation:
        case "list":
            return [e.name for e in await tree.list_folder(path)]
        case "read":
            return [(await tree.read_text(path)).content or ""]
        case "open":
            opened = await tree.open_file(path)
            return [chunk.decode() async for chunk in opened.chunks]
        case "upload":
            await tree.upload(path, name, one(b"inside"), max_bytes=100)
        case "delete":
            await tree.delete(path)
        case "rename":
            await tree.rename(path, name)
        case "move":
            await tree.move(path, other)
        case _:
            await tree.make_folder(path, name)
    return []


async def one(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk
