"""How harnesses are installed for local sandboxes: what to run, where it lands, how to check.

All of it comes from a harness's manifest; the pinned packages stand beside that, in
`harness_images/<type>/`. An installation is made in a folder of its own and then takes its place,
so that whoever starts a sandbox meanwhile finds the old one or the new one, whole.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cattery.errors import SandboxSetupError
from cattery.harnesses.manifest import Manifest
from cattery.harnesses.templates import fill_template

BRIDGES: Final = "bridges"
_NPM_FILES: Final = ("package.json", "package-lock.json", ".npmrc")
_PYPI_FILES: Final = ("requirements.txt",)
_STAMP: Final = ".installed"
_FORMAT: Final = 1
"""Counts the ways of installing: another one installs everything anew."""
_VERSION_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Command:
    """One command of an installation, to be run in `folder`; `source` names whom it asks."""

    argv: tuple[str, ...]
    folder: Path
    source: str


@dataclass(frozen=True, slots=True)
class Installation:
    """How one harness is installed: `prepare`, run `commands` one after the other, `finish`.

    Attributes:
        source: folder with the pinned packages.
        tools: the tools folder.
    """

    manifest: Manifest
    source: Path
    tools: Path

    @property
    def folder(self) -> Path:
        """Where its packages are in the end."""
        return self.tools / self.manifest.id

    @property
    def program(self) -> Path:
        """The installed program."""
        return self.tools / self.manifest.install.program

    @property
    def is_current(self) -> bool:
        """Whether just these packages are installed, to the end."""
        if self.manifest.install.shares is not None:
            return self.program.exists()
        return _read_stamp(self.folder) == self.digest() and self.program.exists()

    def prepare(self) -> None:
        """Lay the pinned packages out, in an empty folder of their own."""
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir(mode=0o700, parents=True)
        for name in self._files():
            shutil.copyfile(self.source / name, self._draft / name)

    def commands(self) -> Iterator[Command]:
        """Give the commands that fetch the packages."""
        if self.manifest.install.npm:
            yield Command(("npm", "ci", "--no-audit", "--no-fund"), self._draft, "npm")
        if self.manifest.install.pypi:
            # Without a pip of its own: ours installs into it.
            make = (sys.executable, "-m", "venv", "--without-pip", "venv")
            yield Command(make, self._draft, "venv")
            yield Command(_pip_install(self._draft / "venv"), self._draft, "pip")

    def finish(self) -> None:
        """Put the installation in its place, with its links, and remember that all is done."""
        _repoint_scripts(self._draft / "venv" / "bin", self._draft, self.folder)
        (self._draft / _STAMP).write_text(self.digest())
        _take_place(self._draft, self.folder)
        for name, target in self.manifest.install.links.items():
            link = self.tools / name
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = link.with_name(f".{link.name}.draft")
            draft.unlink(missing_ok=True)
            draft.symlink_to(target)
            draft.replace(link)

    def read_version(self) -> str:
        """Ask the installed program for its version; it takes seconds.

        Raises:
            SandboxSetupError: it is missing or does not run on this machine.
        """
        words = self.manifest.install.version_command or (str(self.program), "--version")
        argv = [fill_template(word, {"tools": str(self.tools)}) for word in words]
        try:
            with tempfile.TemporaryDirectory() as home:
                result = subprocess.run(
                    argv,
                    capture_output=True,
                    check=True,
                    cwd=home,
                    env={"PATH": os.defpath, "HOME": home, "PYTHONPATH": str(self.tools)},
                    stdin=subprocess.DEVNULL,
                    timeout=_VERSION_SECONDS,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxSetupError(
                f"The installed {self.manifest.id} does not run ({error}). Run `make install` "
                "again; the programs need Linux on x86-64 with AVX2."
            ) from error
        return result.stdout.decode(errors="replace").strip()

    def is_expected(self, version: str) -> bool:
        """Tell whether what the program says of itself is the pinned release."""
        return (self.manifest.install.prints or self.manifest.version) in version

    def digest(self) -> str:
        """Return a hash of everything that the installation is made of."""
        install = self.manifest.install.model_dump(mode="json")
        facts = [_FORMAT, install]
        if self.manifest.install.pypi:
            facts += [sys.version_info[:2], sys.base_prefix]
        hashed = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        for name in self._files():
            hashed.update((self.source / name).read_bytes())
        return hashed.hexdigest()

    @property
    def _draft(self) -> Path:
        return self.tools / f".{self.manifest.id}.draft"

    def _files(self) -> tuple[str, ...]:
        install = self.manifest.install
        return (_NPM_FILES if install.npm else ()) + (_PYPI_FILES if install.pypi else ())


def plan_installation(manifest: Manifest, *, images: Path, tools: Path) -> Installation:
    """Say how a harness is installed.

    Args:
        manifest: of the harness.
        images: the folder of the manifests, with the pinned packages beside them.
        tools: the tools folder, absolute.

    Raises:
        SandboxSetupError: it cannot be installed on this machine.
    """
    machine = os.uname()
    if (machine.sysname, machine.machine) != ("Linux", "x86_64"):
        raise SandboxSetupError(
            f"{manifest.display_name} is not pinned for {machine.sysname} on {machine.machine}: "
            "local sandboxes need Linux on x86-64."
        )
    return Installation(manifest, images / manifest.id, tools)


def install_bridges(source: Path, tools: Path) -> bool:
    """Copy our own programs of the sandboxes beside the installed ones, where they differ.

    Returns:
        Whether there was anything to do.
    """
    files = sorted(
        file
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.relative_to(source).parts
    )
    digest = _hash_files(files, source)
    place = tools / BRIDGES
    if _read_stamp(place) == digest:
        return False
    draft = tools / f".{BRIDGES}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    for file in files:
        copy = draft / file.relative_to(source)
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    draft.mkdir(parents=True, exist_ok=True)
    (draft / _STAMP).write_text(digest)
    _take_place(draft, place)
    return True


def _pip_install(venv: Path) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python")),
        *("--disable-pip-version-check", "--quiet", "install", "--require-hashes"),
        *("--only-binary", ":all:", "-r", "requirements.txt"),
    )


def _repoint_scripts(scripts: Path, draft: Path, place: Path) -> None:
    """Let the scripts of a virtual environment name the place that it is moved to."""
    for script in scripts.glob("*"):
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        if os.fsencode(draft) in text:
            script.write_bytes(text.replace(os.fsencode(draft), os.fsencode(place)))


def _take_place(draft: Path, place: Path) -> None:
    old = draft.with_name(f"{draft.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    draft.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _read_stamp(folder: Path) -> str | None:
    try:
        return (folder / _STAMP).read_text()
    except OSError:
        return None


def _hash_files(files: Iterable[Path], root: Path) -> str:
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(f"{file.relative_to(root)}\0".encode())
        hashed.update(file.read_bytes())
        hashed.update(b"\0")
    return hashed.hexdigest()
