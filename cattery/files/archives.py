"""The archive of one skill: read whole before anything is written, refused rather than repaired.

An archive may lie in every field. Names are checked as they stand in it (Python's `zipfile`
silently rewrites `..` and absolute ones), sizes are counted while unpacking, and links, devices
and encrypted entries have no place in a skill. The table of attacks is design/security.md T8.
"""

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from cattery.errors import BadRequestError
from cattery.files.paths import MAX_NAME_BYTES, PRIVATE_PREFIX, show_path
from cattery.files.streams import FILE_MODE, FOLDER_MODE

MAX_PACKED_BYTES = 20 * 1024 * 1024
MAX_UNPACKED_BYTES = 100 * 1024 * 1024
MAX_FILES = 2_000
MAX_RATIO = 100
MAX_DEPTH = 16
SKILL_FILE = "SKILL.md"

_RATIO_MATTERS_FROM = 1024 * 1024  # a small file of blanks packs better than that, harmlessly
_MAX_DIRECTORY_BYTES = 2 * 1024 * 1024  # bounds the memory of reading the list of entries
_TAIL_BYTES = 22 + 65_535
_CHUNK_BYTES = 256 * 1024
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED_FLAGS = 0x1 | 0x40 | 0x2000
_UTF8_FLAG = 0x800
_DRIVE = re.compile(r"^[A-Za-z]:")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the skill; `path` is relative to the skill's folder."""

    info: zipfile.ZipInfo
    path: PurePosixPath
    executable: bool


@dataclass(slots=True)
class _Contents:
    """The entries that count, as they stand in the archive, and the folders that they imply."""

    files: dict[PurePosixPath, zipfile.ZipInfo] = field(default_factory=dict)
    folders: set[PurePosixPath] = field(default_factory=set)
    spellings: dict[str, PurePosixPath] = field(default_factory=dict)


class SkillArchive:
    """A checked archive: its slug, its files, and the folders that hold them.

    Args:
        file: the archive, seekable.
        file_name: what the uploaded file is called; names the skill where no folder does.

    Raises:
        BadRequestError: it is no archive of one skill, or not an acceptable one.
    """

    def __init__(self, file: IO[bytes], file_name: str) -> None:
        self._packed = _check_size(file)
        _check_directory(file)
        with _reading():
            self._zip = zipfile.ZipFile(file)
        contents = _check_entries(self._zip.infolist(), self._packed)
        self.slug, top = _find_slug(contents, file_name)
        self.members = [
            Member(info, path.relative_to(top), bool((info.external_attr >> 16) & 0o111))
            for path, info in contents.files.items()
        ]
        self.folders = sorted(path.relative_to(top) for path in contents.folders - {top})

    def unpack(self, target: Path) -> None:
        """Write the skill into an empty folder of its own.

        Raises:
            BadRequestError: an entry is larger than it said, or broken, or all are too much.
        """
        target.chmod(FOLDER_MODE)
        for folder in self.folders:
            (target / folder).mkdir()
            (target / folder).chmod(FOLDER_MODE)
        written = 0
        for member in self.members:
            mode = FILE_MODE | (0o111 if member.executable else 0)
            with os.fdopen(os.open(target / member.path, _CREATE, mode), "wb") as out:
                for chunk in self._read(member):
                    written += len(chunk)
                    _check_unpacked(written, self._packed)
                    out.write(chunk)
                out.flush()
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())

    def _read(self, member: Member) -> Iterator[bytes]:
        size = 0
        with _reading():
            source = self._zip.open(member.info)
        with source:
            while True:
                with _reading():
                    chunk = source.read(_CHUNK_BYTES)
                if not chunk:
                    break
                size += len(chunk)
                yield chunk
        if size != member.info.file_size:
            raise _refused("one of its entries has another size than it says")


def too_large() -> BadRequestError:
    """Refuse an archive for its packed size."""
    return BadRequestError(f"A skill's archive has at most {MAX_PACKED_BYTES // 2**20} MB.")


def _check_size(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    if size > MAX_PACKED_BYTES:
        raise too_large()
    return size


def _check_directory(file: IO[bytes]) -> None:
    """Look at the end records before `zipfile` loads what they describe."""
    file.seek(-min(_TAIL_BYTES, file.seek(0, os.SEEK_END)), os.SEEK_END)
    tail = file.read()
    at = tail.find(b"PK\5\6")
    if at < 0:
        raise BadRequestError("The file is not a zip archive. Upload the .zip of one skill folder.")
    while at >= 0:
        record = tail[at : at + 22]
        if len(record) == 22 and struct.unpack_from("<L", record, 12)[0] > _MAX_DIRECTORY_BYTES:
            raise _refused("it has too many entries")
        if at >= 20 and tail[at - 20 : at - 16] == b"PK\6\7":
            raise _refused("it is in the ZIP64 format, which no skill needs")
        at = tail.find(b"PK\5\6", at + 1)


def _check_entries(infos: list[zipfile.ZipInfo], packed: int) -> _Contents:
    contents = _Contents()
    for info in infos:
        name = _name_of(info)
        _check_kind(info, name)
        parts = _check_name(name)
        if any(_is_left_out(part) for part in parts):
            continue
        _add(contents, info, PurePosixPath(*parts), is_folder=name.endswith("/"))
    if len(contents.files) > MAX_FILES or len(contents.folders) > MAX_FILES:
        raise _refused(f"it has more than {MAX_FILES:,} files or folders")
    if sum(info.compress_size for info in infos) > packed:
        raise _refused("its entries overlap")
    _check_unpacked(sum(info.file_size for info in contents.files.values()), packed)
    return contents


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return the name as it stands: `zipfile` cuts at NUL, and reads unmarked UTF-8 as cp437."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8_FLAG:
        try:
            name = name.encode("cp437").decode()
        except UnicodeError:
            return name
    return name


def _check_kind(info: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refused(f"{show_path(name)} is a link or a device")
    if (kind == stat.S_IFDIR) and not name.endswith("/"):
        raise _refused(f"{show_path(name)} is a folder whose name does not say so")
    if name.endswith("/") and info.file_size:
        raise _refused(f"{show_path(name)} is a folder with bytes of its own")
    if info.flag_bits & _ENCRYPTED_FLAGS:
        raise _refused(f"{show_path(name)} is encrypted")
    if info.compress_type not in _METHODS:
        raise _refused(f"{show_path(name)} is packed in a way other than deflate")


def _check_name(name: str) -> list[str]:
    parts = name.removesuffix("/").split("/")
    if "\\" in name or any(_is_control(letter) for letter in name):
        raise _refused(f"{show_path(name)} has a backslash or a control character in its name")
    if name.startswith("/") or _DRIVE.match(name) or any(p in ("", ".", "..") for p in parts):
        raise _refused(f"{show_path(name)} is not a plain relative path")
    if any(part.startswith(PRIVATE_PREFIX) for part in parts):
        raise _refused(f"names that begin with {PRIVATE_PREFIX} are reserved")
    if len(parts) > MAX_DEPTH:
        raise _refused(f"{show_path(name)} lies deeper than {MAX_DEPTH} folders")
    if any(len(part.encode()) > MAX_NAME_BYTES for part in parts):
        raise _refused(f"a name in {show_path(name)} is over {MAX_NAME_BYTES} bytes")
    return parts


def _is_control(letter: str) -> bool:
    """Whether a letter hides or turns text: controls, line ends, surrogates, bidi overrides."""
    return unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or (
        "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"
    )


def _is_left_out(part: str) -> bool:
    return part in ("__MACOSX", ".DS_Store") or part.startswith("._")


def _add(
    contents: _Contents, info: zipfile.ZipInfo, path: PurePosixPath, *, is_folder: bool
) -> None:
    folders = [parent for parent in path.parents if parent.name]
    for each in [path, *folders]:
        known = contents.spellings.setdefault(_fold(each), each)
        if known != each:
            raise _refused(f"{show_path(each)} and {show_path(known)} are the same name elsewhere")
    if path in contents.files or any(folder in contents.files for folder in folders):
        raise _refused(f"{show_path(path)} is in it twice")
    if is_folder:
        folders.append(path)
    elif path in contents.folders:
        raise _refused(f"{show_path(path)} is in it twice")
    else:
        contents.files[path] = info
    contents.folders.update(folders)


def _fold(path: PurePosixPath) -> str:
    """Fold what some file systems take for the same name: case, and ways to write an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _check_unpacked(size: int, packed: int) -> None:
    if size > MAX_UNPACKED_BYTES:
        raise _refused(f"it unpacks to more than {MAX_UNPACKED_BYTES // 2**20} MB")
    if size > _RATIO_MATTERS_FROM and size > MAX_RATIO * packed:
        raise _refused(f"it unpacks to more than {MAX_RATIO} times its size")


def _find_slug(contents: _Contents, file_name: str) -> tuple[str, PurePosixPath]:
    """Say how the skill is called, and which folder of the archive is the skill's."""
    top = PurePosixPath()
    if top / SKILL_FILE in contents.files:
        stem = file_name[:-4] if file_name.lower().endswith(".zip") else file_name
        return _check_slug(stem), top
    names = {path.parts[0] for path in (*contents.files, *contents.folders)}
    if len(names) != 1:
        raise _refused("it must hold exactly one skill folder, or a SKILL.md at its top")
    folder = PurePosixPath(names.pop())
    if folder / SKILL_FILE not in contents.files:
        raise _refused(f"there is no {SKILL_FILE} in its folder")
    return _check_slug(folder.name), folder


def _check_slug(slug: str) -> str:
    if not slug.isprintable() or slug != slug.strip() or slug.startswith(".") or not slug:
        raise BadRequestError(
            "A skill's folder needs a name of visible characters that does not begin with a dot."
        )
    if len(slug.encode(errors="replace")) > MAX_NAME_BYTES or any(c in slug for c in "/\\"):
        raise BadRequestError("A skill's name has no slashes and at most 255 bytes.")
    return slug


@contextmanager
def _reading() -> Iterator[None]:
    """Turn whatever a broken archive makes `zipfile` raise into one answer."""
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        RuntimeError,
        EOFError,
        ValueError,
        OverflowError,
        OSError,
    ) as error:
        raise _refused("it is damaged") from error


def _refused(why: str) -> BadRequestError:
    return BadRequestError(f"The archive is not accepted: {why}. Nothing was kept.")
