"""A process that dies anywhere in a skill's upload leaves the old one or the new one, whole."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cattery.files.skills import LocalSkillLibrary

ROOT = Path(__file__).parents[2]
OLD = {"SKILL.md": "---\nname: purr\ndescription: old\n---\n", "how/loud.txt": "old"}
NEW = {
    "SKILL.md": "---\nname: purr\ndescription: new\n---\n",
    "how/loud.txt": "new",
    "how/long/seconds.txt": "9",
    "claws.txt": "in",
}
LONG_AGO = 2 * 24 * 3600.0


class Uploads:
    """Makes uploads in processes of their own."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder

    def make(self, root: Path, archive: Path, cut: str | None = None) -> list[str] | None:
        """Upload; returns the calls, or `None` where it was cut."""
        log = self._folder / "calls"
        log.unlink(missing_ok=True)
        order = {"root": str(root), "archive": str(archive), "cut": cut, "log": str(log)}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        assert status in (0, -signal.SIGKILL)
        calls = [line.partition(" ")[2] for line in log.read_text().splitlines()]
        return calls if status == 0 else None


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.upload_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        yield Uploads(process, tmp_path)
        assert process.stdin
        process.stdin.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("before", [OLD, None], ids=["over an old one", "for the first time"])
async def test_an_upload_that_is_cut_anywhere_leaves_a_whole_skill_or_none(
    uploads: Uploads, tmp_path: Path, before: dict[str, str] | None
) -> None:
    old, new = _pack(tmp_path / "old", OLD), _pack(tmp_path / "new", NEW)

    def set_scene(name: str) -> Path:
        root = tmp_path / name / "skills"
        root.mkdir(parents=True)
        if before is not None:
            assert uploads.make(root, old)
        return root

    calls = uploads.make(set_scene("whole"), new)
    assert calls
    found = set()
    for number, call in enumerate(calls):
        root = set_scene(f"cut-{number}")
        assert uploads.make(root, new, call) is None, f"{call} did not come again"
        left = _read(root)
        assert left in (before, NEW), f"cut at {call}: {left}"
        found.add(left == NEW)
        skills = await LocalSkillLibrary(root).catalog()
        assert [skill.valid for skill in skills] == ([] if left is None else [True]), call
        assert uploads.make(root, new), call
        assert _read(root) == NEW, call
        _age(root)
        assert uploads.make(root, new), call
        assert [path.name for path in root.iterdir()] == ["purr"], f"cut at {call}: left"
    assert found == {False, True}
    print(f"upload a skill: {len(calls)} cuts tried, {len(calls)} survived")


def _pack(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(folder / "purr.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"purr/{name}", text)
    return folder / "purr.zip"


def _read(root: Path) -> dict[str, str] | None:
    """Read the skill as an agent sees it; `None` where there is none."""
    skill = root / "purr"
    if not skill.exists():
        return None
    files = [path for path in skill.rglob("*") if path.is_file()]
    return {str(path.relative_to(skill)): path.read_text() for path in files}


def _age(root: Path) -> None:
    """Make what uploads left behind older than any upload takes."""
    then = time.time() - LONG_AGO
    for path in root.iterdir():
        os.utime(path, (then, then))
