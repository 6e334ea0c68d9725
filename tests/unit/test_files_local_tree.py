"""Reading a tree as the contract says: with the kernel's and our own resolution, and far away."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from cattery.errors import (
    BadRequestError,
    CatteryError,
    NotFoundError,
    UnavailableError,
)
from cattery.files.beneath import Resolution
from cattery.files.local_tree import MAX_TEXT_BYTES, LocalTree
from cattery.files.port import Entry, EntryType, FileTree, TextContent
from cattery.files.remote_tree import RemoteTree
from cattery.files.streams import FileChunks
from tests.unit.served_files import serving

BAD_PATHS = ["a\0b", "x" * 10_000, "a/" * 2_100, "x" * 256, "a/\ud800"]


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


class TestListing:
    async def test_directories_come_first_then_names_without_regard_to_case(
        self, tree: FileTree, root: Path
    ) -> None:
        for folder in ("src", "Docs"):
            (root / folder).mkdir()
        for file in ("b", "A", "C", ".hidden"):
            (root / file).write_text("12345")
        (root / "a-link").symlink_to("src")
        os.utime(root / "A", (1_700_000_000, 1_700_000_000.9))
        listed = await tree.list_folder("/")
        assert [e.name for e in listed] == ["Docs", "src", ".hidden", "A", "a-link", "b", "C"]
        assert listed[3] == Entry("A", EntryType.FILE, 5, 1_700_000_000)
        assert [e.type for e in listed[:2]] == [EntryType.DIR] * 2
        assert listed[4].type is EntryType.LINK

    async def test_only_the_first_two_thousand_of_that_order_are_listed(self, root: Path) -> None:
        for number in range(2_010):
            os.mknod(root / f"f{number:04}")
        (root / "zz").mkdir()
        listed = await names(LocalTree(root))
        assert listed == ["zz", *(f"f{number:04}" for number in range(1_999))]

    async def test_a_name_that_is_not_utf8_is_shown_with_replacements(
        self, tree: FileTree, root: Path
    ) -> None:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_text("x")
        assert await names(tree) == ["caf\N{REPLACEMENT CHARACTER}"]

    async def test_special_files_are_listed_without_being_opened(
        self, tree: FileTree, root: Path
    ) -> None:
        os.mkfifo(root / "pipe")
        (root / "broken").symlink_to("nowhere")
        assert await names(tree) == ["broken", "pipe"]

    @pytest.mark.parametrize("path", ["", "/", "a/..", "./", "//", "/a/../a/../", "to-root"])
    async def test_every_way_to_write_the_root_lists_it(
        self, tree: FileTree, root: Path, path: str
    ) -> None:
        (root / "a").mkdir()
        (root / "to-root").symlink_to(".")
        assert await names(tree, path) == ["a", "to-root"]

    async def test_a_file_is_no_folder_and_nothing_lies_beneath_it(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "file").write_text("")
        with pytest.raises(BadRequestError):
            await tree.list_folder("file")
        with pytest.raises(NotFoundError):
            await tree.list_folder("file/below")
        with pytest.raises(NotFoundError):
            await tree.list_folder("missing")

    async def test_a_missing_root_is_not_ready_yet(self, root: Path) -> None:
        with pytest.raises(UnavailableError):
            await LocalTree(root / "later").list_folder("")


class TestReading:
    async def test_the_path_asked_for_comes_back(self, tree: FileTree, root: Path) -> None:
        (root / "real").write_text("grüße")
        (root / "link").symlink_to("real")
        expected = TextContent("/link", 7, truncated=False, binary=False, content="grüße")
        assert await tree.read_text("link") == expected

    async def test_text_is_never_cut_inside_a_letter(self, tree: FileTree, root: Path) -> None:
        (root / "long").write_bytes(b"a" + "ü".encode() * MAX_TEXT_BYTES)
        read = await tree.read_text("long")
        assert read.truncated
        assert read.size == 1 + 2 * MAX_TEXT_BYTES
        assert read.content == "a" + "ü" * ((MAX_TEXT_BYTES - 1) // 2)

    async def test_exactly_two_mebibytes_are_not_truncated(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "full").write_bytes(b"x" * MAX_TEXT_BYTES)
        read = await tree.read_text("full")
        assert (read.truncated, len(read.content or "")) == (False, MAX_TEXT_BYTES)

    async def test_replacements_do_not_lengthen_the_text(self, tree: FileTree, root: Path) -> None:
        (root / "latin").write_bytes(b"\xff" * MAX_TEXT_BYTES)
        read = await tree.read_text("latin")
        assert read.truncated
        assert len((read.content or "").encode()) <= MAX_TEXT_BYTES

    @pytest.mark.parametrize(
        ("data", "content"),
        [
            (b"", ""),
            (b"caf\xe9!", "caf\N{REPLACEMENT CHARACTER}!"),
            (b"\0", None),
            (b"x" * 7_999 + b"\0", None),
            (b"x" * 8_000 + b"\0", "x" * 8_000 + "\0"),
        ],
    )
    async def test_a_nul_near_the_start_makes_it_binary(
        self, tree: FileTree, root: Path, data: bytes, content: str | None
    ) -> None:
        (root / "data").write_bytes(data)
        expected = TextContent("/data", len(data), False, content is None, content)
        assert await tree.read_text("data") == expected

    async def test_opening_streams_the_bytes_and_sniffs_their_type(
        self, tree: FileTree, root: Path
    ) -> None:
        data = b"\x89PNG\r\n\x1a\n" + bytes(600_000)
        (root / "picture.txt").write_bytes(data)
        opened = await tree.open_file("picture.txt")
        chunks = [chunk async for chunk in opened.chunks]
        assert b"".join(chunks) == data
        assert max(map(len, chunks)) <= 256 * 1024
        assert (opened.name, opened.size, opened.media_type) == (
            "picture.txt",
            len(data),
            "image/png",
        )

    async def test_a_growing_file_is_streamed_to_the_size_it_had(
        self, tree: FileTree, root: Path
    ) -> None:
        (root / "log").write_bytes(b"one")
        opened = await tree.open_file("log")
        with (root / "log").open("ab") as log:
            log.write(b" two")
        assert [chunk async for chunk in opened.chunks] == [b"one"]

    async def test_closing_before_the_first_chunk_closes_the_file(
        self, local_tree: LocalTree, root: Path
    ) -> None:
        (root / "file").write_bytes(b"x")
        before = open_files()
        opened = await local_tree.open_file("file")
        assert isinstance(opened.chunks, FileChunks)
        await opened.chunks.aclose()
        assert open_files() == before

    @pytest.mark.timeout(5)
    @pytest.mark.parametrize("operation", ["read_text", "open_file"])
    async def test_fifos_sockets_and_folders_are_refused_without_waiting(
        self, tree: FileTree, root: Path, operation: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(root / "pipe")
        (root / "folder").mkdir()
        (root / "link").symlink_to("pipe")
        monkeypatch.chdir(root)  # a socket's path has at most 107 bytes
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            for name in ("pipe", "link", "socket", "folder", ""):
                with pytest.raises(BadRequestError):
                    await getattr(tree, operation)(name)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices: run as root")
    async def test_devices_are_refused(self, tree: FileTree, root: Path) -> None:
        try:
            os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("this container makes no devices: run as root outside of it")
        with pytest.raises(CatteryError) as caught:
            await tree.read_text("zero")
        assert caught.value.status in (400, 403)  # 403 on a mount without devices


class TestContainment:
    @pytest.mark.parametrize(
        "path",
        [
            "..",
            "../secret",
            "a/../../secret",
            "absolute",
            "relative",
            "folder/canary",
            "chain",
            "disguised",
        ],
    )
    async def test_what_leads_out_is_refused_by_every_operation(
        self, tree: FileTree, root: Path, path: str
    ) -> None:
        (root / "a").mkdir()
        (root / "absolute").symlink_to(root.parent / "secret")
        (root / "relative").symlink_to("../secret")
        (root / "folder").symlink_to("../outside")
        (root / "chain").symlink_to("a/next")
        (root / "a" / "next").symlink_to("../../secret")
        (root / "disguised").symlink_to("/workspace/../secret")
        for operation in (tree.list_folder, tree.read_text, tree.open_file):
            with pytest.raises(BadRequestError):
                await operation(path)
        with pytest.raises(BadRequestError):
            await tree.make_folder(path, "new")
        with pytest.raises(BadRequestError):
            await tree.upload(path, "new", stream([b"x"]), max_bytes=10)
        assert held(root.parent) == ["outside", "secret", "workspace"]
        assert held(root.parent / "outside") == ["canary"]

    @pytest.mark.parametrize(
        "path",
        ["a/../file", "/./a//..//file", "inside", "up", "sandboxed", "mounted/file", "a/b/c/file"],
    )
    async def test_what_stays_inside_is_fine(self, tree: FileTree, root: Path, path: str) -> None:
        (root / "a" / "b").mkdir(parents=True)
        (root / "file").write_text("content")
        (root / "inside").symlink_to("file")
        (root / "up").symlink_to("a/b/../../file")
        (root / "sandboxed").symlink_to("/workspace/a/../file")
        (root / "mounted").symlink_to("/workspace")
        (root / "a" / "b" / "c").symlink_to("../..")
        assert (await tree.read_text(path)).content == "content"

    @pytest.mark.parametrize("path", ["broken", "missing", "missing/..", "missing/x", "file/x"])
    async def test_what_leads_nowhere_is_not_found(
        self, tree: FileTree, root: Path, path: str
    ) -> None:
        (root / "broken").symlink_to("nowhere")
        (root / "file").write_text("")
        with pytest.raises(NotFoundError):
            await tree.read_text(path)

    async def test_links_in_a_circle_are_refused(self, tree: FileTree, root: Path) -> None:
        (root / "one").symlink_to("two")
        (root / "two").symlink_to("one")
        with pytest.raises(BadRequestError):
            await tree.read_text("one")

    @pytest.mark.parametrize("path", BAD_PATHS, ids=brief)
    async def test_impossible_paths_are_refused_by_every_operation(
        self, tree: FileTree, path: str
    ) -> None:
        for operation in (tree.list_folder, tree.read_text, tree.open_file, tree.delete):
            with pytest.raises(BadRequestError):
                await operation(path)
        for both in (tree.rename, tree.move, tree.make_folder):
            with pytest.raises(BadRequestError):
                await both(path, "x")

    async def test_a_winding_path_has_an_end(self, tree: FileTree, root: Path) -> None:
        (root / "a").mkdir()
        assert await names(tree, "a/../" * 800) == ["a"]


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def open_files() -> int:
    return len(held(Path("/proc/self/fd")))
