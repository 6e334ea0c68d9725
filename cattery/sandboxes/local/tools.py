"""Facts on installing harnesses for local sandboxes: what to run, where it lands, how to check.

The pinned packages of a harness stand in `harness_images/<type>/`. They are npm's platform
packages themselves, so that no install script runs and no second build of the binary comes along.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cattery.errors import SandboxSetupError

_COPIED = ("package.json", "package-lock.json", ".npmrc")
_STAMP = ".installed"
_VERSION_SECONDS = 30
_LINKS: Mapping[str, Mapping[str, str]] = {
    "opencode": {
        "opencode/node_modules/.bin/opencode": "../opencode-linux-x64/bin/opencode",
        "bin/rg": "../opencode/node_modules/@vscode/ripgrep-linux-x64/bin/rg",
    }
}
"""By harness type: links beneath the tools folder; `bin` is on the PATH of every sandbox."""


@dataclass(frozen=True, slots=True)
class Installation:
    """How one harness is installed.

    Attributes:
        source: folder with the pinned packages.
        tools: the tools folder.
        folder: where `command` is to be run, after `prepare`; `finish` comes last.
        program: the installed program.
    """

    harness_type: str
    source: Path
    tools: Path
    folder: Path
    command: tuple[str, ...]
    program: Path

    @property
    def is_current(self) -> bool:
        """Whether just these packages are installed, to the end."""
        try:
            stamp = (self.folder / _STAMP).read_text()
        except OSError:
            return False
        return stamp == self._digest() and self.program.exists()

    def prepare(self) -> None:
        """Lay the pinned packages out for npm."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / _STAMP).unlink(missing_ok=True)
        for name in _COPIED:
            shutil.copyfile(self.source / name, self.folder / name)

    def finish(self) -> None:
        """Make the links that sandboxes start from, and remember that all is done."""
        for name, target in _LINKS[self.harness_type].items():
            link = self.tools / name
            link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = link.with_name(f".{link.name}.draft")
            draft.unlink(missing_ok=True)
            draft.symlink_to(target)
            draft.replace(link)
        (self.folder / _STAMP).write_text(self._digest())

    def read_version(self) -> str:
        """Ask the installed program for its version; it takes about a second.

        Raises:
            SandboxSetupError: it is missing or does not run on this machine.
        """
        try:
            with tempfile.TemporaryDirectory() as home:
                result = subprocess.run(
                    [self.program, "--version"],
                    capture_output=True,
                    check=True,
                    env={"PATH": os.defpath, "HOME": home},
                    stdin=subprocess.DEVNULL,
                    timeout=_VERSION_SECONDS,
                )
        except (OSError, subprocess.SubprocessError) as error:
            raise SandboxSetupError(
                f"The installed {self.harness_type} does not run ({error}). Run `make up` again; "
                "its binary needs Linux on x86-64 with AVX2."
            ) from error
        return result.stdout.decode(errors="replace").strip()

    def _digest(self) -> str:
        return hashlib.sha256((self.source / "package-lock.json").read_bytes()).hexdigest()


def plan_installation(harness_type: str, *, images: Path, tools: Path) -> Installation:
    """Say how a harness is installed.

    Args:
        harness_type: id in the harness registry.
        images: the repository's `harness_images` folder.
        tools: the tools folder, `HomeSettings.tools_folder`.

    Raises:
        SandboxSetupError: it cannot be installed on this machine.
    """
    machine = os.uname()
    if harness_type not in _LINKS or (machine.sysname, machine.machine) != ("Linux", "x86_64"):
        raise SandboxSetupError(
            f"{harness_type} is not pinned for {machine.sysname} on {machine.machine}: local "
            "sandboxes need Linux on x86-64."
        )
    folder = tools / harness_type
    return Installation(
        harness_type=harness_type,
        source=images / harness_type,
        tools=tools,
        folder=folder,
        command=("npm", "ci", "--no-audit", "--no-fund"),
        program=folder / "node_modules" / ".bin" / harness_type,
    )
