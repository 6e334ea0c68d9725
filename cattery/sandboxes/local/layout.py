"""Where the local runtime keeps what, beneath the data folder; all folders are the owner's alone.

projects/<project id>/work            a project's workspace
skills/                               the skills library
sandboxes/<harness id>/sandbox.json   record, and `lock`, of one sandbox
home/ tmp/     its HOME and scratch folder
etc/           what its /etc has of its own (confined)
log/           its harness's output
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from cattery.files.removal import remove_tree
from cattery.ids import HarnessId, ProjectId, parse_id


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one installation."""

    home: Path
    tools: Path

    @property
    def skills(self) -> Path:
        """The skills library."""
        return self.home / "skills"

    def project(self, project_id: ProjectId) -> Path:
        """Return the folder of all that a project has."""
        return self.home / "projects" / str(project_id)

    def workspace(self, project_id: ProjectId) -> Path:
        """Return a project's workspace."""
        return self.project(project_id) / "work"

    def sandbox(self, harness_id: HarnessId) -> Path:
        """Return a sandbox's own folder."""
        return self.home / "sandboxes" / str(harness_id)

    def sandbox_ids(self) -> list[HarnessId]:
        """List the harnesses that have a sandbox folder."""
        try:
            names = sorted(entry.name for entry in (self.home / "sandboxes").iterdir())
        except FileNotFoundError:
            return []
        found: list[UUID | None] = [parse_id(name) for name in names]
        return [HarnessId(one) for one in found if one is not None]


def make_private(*folders: Path) -> None:
    """Make folders, with those above them, for their owner alone."""
    for folder in folders:
        for missing in reversed([folder, *folder.parents]):
            with contextlib.suppress(FileExistsError):
                missing.mkdir(mode=0o700)


def delete_tree(folder: Path) -> None:
    """Delete a folder with all in it, also what was made unreadable; links as links."""
    with contextlib.suppress(FileNotFoundError):
        parent = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            remove_tree(parent, folder.name)
        finally:
            os.close(parent)
