"""What the HTTP process reaches of a cluster in which it has no rights at all.

Files and skills it gets from file managers, by addresses that workers left in rows; a log it has a
worker read; what the network enforces a worker found out.
"""

from typing import Final

import structlog

from api.file_managers import START_PATIENCE, FileManagerAddress, FileManagerBook
from api.lifecycles import Lifecycles
from cattery.db.engine import Database
from cattery.db.harness_logs import StoredLog, find_log
from cattery.db.site_facts import NETWORK, find_fact
from cattery.errors import UnavailableError
from cattery.files.port import FileTree, SkillLibrary
from cattery.files.remote_calls import RemoteCalls, open_session
from cattery.files.remote_tree import RemoteSkillLibrary, RemoteTree
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.port import Isolation

log = structlog.stdlib.get_logger(__name__)

_PODS: Final = "Each sandbox is a pod of its own without privileges."


class ClusterAccess:
    """A `SandboxAccess` by way of rows, workflows and file managers.

    Made inside the event loop: it holds an HTTP session.
    """

    def __init__(
        self, database: Database, lifecycles: Lifecycles, *, patience: float = START_PATIENCE
    ) -> None:
        self._database = database
        self._lifecycles = lifecycles
        self._book = FileManagerBook(database, lifecycles, patience=patience)
        self._http = open_session()

    async def isolation(self) -> Isolation:
        """Say what a worker found out about the network, beside what pods always have."""
        async with self._database.read() as rows:
            fact = await find_fact(rows, NETWORK)
        if fact is None or fact.value.get("enforced") is None:
            found = fact.value.get("summary") if fact else None
            unknown = found or "Whether this cluster enforces network policies is not known yet."
            return Isolation(confined=False, summary=f"{_PODS} {unknown}")
        enforced = fact.value["enforced"] is True
        otherwise = (
            "This cluster enforces network policies."
            if enforced
            else "This cluster does not enforce network policies: sandboxes reach all that it does."
        )
        return Isolation(enforced, f"{_PODS} {fact.value.get('summary') or otherwise}")

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote, as they are or as they were read last."""
        failure: UnavailableError | None = None
        try:
            await self._lifecycles.capture_log(harness_id, lines)
        except UnavailableError as error:
            failure = error
        async with self._database.read() as rows:
            stored = await find_log(rows, harness_id)
        if failure is None:
            return _last_lines(stored.log, lines) if stored else ""
        if stored is None:
            raise failure
        log.warning("log_was_not_captured", harness_id=str(harness_id), reason=failure.message)
        return f"{_date(stored)}\n{_last_lines(stored.log, lines)}"

    def workspace_files(self, project_id: ProjectId) -> FileTree:
        """Give access to the files of a project's workspace, whether or not a sandbox runs."""
        return RemoteTree(self._calls(project_id))

    def skills(self) -> SkillLibrary:
        """Give access to the skills library."""
        return RemoteSkillLibrary(self._calls(None))

    async def close(self) -> None:
        """Release what this process holds; file managers go on."""
        await self._book.close()
        await self._http.close()

    def _calls(self, project_id: ProjectId | None) -> RemoteCalls:
        return RemoteCalls(self._http, FileManagerAddress(self._book, project_id))


def _last_lines(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:])


def _date(stored: StoredLog) -> str:
    moment = stored.captured_at.isoformat(timespec="seconds")
    return f"(As it was read at {moment}; it cannot be read right now.)"
