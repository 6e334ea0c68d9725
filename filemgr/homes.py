"""The HOME folders of a project's sandboxes, which outlive them and end with their harnesses.

They lie beside the workspace on the same volume, one a harness, named by its id. Only folders of
such names are ever touched.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from cattery.clock import utc_now
from cattery.files.beneath import FOLDER
from cattery.files.failures import explaining
from cattery.files.removal import remove_tree
from cattery.ids import parse_id

YOUNG: Final = timedelta(hours=1)
"""A HOME that changed within it is kept: its harness may be newer than the list to keep."""


class Homes:
    """The HOME folders beneath one folder, which need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def remove(self, harness_id: str) -> None:
        """Delete one; nothing happens where there is none. Blocks.

        Raises:
            CatteryError: the file system does not let us.
        """
        with explaining(f"the HOME of harness {harness_id}"), suppress(FileNotFoundError):
            folder_fd = os.open(self._folder, FOLDER)
            try:
                remove_tree(folder_fd, harness_id)
            finally:
                os.close(folder_fd)

    def keep(self, harness_ids: Collection[str]) -> list[str]:
        """Delete all but these and the young ones; returns the ids of those deleted. Blocks."""
        if not self._folder.is_dir():
            return []
        oldest = (utc_now() - YOUNG).timestamp()
        doomed = [
            path.name
            for path in self._folder.iterdir()
            if is_home(path.name)
            and path.name not in harness_ids
            and path.lstat().st_ctime < oldest
        ]
        for name in doomed:
            self.remove(name)
        return sorted(doomed)


def is_home(name: str) -> bool:
    """Whether a folder's name is a canonical harness id."""
    parsed = parse_id(name)
    return parsed is not None and str(parsed) == name
