"""What the HTTP process reaches of the `local` runtime: the data folder, which it shares."""

from cattery.db.engine import Database
from cattery.db.site_facts import ISOLATION, find_fact
from cattery.files.port import FileTree, SkillLibrary
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.port import Isolation, SandboxAccess


class LocalAccess:
    """A `SandboxAccess` to this machine's files. How sandboxes are confined, a worker found out.

    For that is so where the worker runs, which may be another container with other rights.
    """

    def __init__(self, inner: SandboxAccess, database: Database) -> None:
        self._inner = inner
        self._database = database

    async def isolation(self) -> Isolation:
        """Say what a worker told last; before the first one started, what is so right here."""
        async with self._database.read() as rows:
            fact = await find_fact(rows, ISOLATION)
        if fact is None:
            return await self._inner.isolation()
        return Isolation(fact.value.get("confined") is True, str(fact.value.get("summary", "")))

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote."""
        return await self._inner.read_log(harness_id, lines=lines)

    def workspace_files(self, project_id: ProjectId) -> FileTree:
        """Give access to the files of a project's workspace."""
        return self._inner.workspace_files(project_id)

    def skills(self) -> SkillLibrary:
        """Give access to the skills library."""
        return self._inner.skills()

    async def close(self) -> None:
        """Release what this process holds."""
        await self._inner.close()
