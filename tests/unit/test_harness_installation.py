"""Installations of harnesses: made whole beside the old one, and known by what they are made of."""

import subprocess
import sys
from pathlib import Path

import pytest

from cattery.errors import SandboxSetupError
from cattery.harnesses.manifest import Manifest
from cattery.sandboxes.local.tools import Installation, install_bridges, plan_installation
from cattery.settings import default_harnesses
from tests.harness_types import clone_registry

IMAGES = default_harnesses()


def opencode(**changes: object) -> Manifest:
    manifest = clone_registry().manifests["opencode"]
    return manifest.model_copy(
        update={"install": manifest.install.model_copy(update=changes)} if changes else {}
    )


def make_npm_draft(plan: Installation, text: str) -> None:
    """Do what npm would: put the program where the links lead."""
    (command,) = plan.commands()
    assert command.argv[:2] == ("npm", "ci")
    assert {file.name for file in command.folder.iterdir()} == {
        "package.json",
        "package-lock.json",
        ".npmrc",
    }
    binary = command.folder / "node_modules" / "opencode-linux-x64" / "bin" / "opencode"
    binary.parent.mkdir(parents=True)
    binary.write_text(f"#!/bin/sh\necho {text}\n")
    binary.chmod(0o755)
    (command.folder / "node_modules" / ".bin").mkdir()


def test_an_installation_is_current_only_once_it_was_finished(tmp_path: Path) -> None:
    plan = plan_installation(opencode(), images=IMAGES, tools=tmp_path)
    seen = [plan.is_current]
    plan.prepare()
    make_npm_draft(plan, plan.manifest.version)
    seen.append(plan.is_current)
    plan.finish()
    seen.append(plan.is_current)
    assert plan.read_version() == plan.manifest.version
    assert plan.is_expected(plan.read_version())
    assert seen == [False, False, True]


def test_the_old_installation_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    plan = plan_installation(opencode(), images=IMAGES, tools=tmp_path)
    plan.prepare()
    make_npm_draft(plan, "old")
    plan.finish()
    plan.prepare()
    make_npm_draft(plan, "new")
    before = plan.read_version()
    plan.finish()
    assert (before, plan.read_version()) == ("old", "new")
    assert {file.name for file in tmp_path.iterdir()} == {"opencode", "bin"}, "no draft is left"


def test_another_link_or_pin_makes_an_installation_stale(tmp_path: Path) -> None:
    plan = plan_installation(opencode(), images=IMAGES, tools=tmp_path)
    plan.prepare()
    make_npm_draft(plan, "1")
    plan.finish()
    other = opencode(links={**plan.manifest.install.links, "bin/other": "../opencode"})
    assert not plan_installation(other, images=IMAGES, tools=tmp_path).is_current
    pinned = tmp_path / "images" / "opencode"
    pinned.mkdir(parents=True)
    for name in ("package.json", "package-lock.json", ".npmrc"):
        (pinned / name).write_bytes((IMAGES / "opencode" / name).read_bytes() + b"\n")
    assert not plan_installation(opencode(), images=tmp_path / "images", tools=tmp_path).is_current


def test_a_program_that_shares_is_current_where_its_program_is_there(tmp_path: Path) -> None:
    shared = opencode(npm=(), links={}, shares="opencode")
    plan = plan_installation(shared, images=IMAGES, tools=tmp_path)
    assert not plan.is_current
    plan.program.parent.mkdir(parents=True)
    plan.program.touch()
    assert plan.is_current


def test_packages_of_python_come_into_an_environment_that_runs_where_it_is_moved(
    tmp_path: Path,
) -> None:
    images = tmp_path / "images" / "opencode"
    images.mkdir(parents=True)
    (images / "requirements.txt").write_text("")
    manifest = opencode(npm=(), links={}, pypi=("x",), program="opencode/venv/bin/python")
    plan = plan_installation(manifest, images=tmp_path / "images", tools=tmp_path / "tools")
    plan.prepare()
    make, fetch = plan.commands()
    subprocess.run(make.argv, cwd=make.folder, check=True)
    assert fetch.argv[:3] == (sys.executable, "-m", "pip")
    assert {"--require-hashes", "--only-binary"} <= set(fetch.argv)
    script = make.folder / "venv" / "bin" / "say"
    script.write_text(f"#!{make.folder}/venv/bin/python\nprint('said')\n")
    script.chmod(0o755)
    plan.finish()
    assert plan.is_current
    said = subprocess.run([plan.program.with_name("say")], capture_output=True, check=True)
    assert said.stdout == b"said\n"
    assert plan.read_version().startswith("Python 3.")


def test_a_program_that_does_not_run_is_said_with_the_remedy(tmp_path: Path) -> None:
    plan = plan_installation(opencode(), images=IMAGES, tools=tmp_path)
    with pytest.raises(SandboxSetupError, match=r"opencode does not run .*make install"):
        plan.read_version()


def test_bridges_are_copied_once_and_again_when_they_change(tmp_path: Path) -> None:
    source, tools = tmp_path / "bridges", tmp_path / "tools"
    (source / "contract").mkdir(parents=True)
    (source / "contract" / "app.py").write_text("1")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "x.pyc").write_bytes(b"")
    did = [install_bridges(source, tools), install_bridges(source, tools)]
    (source / "contract" / "app.py").rename(source / "contract" / "other.py")
    did.append(install_bridges(source, tools))
    assert did == [True, False, True]
    copied = {str(file.relative_to(tools)) for file in tools.rglob("*") if file.is_file()}
    assert copied == {"bridges/contract/other.py", "bridges/.installed"}
