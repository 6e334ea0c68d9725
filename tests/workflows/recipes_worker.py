"""A worker with the scripted harness on a machine whose disk can be made to fail.

While the file `stubborn` is in CATTERY_HOME, no workspace can be deleted. Deletions are stuck after
two tries instead of five, so that the tests need not wait for long.
"""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import override

sys.path.insert(0, str(Path(__file__).parents[2]))

from activities.deletion_course import DeletionPatience
from cattery.db.purge import PAGE
from cattery.errors import SandboxError
from cattery.ids import ProjectId
from cattery.sandboxes import factory
from cattery.sandboxes.local import LocalRuntime
from tests.scripted_type import SCRIPTED
from workers.main import run

STUBBORN = "stubborn"
WHY = "The disk does not answer."


class StubbornRuntime(LocalRuntime):
    """This machine, with a disk that sometimes does not answer."""

    @override
    async def delete_workspace(self, project_id: ProjectId) -> None:
        if (Path(os.environ["CATTERY_HOME"]) / STUBBORN).exists():
            raise SandboxError(WHY)
        await super().delete_workspace(project_id)


if __name__ == "__main__":
    vars(factory)["LocalRuntime"] = StubbornRuntime
    DeletionPatience.__init__.__defaults__ = (2, timedelta(minutes=1), PAGE)
    run(SCRIPTED)
