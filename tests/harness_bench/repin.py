"""Another version of one harness, pinned and installed in a folder of its own.

The clone's pins stay as they are: their folder is copied, the harness's own version is changed in
the copy, and the rest is resolved anew by npm or pip, as near to the clone's pins as it goes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cattery.harnesses.manifest import Manifest

CLONE = Path(__file__).parents[2]
MANIFESTS = CLONE / "harness_images"
_NPM_LOCK = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")


class RepinError(Exception):
    """The version cannot be had, or not with what else its pins say; the message has it all."""


@dataclass(frozen=True, slots=True)
class Repinned:
    """A harness's type at another version, with whatever type it shares its installation with."""

    types: tuple[str, ...]
    manifests: Path
    tools: Path

    def environment(self) -> Mapping[str, str]:
        """Return what makes Cattery take this version."""
        return {
            "CATTERY_HARNESSES": str(self.manifests),
            "CATTERY_TOOLS": str(self.tools),
            "CATTERY_HARNESS_TYPES": ",".join(self.types),
        }

    def install(self) -> None:
        """Install it, unless it is there.

        Raises:
            RepinError: it cannot be installed, or does not run.
        """
        command = (sys.executable, "-P", "-m", "cli.harness_tools")
        _run(command, self.tools.parent, {**self.environment(), "PYTHONPATH": str(CLONE)})


def repin(manifest: Manifest, version: str, folder: Path) -> Repinned:
    """Write manifest and pins of another version into a folder.

    Raises:
        RepinError: there is no such version, or nothing fits it.
    """
    base = manifest.install.shares or manifest.id
    types = tuple(dict.fromkeys((base, manifest.id)))
    manifests = folder / "harness_images"
    manifests.mkdir(parents=True, exist_ok=True)
    for name in types:
        shutil.copytree(MANIFESTS / name, manifests / name, dirs_exist_ok=True)
        toml = manifests / name / "harness.toml"
        toml.write_text(change_version(toml.read_text(), version))
    bridges = folder / "bridges"
    bridges.unlink(missing_ok=True)
    bridges.symlink_to(CLONE / "bridges")
    pins = manifests / base
    if (pins / "package.json").exists():
        _repin_npm(pins, version)
    else:
        _repin_pypi(pins, version)
    return Repinned(types, manifests, folder / "tools")


def change_version(toml: str, version: str) -> str:
    """Replace a manifest's `version`; what its program prints is then that too."""
    toml = re.sub(r"(?m)^prints = .*\n", "", toml)
    changed, count = re.subn(r'(?m)^version = ".*"$', f'version = "{version}"', toml)
    if count != 1:
        raise RepinError(f"The manifest has {count} lines with a version.")
    return changed


def change_requirement(requirements: str, version: str) -> str:
    """Replace the version of the harness's own package in a `requirements.in`."""
    lines = requirements.splitlines()
    own = _own_requirement(lines)
    lines[own] = re.sub(r"==.*", f"=={version}", lines[own])
    return "\n".join(lines) + "\n"


def constraints_of(locked: str, harness: str) -> str:
    """Return the other packages of a locked `requirements.txt`, without their hashes."""
    pins = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", locked)
    return "".join(f"{name}=={version}\n" for name, version in pins if name != harness)


def lock_of(report: Mapping[str, object]) -> str:
    """Return pip's report of what it would install as a `requirements.txt` with hashes."""
    lines: list[str] = []
    chosen = report["install"]
    assert isinstance(chosen, list)
    for one in chosen:
        name, version = one["metadata"]["name"], one["metadata"]["version"]
        digest = one["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    return "".join(sorted(lines))


def _repin_npm(pins: Path, version: str) -> None:
    package = json.loads((pins / "package.json").read_text())
    manifest = (pins / "harness.toml").read_text()
    own = re.search(r'(?m)^npm = \["([^"]+)"', manifest)
    if own is None or own[1] not in package["dependencies"]:
        raise RepinError(f"{pins.name}: install.npm and package.json name different packages.")
    package["dependencies"][own[1]] = version
    (pins / "package.json").write_text(json.dumps(package, indent=2) + "\n")
    (pins / "package-lock.json").unlink(missing_ok=True)
    _run(_NPM_LOCK, pins)


def _repin_pypi(pins: Path, version: str) -> None:
    wanted, locked = pins / "requirements.in", pins / "requirements.txt"
    lines = wanted.read_text().splitlines()
    harness = re.split(r"[\[=]", lines[_own_requirement(lines)])[0]
    wanted.write_text(change_requirement(wanted.read_text(), version))
    constraints = pins / "constraints.txt"
    constraints.write_text(constraints_of(locked.read_text(), harness))
    report = pins / "report.json"
    command = (
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"),
        *("--dry-run", "--ignore-installed", "--only-binary", ":all:"),
        *("--report", str(report), "-r", str(wanted)),
    )
    try:
        _run((*command, "-c", str(constraints)), pins)
    except RepinError:
        _run(command, pins)  # the other version needs others of its packages
    locked.write_text(lock_of(json.loads(report.read_text())))


def _own_requirement(lines: Sequence[str]) -> int:
    """Return the line of the harness: the one exact pin that is not of what our bridges need."""
    own = [number for number, line in enumerate(lines) if "==" in line and "aiohttp" not in line]
    if len(own) != 1:
        raise RepinError(f"Which of these packages is the harness? {', '.join(lines)}")
    return own[0]


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | dict(env or {}),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()
        raise RepinError(f"{' '.join(command[:4])} … failed:\n{said}")
