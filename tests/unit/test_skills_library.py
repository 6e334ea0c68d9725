"""The skills library: what is accepted, what is refused, and that readers never see a mixture."""

import asyncio
import errno
import io
import os
import stat
import struct
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from cattery.errors import BadRequestError, UnavailableError
from cattery.files.archives import MAX_PACKED_BYTES
from cattery.files.port import Skill, SkillLibrary, UnpackedSkill
from cattery.files.remote_tree import RemoteSkillLibrary
from cattery.files.skills import LocalSkillLibrary
from cattery.files.syscalls import RENAME_EXCHANGE, rename_at
from tests.unit.served_files import serving

FRONT = "---\nname: Demo\ndescription: Does things.\n---\nText.\n"

type Entries = dict[str | zipfile.ZipInfo, str | bytes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "skills"
    root.mkdir()
    return root


@pytest.fixture(params=["local", "remote"])
async def library(root: Path, request: pytest.FixtureRequest) -> AsyncIterator[SkillLibrary]:
    """A library on this machine, or one that a skill manager serves."""
    library = LocalSkillLibrary(root)
    if request.param == "local":
        yield library
        return
    async with serving(library.files, library=library) as calls:
        yield RemoteSkillLibrary(calls)


def pack(entries: Entries, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def info(name: str, mode: int = 0, *, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    made.compress_type = method
    return made


def skill(extra: Entries | None = None, *, slug: str = "demo", front: str = FRONT) -> bytes:
    return pack({f"{slug}/SKILL.md": front, **(extra or {})})


async def stream(data: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def upload(library: SkillLibrary, data: bytes, file_name: str = "demo.zip") -> UnpackedSkill:
    return await library.upload_zip(file_name, stream(data))


def held(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class TestUploading:
    async def test_the_folder_in_the_archive_is_the_slug(
        self, library: SkillLibrary, root: Path
    ) -> None:
        data = skill({info("demo/bin/run.sh", 0o755): "#!/bin/sh\n", "demo/empty/": ""})
        assert await upload(library, data, "other.zip") == UnpackedSkill("/demo", dirs=3, files=2)
        assert held(root) == [
            "demo",
            "demo/SKILL.md",
            "demo/bin",
            "demo/bin/run.sh",
            "demo/empty",
        ]
        modes = [stat.S_IMODE((root / path).stat().st_mode) for path in held(root)]
        assert modes == [0o2775, 0o664, 0o2775, 0o775, 0o2775]

    @pytest.mark.parametrize("file_name", ["my skill.zip", "my skill.ZIP"])
    async def test_with_skill_md_at_the_top_the_file_names_the_skill(
        self, library: SkillLibrary, root: Path, file_name: str
    ) -> None:
        data = pack({"SKILL.md": FRONT, "docs/a.md": "a"})
        expected = UnpackedSkill("/my skill", dirs=2, files=2)
        assert await upload(library, data, file_name) == expected
        assert (root / "my skill" / "docs" / "a.md").read_text() == "a"

    async def test_what_macs_leave_behind_is_left_out(
        self, library: SkillLibrary, root: Path
    ) -> None:
        junk = ["__MACOSX/demo/._SKILL.md", "demo/.DS_Store", "demo/._x", "demo/a/.DS_Store"]
        assert await upload(library, skill(dict.fromkeys(junk, "junk"))) == UnpackedSkill(
            "/demo", dirs=1, files=1
        )
        assert held(root) == ["demo", "demo/SKILL.md"]

    async def test_a_skill_of_that_slug_is_replaced_whole(
        self, library: SkillLibrary, root: Path
    ) -> None:
        await upload(library, skill({"demo/stale.md": "old"}))
        await upload(library, skill({"demo/fresh.md": "new"}))
        assert held(root) == ["demo", "demo/SKILL.md", "demo/fresh.md"]

    async def test_unmarked_utf8_names_are_understood(
        self, library: SkillLibrary, root: Path
    ) -> None:
        data = skill({"demo/grüße.md": "x"}).replace(b"\x00\x08\x08\x00", b"\x00\x00\x08\x00")
        await upload(library, data)
        assert (root / "demo" / "grüße.md").exists()

    async def test_readers_see_the_old_or_the_new_version(
        self, library: SkillLibrary, root: Path
    ) -> None:
        versions = [
            skill({f"demo/{n}.md": f"version {v}" for n in range(20)}, front=FRONT + f"version {v}")
            for v in (1, 2)
        ]
        await upload(library, versions[0])
        done = asyncio.Event()

        def read_all() -> int:
            reads = 0
            while not done.is_set() or not reads:
                fd = os.open(root / "demo", os.O_DIRECTORY)  # one version, whatever is swapped in
                try:
                    found = {_read(fd, f"{n}.md") for n in range(20)}
                except FileNotFoundError:
                    found = {"gone"}  # the old version is being deleted, as a whole folder
                finally:
                    os.close(fd)
                assert len(found) == 1
                reads += 1
            return reads

        reading = asyncio.create_task(asyncio.to_thread(read_all))
        for version in versions * 2:
            await upload(library, version)
            assert (root / "demo" / "SKILL.md").exists()
        done.set()
        assert await reading > 0
        assert held(root)[0] == "demo"
        assert len(held(root)) == 22

    async def test_a_cancelled_upload_leaves_nothing(
        self, library: SkillLibrary, root: Path
    ) -> None:
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"PK"
            started.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(library.upload_zip("demo.zip", endless()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held(root) == []

    async def test_what_a_killed_upload_left_is_swept_a_day_later(
        self, library: SkillLibrary, root: Path
    ) -> None:
        for name, moment in ((".cattery-tmp-old", 1_600_000_000), (".cattery-tmp-new", None)):
            (root / name).mkdir()
            (root / name / "half").write_text("")
            os.utime(root / name, (moment, moment) if moment else None)
        await upload(library, skill())
        assert sorted(path.name for path in root.iterdir()) == [".cattery-tmp-new", "demo"]
        assert [entry.name for entry in await library.files.list_folder("")] == ["demo"]

    async def test_a_library_that_is_not_there_is_not_ready(self, tmp_path: Path) -> None:
        with pytest.raises(UnavailableError):
            await upload(LocalSkillLibrary(tmp_path / "later"), skill())

    @pytest.mark.parametrize("lacking", ["renameat2", "exchange"])
    async def test_replacing_works_where_the_file_system_cannot_exchange(
        self,
        library: SkillLibrary,
        root: Path,
        lacking: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def limited(old_fd: int, old: str, new_fd: int, new: str, flags: int) -> None:
            if lacking == "renameat2" or flags == RENAME_EXCHANGE:
                raise OSError(errno.EINVAL, "lacking")
            rename_at(old_fd, old, new_fd, new, flags)

        monkeypatch.setattr("cattery.files.skills.rename_at", limited)
        await upload(library, skill({"demo/stale.md": "old"}))
        await upload(library, skill({"demo/fresh.md": "new"}))
        assert held(root) == ["demo", "demo/SKILL.md", "demo/fresh.md"]


BAD_ENTRIES: dict[str, Entries] = {
    "climbing": {"demo/../../evil": "x"},
    "climbing-junk": {"__MACOSX/../evil": "x"},
    "dot": {"demo/./evil": "x"},
    "double-slash": {"demo//evil": "x"},
    "absolute": {"/etc/evil": "x"},
    "drive": {"C:/evil": "x"},
    "backslash": {"demo\\evil": "x"},
    "control": {"demo/e\nvil": "x"},
    "escape": {"demo/e\x1bvil": "x"},
    "bidi": {"demo/e\u202evil": "x"},
    "link": {info("demo/link", stat.S_IFLNK | 0o777): "/etc/passwd"},
    "device": {info("demo/device", stat.S_IFCHR | 0o666): ""},
    "fifo": {info("demo/fifo", stat.S_IFIFO | 0o666): ""},
    "unnamed-folder": {info("demo/folder", stat.S_IFDIR | 0o755): ""},
    "two-folders": {"other/SKILL.md": FRONT},
    "file-beside": {"readme.md": "x"},
    "case-collision": {"demo/A.md": "x", "demo/a.md": "x"},
    "accent-collision": {"demo/\u00e9.md": "x", "demo/e\u0301.md": "x"},
    "folder-collision": {"demo/Sub/a": "x", "demo/sub/b": "x"},
    "file-as-folder": {"demo/a": "x", "demo/a/b": "x"},
    "folder-as-file": {"demo/a/b": "x", "demo/a": "x"},
    "too-deep": {"demo/" + "d/" * 16 + "x": "x"},
    "long-name": {"demo/" + "n" * 256: "x"},
    "reserved": {"demo/.cattery-tmp-x": "x"},
    "other-method": {info("demo/b", method=zipfile.ZIP_BZIP2): "x" * 100},
    "too-many": {f"demo/{n}": "" for n in range(2_000)},
}


class TestRefusing:
    @pytest.mark.parametrize("entries", BAD_ENTRIES.values(), ids=BAD_ENTRIES.keys())
    async def test_unacceptable_entries_leave_nothing(
        self, library: SkillLibrary, root: Path, entries: Entries
    ) -> None:
        await self.refuse(library, root, skill(entries))

    async def test_an_entry_that_comes_twice_is_refused(
        self, library: SkillLibrary, root: Path
    ) -> None:
        data = skill({"demo/one": "1", "demo/two": "2"}).replace(b"demo/two", b"demo/one")
        await self.refuse(library, root, data)

    @pytest.mark.parametrize("name", [b"demo/a\0b", b"demo/a\xffb"], ids=["nul", "not-utf8"])
    async def test_names_that_python_would_repair_are_refused(
        self, library: SkillLibrary, root: Path, name: bytes
    ) -> None:
        data = skill({"demo/aüb": "x"}).replace("demo/aüb".encode(), name + b"c")
        await self.refuse(library, root, data)

    async def test_encrypted_entries_are_refused(self, library: SkillLibrary, root: Path) -> None:
        data = bytearray(skill())
        data[6] |= 1
        data[data.index(b"PK\1\2") + 8] |= 1
        await self.refuse(library, root, bytes(data))

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"no archive",
            b"PK\3\4" + bytes(100),
            b"PK\5\6" + bytes(18),
            b"PK\5\6",
            skill()[:-30],
            skill()[30:],
            b"PK\5\6" + bytes(8) + b"\xff" * 8 + bytes(2),
            pack({"demo/readme.md": "no SKILL.md"}),
            pack({"demo/": ""}),
            pack({}),
        ],
        ids=[
            "empty",
            "text",
            "header-only",
            "no-entries",
            "cut-record",
            "cut-end",
            "cut-start",
            "huge-directory",
            "no-skill-md",
            "empty-folder",
            "empty-zip",
        ],
    )
    async def test_what_is_no_archive_of_a_skill_is_refused(
        self, library: SkillLibrary, root: Path, data: bytes
    ) -> None:
        await self.refuse(library, root, data)

    @pytest.mark.parametrize(
        "file_name", ["", ".zip", ".hidden.zip", "...zip", "a\\b.zip", " .zip", "x" * 300, "a\nb"]
    )
    async def test_a_skill_needs_a_name(
        self, library: SkillLibrary, root: Path, file_name: str
    ) -> None:
        await self.refuse(library, root, pack({"SKILL.md": FRONT}), file_name)

    async def test_too_much_packed_is_refused_while_it_comes(
        self, library: SkillLibrary, root: Path
    ) -> None:
        received = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal received
            while True:
                received += 2**20
                yield bytes(2**20)

        with pytest.raises(BadRequestError):
            await library.upload_zip("demo.zip", endless())
        assert received < 2 * MAX_PACKED_BYTES  # a connection holds some megabytes by itself
        assert held(root) == []

    async def test_a_bomb_that_says_its_size_is_refused(
        self, library: SkillLibrary, root: Path
    ) -> None:
        await self.refuse(library, root, skill({"demo/zeros": bytes(5_000_000)}))

    async def test_a_bomb_that_lies_about_its_size_is_refused(
        self, library: SkillLibrary, root: Path
    ) -> None:
        data = skill({"demo/zeros": bytes(5_000_000)})
        for lie in (1, 4_999_999, 5_000_001):
            lying = data.replace(struct.pack("<L", 5_000_000), struct.pack("<L", lie))
            await self.refuse(library, root, lying)

    async def test_a_small_lie_is_refused_too(self, library: SkillLibrary, root: Path) -> None:
        data = skill({"demo/text": "x" * 12_345})
        for lie in (1, 12_344, 12_346, 90_000):
            lying = data.replace(struct.pack("<L", 12_345), struct.pack("<L", lie))
            assert lying != data
            await self.refuse(library, root, lying)

    async def test_overlapping_entries_are_refused(self, library: SkillLibrary, root: Path) -> None:
        """Many names for the same packed bytes, as in the bombs that do not nest."""
        await self.refuse(library, root, overlap(skill({"demo/data": os.urandom(4_000)}), 50))

    async def test_a_broken_entry_leaves_the_old_version(
        self, library: SkillLibrary, root: Path
    ) -> None:
        await upload(library, skill({"demo/old.md": "old"}))
        data = bytearray(skill({"demo/new.md": "n" * 50, "demo/z": os.urandom(500)}))
        data[data.index(b"demo/z") + 40] ^= 0xFF
        with pytest.raises(BadRequestError):
            await upload(library, bytes(data))
        assert held(root) == ["demo", "demo/SKILL.md", "demo/old.md"]

    async def refuse(
        self, library: SkillLibrary, root: Path, data: bytes, file_name: str = "demo.zip"
    ) -> None:
        with pytest.raises(BadRequestError):
            await upload(library, data, file_name)
        assert held(root.parent) == ["skills"]


def overlap(data: bytes, copies: int) -> bytes:
    """Repeat the last record of an archive's directory under other names."""
    end = data.rindex(b"PK\5\6")
    start = data.rindex(b"PK\1\2")
    first = struct.unpack_from("<L", data, end + 16)[0]
    record = data[start:end]
    records = data[first:end] + b"".join(
        record.replace(b"demo/data", b"demo/%04d" % number) for number in range(copies)
    )
    count = 2 + copies
    finish = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(records), first, 0)
    return data[:first] + records + finish


SKILLS: dict[str, tuple[str | bytes | None, str]] = {
    "no-file": (None, "It has no SKILL.md."),
    "no-fence": ("# Title\n", "does not begin"),
    "no-end": ("---\nname: x\n", "no end"),
    "no-yaml": ("---\nname: [\n---\n", "not valid YAML"),
    "no-fields": ("---\n- a\n---\n", "no fields"),
    "no-name": ("---\ndescription: x\n---\n", "no `name`"),
    "no-description": ("---\nname: x\n---\n", "no `description`"),
    "not-text": ("---\nname: 5\ndescription: x\n---\n", "not a text"),
    "blank": ("---\nname: ' '\ndescription: x\n---\n", "not a text"),
    "long": (f"---\nname: {'x' * 300}\ndescription: x\n---\n", "more than"),
    "hidden": ('---\nname: "a\\u202eb"\ndescription: x\n---\n', "hidden"),
    "nested": ("---\n" + "- " * 5_000 + "\n---\n", "not valid YAML"),
    "brackets": ("---\nname: " + "[" * 5_000 + "\n---\n", "too many lists"),
    "unsafe": ("---\nname: !!python/name:os.system\n---\n", "not valid YAML"),
    "bad-date": ("---\nname: 2001-99-99\n---\n", "not valid YAML"),
    "huge": (b"---\n" + b"# x\n" * 20_000 + b"name: x\n---\n", "no end"),
}


class TestCatalog:
    async def test_valid_ones_come_first_then_by_name(
        self, library: SkillLibrary, root: Path
    ) -> None:
        for slug, name in (("one", "zebra"), ("two", "Apple"), ("bad", None)):
            (root / slug).mkdir()
            if name:
                (root / slug / "SKILL.md").write_text(
                    f"\ufeff---\r\nname: {name}\r\ndescription: >\r\n  Folded\r\n  text.\r\n---\r\n"
                )
                os.utime(root / slug / "SKILL.md", (1_700_000_000, 1_700_000_000))
        os.utime(root / "bad", (1_600_000_000, 1_600_000_000))
        assert await library.catalog() == [
            Skill("two", "Apple", "Folded text.", True, 1_700_000_000),
            Skill("one", "zebra", "Folded text.", True, 1_700_000_000),
            Skill("bad", "bad", "", False, 1_600_000_000, "It has no SKILL.md."),
        ]

    @pytest.mark.parametrize(("content", "reason"), SKILLS.values(), ids=SKILLS.keys())
    async def test_an_invalid_skill_says_why(
        self, library: SkillLibrary, root: Path, content: str | bytes | None, reason: str
    ) -> None:
        (root / "demo").mkdir()
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            (root / "demo" / "SKILL.md").write_bytes(data)
        [found] = await library.catalog()
        assert (found.valid, reason in (found.reason or "")) == (False, True), found.reason

    @pytest.mark.timeout(5)
    async def test_odd_objects_neither_hang_nor_break_it(
        self, library: SkillLibrary, root: Path
    ) -> None:
        def place(make: Callable[[Path], object], slug: str) -> None:
            (root / slug).mkdir()
            make(root / slug / "SKILL.md")

        place(os.mkfifo, "fifo")
        place(Path.mkdir, "folder")
        place(lambda path: path.symlink_to("/etc/passwd"), "link")
        (root / "file").write_text("")
        for folder in (".hidden", "lost+found"):
            (root / folder).mkdir()
        (root / "linked").symlink_to("fifo")
        catalog = await library.catalog()
        assert [(s.slug, s.valid, s.reason) for s in catalog] == [
            (slug, False, "Its SKILL.md cannot be read as a file.")
            for slug in ("fifo", "folder", "link")
        ]

    async def test_reading_the_library_changes_nothing(
        self, library: SkillLibrary, root: Path
    ) -> None:
        (root / "demo").mkdir()
        for name in ("SKILL.md", "._SKILL.md", ".DS_Store"):
            (root / "demo" / name).write_text(FRONT)
        before = [(path, (root / path).stat()) for path in held(root)]
        await library.catalog()
        await library.files.list_folder("")
        await library.files.list_folder("demo")
        await library.files.read_text("demo/SKILL.md")
        after = [(path, (root / path).stat()) for path in held(root)]
        assert [(p, s.st_ino, s.st_mtime_ns) for p, s in before] == [
            (p, s.st_ino, s.st_mtime_ns) for p, s in after
        ]


def _read(folder_fd: int, name: str) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=folder_fd)) as file:
        return file.read()
