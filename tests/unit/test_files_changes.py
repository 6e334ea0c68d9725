"""Changing a tree as the contract says: with the kernel's and our own resolution, and far away."""

import asyncio
import errno
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from cattery.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    TooLargeError,
)
from cattery.files.beneath import Resolution
from cattery.files.local_tree import LocalTree
from cattery.files.port import FileTree, Placed
from cattery.files.remote_tree import RemoteTree
from tests.unit.served_files import serving

BAD_NAMES = ["", ".", "..", "a/b", "/a", "a\\b", "a\0b", "\ud800"]
BAD_NAMES += ["x" * 256, "ü" * 128, "x" * 10_000]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace, with a secret beside it that nothing may reach."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary").write_text("canary")
    root = tmp_path / "workspace"
    root.mkdir()
    return root


@pytest.fixture(params=[Resolution.KERNEL, Resolution.WALK], ids=["kernel", "walk"])
def local_tree(root: Path, request: pytest.FixtureRequest) -> LocalTree:
    return LocalTree(root, "/workspace", resolution=request.param)


@pytest.fixture(params=[Resolution.KERNEL, Resolution.WALK, None], ids=["kernel", "walk", "remote"])
async def tree(root: Path, request: pytest.FixtureRequest) -> AsyncIterator[FileTree]:
    """A tree on this machine, or one that a file manager serves."""
    tree = LocalTree(root, "/workspace", resolution=request.param)
    if request.param is not None:
        yield tree
        return
    async with serving(tree) as calls:
        yield RemoteTree(calls)


async def stream(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def brief(value: str) -> str:
    return f"{value[:8]!a}-{len(value)}"


async def names(tree: FileTree, path: str = "") -> list[str]:
    return [entry.name for entry in await tree.list_folder(path)]


class TestUpload:
    async def test_the_file_is_stored_for_the_agent_too(self, tree: FileTree, root: Path) -> None:
        (root / "in").mkdir()
        placed = await tree.upload("in", "new.txt", stream([b"he", b"", b"llo"]), max_bytes=5)
        assert placed == Placed("/in/new.txt", "new.txt", 5)
        assert (root / "in" / "new.txt").read_bytes() == b"hello"
        assert stat.S_IMODE((root / "in" / "new.txt").stat().st_mode) == 0o664
        assert held(root / "in") == ["new.txt"]

    async def test_a_file_of_that_name_is_replaced_and_stays_executable(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "run.sh").write_text("a longer old content")
        (root / "run.sh").chmod(0o755)
        await tree.upload("", "run.sh", stream([b"new"]), max_bytes=10)
        assert (root / "run.sh").read_text() == "new"
        assert stat.S_IMODE((root / "run.sh").stat().st_mode) == 0o775

    async def test_a_link_of_that_name_is_replaced_not_followed(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "link").symlink_to("../secret")
        await tree.upload("", "link", stream([b"new"]), max_bytes=10)
        assert not (root / "link").is_symlink()
        assert (root.parent / "secret").read_text() == "secret"

    async def test_a_folder_is_not_replaced(self, tree: FileTree, root: Path) -> None:
        (root / "taken").mkdir()
        with pytest.raises(ConflictError):
            await tree.upload("", "taken", stream([b"x"]), max_bytes=10)
        assert held(root) == ["taken"]

    async def test_an_upload_over_the_limit_leaves_the_old_file(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "file").write_text("old")
        with pytest.raises(TooLargeError):
            await tree.upload("", "file", stream([b"x" * 9, b"yy"]), max_bytes=10)
        assert held(root) == ["file"]
        assert (root / "file").read_text() == "old"

    async def test_a_broken_upload_leaves_nothing(self, tree: FileTree, root: Path) -> None:
        async def breaking() -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            raise ConnectionResetError

        before = open_files()
        with pytest.raises(ConnectionResetError):
            await tree.upload("", "file", breaking(), max_bytes=10**6)
        assert held(root) == []
        await wait_for_open_files(before)

    async def test_a_cancelled_upload_leaves_nothing(self, tree: FileTree, root: Path) -> None:
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            started.set()
            await asyncio.Event().wait()

        before = open_files()
        task = asyncio.create_task(tree.upload("", "file", endless(), max_bytes=10**6))
        await started.wait()
        assert held(root) == []  # nor would a killed process leave anything
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held(root) == []
        await wait_for_open_files(before)

    async def test_without_nameless_files_what_is_under_way_is_hidden(
        self, local_tree: LocalTree, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = local_tree
        real_open = os.open

        def open_without(path: str, flags: int, *args: int, **kw: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no nameless files here")
            return real_open(path, flags, *args, **kw)

        async def watching() -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            assert await names(tree) == []
            assert len(held(root)) == 1
            yield b"y"

        monkeypatch.setattr(os, "open", open_without)
        with pytest.raises(TooLargeError):
            await tree.upload("", "file", watching(), max_bytes=300_000)
        assert held(root) == []
        await tree.upload("", "file", watching(), max_bytes=300_001)
        assert held(root) == ["file"]
        assert (root / "file").stat().st_size == 300_001

    async def test_readers_see_the_old_or_the_new_content(self, tree: FileTree, root: Path) -> None:
        (root / "file").write_text("old")

        async def watching() -> AsyncIterator[bytes]:
            for part in (b"n", b"e", b"w"):
                yield part
                assert (root / "file").read_text() == "old"

        await tree.upload("", "file", watching(), max_bytes=10)
        assert (root / "file").read_text() == "new"

    @pytest.mark.parametrize("name", BAD_NAMES, ids=brief)
    async def test_bad_names_are_refused_everywhere(
        self, tree: FileTree, root: Path, name: str
    ) -> None:
        (root / "file").write_text("")
        with pytest.raises(BadRequestError):
            await tree.upload("", name, stream([b"x"]), max_bytes=10)
        with pytest.raises(BadRequestError):
            await tree.rename("file", name)
        with pytest.raises(BadRequestError):
            await tree.make_folder("", name)
        assert held(root) == ["file"]

    async def test_the_target_folder_must_be_one(self, tree: FileTree, root: Path) -> None:
        (root / "file").write_text("")
        with pytest.raises(NotFoundError):
            await tree.upload("missing", "x", stream([b"x"]), max_bytes=10)
        with pytest.raises(BadRequestError):
            await tree.upload("file", "x", stream([b"x"]), max_bytes=10)


class TestDeleting:
    async def test_a_folder_goes_with_all_in_it(self, tree: FileTree, root: Path) -> None:
        (root / "a" / "b" / "c").mkdir(parents=True)
        (root / "a" / "b" / "file").write_text("")
        (root / "a" / "out").symlink_to("../../outside")
        os.mkfifo(root / "a" / "pipe")
        await tree.delete("/a")
        assert held(root) == []
        assert (root.parent / "outside" / "canary").read_text() == "canary"

    async def test_a_link_goes_itself(self, tree: FileTree, root: Path) -> None:
        (root / "kept").mkdir()
        (root / "inside").symlink_to("kept")
        (root / "outside").symlink_to("../outside")
        await tree.delete("inside")
        await tree.delete("outside")
        assert held(root) == ["kept"]
        assert (root.parent / "outside").is_dir()

    async def test_what_ends_in_dots_is_found_by_its_own_name(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "a" / "b").mkdir(parents=True)
        await tree.delete("a/b/..")
        assert held(root) == []

    @pytest.mark.parametrize("path", ["", "/", ".", "a/..", "a/b/../.."])
    async def test_the_root_itself_stays(self, tree: FileTree, root: Path, path: str) -> None:
        (root / "a" / "b").mkdir(parents=True)
        with pytest.raises(BadRequestError):
            await tree.delete(path)
        with pytest.raises(BadRequestError):
            await tree.rename(path, "new")
        with pytest.raises(BadRequestError):
            await tree.move(path, "a")
        assert (root / "a" / "b").is_dir()

    async def test_a_missing_object_is_not_found(self, tree: FileTree) -> None:
        with pytest.raises(NotFoundError):
            await tree.delete("missing")

    async def test_a_tree_deeper_than_any_path_goes_too(self, tree: FileTree, root: Path) -> None:
        fd = os.open(root, os.O_PATH)
        name = "d" * 200
        for _ in range(100):
            os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_PATH, dir_fd=fd)
            os.close(fd)
            fd = below
        os.close(fd)
        await tree.delete(name)
        assert held(root) == []

    async def test_a_folder_without_write_permission_goes_too(self, root: Path) -> None:
        """Go's module cache is such a tree; root would not notice, so a child becomes nobody."""
        inner = root / "cache" / "locked"
        inner.mkdir(parents=True)
        (inner / "file").write_text("")
        inner.chmod(0o000)
        (root / "cache").chmod(0o555)
        script = (
            "import os, sys\n"
            "from cattery.files.removal import remove_tree\n"
            "fd = os.open(sys.argv[1], os.O_PATH)\n"
            "os.geteuid() == 0 and (os.setgid(65534), os.setuid(65534))\n"
            "remove_tree(fd, 'cache')\n"
        )
        if os.geteuid() == 0:
            for path in (root, root / "cache", inner):
                os.chown(path, 65534, 65534)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(root))
        assert await process.wait() == 0
        assert held(root) == []


class TestRenamingAndMoving:
    async def test_an_object_gets_another_name_in_its_folder(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "a").mkdir()
        (root / "a" / "old").write_text("x")
        assert await tree.rename("a/old", "new") == Placed("/a/new", "new")
        assert await tree.rename("a/../a/new", "newer") == Placed("/a/newer", "newer")
        assert (root / "a" / "newer").read_text() == "x"

    async def test_an_object_moves_into_another_folder(self, tree: FileTree, root: Path) -> None:
        (root / "a").mkdir()
        (root / "file").write_text("x")
        assert await tree.move("file", "a") == Placed("/a/file", "file")
        assert await tree.move("/a/file", "/a") == Placed("/a/file", "file")
        assert await tree.move("/a/file", "/") == Placed("/file", "file")
        assert (root / "file").read_text() == "x"

    async def test_a_link_is_renamed_and_moved_itself(self, tree: FileTree, root: Path) -> None:
        (root / "a").mkdir()
        (root / "link").symlink_to("../secret")
        await tree.rename("link", "renamed")
        await tree.move("renamed", "a")
        assert (root / "a" / "renamed").is_symlink()
        assert (root.parent / "secret").exists()

    @pytest.mark.parametrize("taken", ["file", "folder", "broken"])
    async def test_a_taken_target_is_never_replaced(
        self, tree: FileTree, root: Path, taken: str
    ) -> None:
        for folder in (root, root / "a"):
            folder.mkdir(exist_ok=True)
            (folder / "file").write_text(folder.name)
            (folder / "folder").mkdir()
            (folder / "broken").symlink_to("nowhere")
        (root / "other").write_text("other")
        for attempt in (
            tree.rename("other", taken),
            tree.rename(taken, taken),
            tree.move(taken, "a"),
            tree.make_folder("", taken),
        ):
            with pytest.raises(ConflictError):
                await attempt
        assert (root / "a" / "file").read_text() == "a"
        assert (root / "other").read_text() == "other"

    @pytest.mark.parametrize("target", ["a", "a/b", "a/b/a", "link", "a/b/.."])
    async def test_a_folder_does_not_go_into_itself(
        self, tree: FileTree, root: Path, target: str
    ) -> None:
        (root / "a" / "b" / "a").mkdir(parents=True)
        (root / "link").symlink_to("a/b")
        with pytest.raises(BadRequestError):
            await tree.move("a", target)
        assert (root / "a" / "b" / "a").is_dir()

    async def test_missing_objects_and_folders_are_not_found(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "file").write_text("")
        for attempt in (
            tree.rename("missing", "new"),
            tree.move("missing", ""),
            tree.move("file", "missing"),
            tree.make_folder("missing", "new"),
        ):
            with pytest.raises(NotFoundError):
                await attempt
        with pytest.raises(BadRequestError):
            await tree.move("file", "file")

    async def test_a_made_folder_is_the_groups_too(self, tree: FileTree, root: Path) -> None:
        assert await tree.make_folder("/", "new") == Placed("/new", "new")
        assert stat.S_IMODE((root / "new").stat().st_mode) == 0o2775


@pytest.mark.parametrize("error", ["ENOSYS", "EINVAL"])
async def test_renaming_works_where_the_file_system_lacks_renameat2(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    def lacking(*_: object) -> None:
        raise OSError(getattr(errno, error), "lacking")

    monkeypatch.setattr("cattery.files.local_tree.rename_at", lacking)
    tree = LocalTree(root)
    (root / "one").write_text("1")
    (root / "two").write_text("2")
    with pytest.raises(ConflictError):
        await tree.rename("one", "two")
    await tree.rename("one", "three")
    assert held(root) == ["three", "two"]


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def wait_for_open_files(count: int) -> None:
    """A file manager notices a moment later that its caller went away."""
    async with asyncio.timeout(5):
        while open_files() != count:
            await asyncio.sleep(0.01)


def open_files() -> int:
    return len(held(Path("/proc/self/fd")))
