"""The skills library on a folder of this machine.

A skill comes as an archive and appears whole: it is unpacked beside the others under a hidden
name and then takes its place in one step, so that whoever reads meanwhile, agents included, sees
the old version or the new one. Reading never changes anything.
"""

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO
from uuid import uuid4

from cattery.clock import utc_now
from cattery.errors import CatteryError, ConflictError, UnavailableError
from cattery.files.archives import MAX_PACKED_BYTES, SKILL_FILE, SkillArchive, too_large
from cattery.files.beneath import FOLDER, READ_FOLDER, Beneath, Resolution
from cattery.files.failures import explaining
from cattery.files.front_matter import (
    MAX_FRONT_MATTER_BYTES,
    FrontMatterError,
    parse_front_matter,
)
from cattery.files.local_tree import LocalTree
from cattery.files.paths import PRIVATE_PREFIX, TreePath, show_name
from cattery.files.port import FileTree, Skill, UnpackedSkill
from cattery.files.removal import remove_tree
from cattery.files.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, rename_at

_SWAP_TRIES = 100
_ABANDONED_AFTER = timedelta(days=1)


class LocalSkillLibrary:
    """The skills in one folder, each a folder of its own."""

    def __init__(self, root: Path, *, resolution: Resolution | None = None) -> None:
        self._root = root
        self._resolution = resolution
        self._files = LocalTree(root, resolution=resolution)

    @property
    def files(self) -> FileTree:
        """The library's files."""
        return self._files

    async def catalog(self) -> Sequence[Skill]:
        """List the skills, valid ones first, then by name."""
        return await asyncio.to_thread(self._read_catalog)

    async def upload_zip(self, file_name: str, chunks: AsyncIterator[bytes]) -> UnpackedSkill:
        """Unpack the archive of one skill, replacing a skill of that slug whole."""
        file = await asyncio.to_thread(self._open_temporary)
        try:
            await _receive(file, chunks)
        except BaseException:
            file.close()
            raise
        # From here on it runs to its end, and closes the file, even where nobody waits any more.
        return await asyncio.shield(asyncio.to_thread(self._install, file, file_name))

    def _read_catalog(self) -> list[Skill]:
        with (
            explaining("the skills library"),
            Beneath(self._root, resolution=self._resolution) as beneath,
            beneath.folder(TreePath(), READ_FOLDER) as fd,
            os.scandir(fd) as found,
        ):
            names = [
                entry.name
                for entry in found
                if entry.is_dir(follow_symlinks=False) and not _is_no_skill(entry.name)
            ]
            skills = [_read_skill(beneath, name) for name in names]
        return sorted(
            skills, key=lambda skill: (not skill.valid, skill.name.casefold(), skill.slug)
        )

    def _open_temporary(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(prefix=PRIVATE_PREFIX, dir=self._root)
        except FileNotFoundError as error:
            raise UnavailableError(
                "The skills library is not ready yet. Try again in a moment."
            ) from error

    def _install(self, file: IO[bytes], file_name: str) -> UnpackedSkill:
        with file, explaining("the skills library"):
            file.flush()
            archive = SkillArchive(file, file_name)
            root_fd = os.open(self._root, FOLDER)
            staged = f"{PRIVATE_PREFIX}{uuid4().hex}"
            try:
                _sweep(root_fd, self._root)
                (self._root / staged).mkdir()
                archive.unpack(self._root / staged)
                _swap_in(root_fd, staged, archive.slug)
            finally:
                with suppress(FileNotFoundError):  # the old version by now, or what was unpacked
                    remove_tree(root_fd, staged)
                os.close(root_fd)
        dirs = len(archive.folders) + 1
        return UnpackedSkill(f"/{archive.slug}", dirs=dirs, files=len(archive.members))


def _is_no_skill(name: str) -> bool:
    """Whether a folder is hidden, or one that the file system itself made at a volume's top."""
    return name.startswith(".") or name == "lost+found"


async def _receive(file: IO[bytes], chunks: AsyncIterator[bytes]) -> None:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > MAX_PACKED_BYTES:
            raise too_large()
        await asyncio.to_thread(file.write, chunk)


def _read_skill(beneath: Beneath, slug: str) -> Skill:
    folder = TreePath((slug,))
    shown, mtime, reason = show_name(slug), 0, ""
    try:
        with beneath.folder(folder) as fd:
            mtime = int(os.fstat(fd).st_mtime)
        with os.fdopen(beneath.open_regular(folder.child(SKILL_FILE)), "rb") as file:
            mtime = int(os.fstat(file.fileno()).st_mtime)
            front = parse_front_matter(file.read(MAX_FRONT_MATTER_BYTES))
        return Skill(shown, front.name, front.description, valid=True, mtime=mtime)
    except FrontMatterError as error:
        reason = str(error)
    except FileNotFoundError:
        reason = f"It has no {SKILL_FILE}."
    except (OSError, CatteryError):
        reason = f"Its {SKILL_FILE} cannot be read as a file."
    return Skill(shown, shown, "", valid=False, mtime=mtime, reason=reason)


def _sweep(root_fd: int, root: Path) -> None:
    """Delete what uploads left that were killed in the middle."""
    long_ago = utc_now().timestamp() - _ABANDONED_AFTER.total_seconds()
    for path in root.glob(f"{PRIVATE_PREFIX}*"):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < long_ago:
                remove_tree(root_fd, path.name)


def _swap_in(root_fd: int, staged: str, slug: str) -> None:
    """Give the staged folder its name; a skill of that name takes the staged one's."""
    for _ in range(_SWAP_TRIES):
        try:
            rename_at(root_fd, staged, root_fd, slug, RENAME_NOREPLACE)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            _swap_in_two_steps(root_fd, staged, slug)
            return
        else:
            return
        try:
            rename_at(root_fd, staged, root_fd, slug, RENAME_EXCHANGE)
        except FileNotFoundError:
            continue  # deleted in between
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EINVAL):
                raise
            _swap_in_two_steps(root_fd, staged, slug)
        return
    raise ConflictError(f"The skill {slug} is being changed by others. Try again in a moment.")


def _swap_in_two_steps(root_fd: int, staged: str, slug: str) -> None:
    """Swap where the file system cannot do so at once; the skill is absent for a moment."""
    old = f"{PRIVATE_PREFIX}{uuid4().hex}"
    with suppress(FileNotFoundError):
        os.rename(slug, old, src_dir_fd=root_fd, dst_dir_fd=root_fd)
    os.rename(staged, slug, src_dir_fd=root_fd, dst_dir_fd=root_fd)
    with suppress(FileNotFoundError):
        remove_tree(root_fd, old)
