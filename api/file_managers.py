"""Finds file managers for the HTTP process, which may start none itself.

Their addresses stand in rows. Where there is none, or it does not answer, the file manager's own
workflow is asked for one, and whoever waits for that waits a few seconds at most.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from api.lifecycles import Lifecycles
from cattery.db.engine import Database
from cattery.db.file_managers import FileManagerFacts, find_file_manager, note_use
from cattery.db.states import HarnessStatus
from cattery.errors import UnavailableError
from cattery.files.remote_calls import Address
from cattery.ids import ProjectId

CACHED_SECONDS: Final = 1.0
"""How long an address is used without a look at its row."""
USE_NOTED_SECONDS: Final = 30.0
"""Between two notes of the use of the same file manager."""
START_PATIENCE: Final = 8.0
"""Seconds that a request waits for a file manager; under what people and proxies wait."""
COME_BACK_SECONDS: Final = 3

type _Key = tuple[ProjectId | None, int | None]


@dataclass(frozen=True, slots=True)
class _Known:
    address: Address
    read_at: float


class FileManagerBook:
    """The addresses of all file managers, for one process.

    Args:
        database: rows.
        lifecycles: start what is not there.
        patience: seconds that a request waits for a start.
    """

    def __init__(
        self, database: Database, lifecycles: Lifecycles, *, patience: float = START_PATIENCE
    ) -> None:
        self._database = database
        self._lifecycles = lifecycles
        self._patience = patience
        self._known: dict[ProjectId | None, _Known] = {}
        self._noted: dict[ProjectId | None, float] = {}
        self._starts: dict[_Key, asyncio.Task[None]] = {}

    async def find(self, project_id: ProjectId | None) -> Address:
        """Return where a file manager answers; start it where it does not run.

        Raises:
            UnavailableError: it still starts, or cannot; the message says at what it is, or why.
        """
        address = await self._read(project_id)
        if address is None:
            return await self._start(project_id, None)
        await self._note_use(project_id)
        return address

    async def replace(self, project_id: ProjectId | None, lost: Address) -> Address:
        """Return where a file manager answers that did not at `lost`; raises as `find` does."""
        self._known.pop(project_id, None)
        address = await self._read(project_id)
        if address is not None and address != lost:
            return address  # it was replaced already
        return await self._start(project_id, lost.generation)

    async def close(self) -> None:
        """Wait no longer for what is being started; it goes on."""
        starts = list(self._starts.values())
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)

    async def _read(self, project_id: ProjectId | None) -> Address | None:
        known = self._known.get(project_id)
        if known is not None and time.monotonic() - known.read_at < CACHED_SECONDS:
            return known.address
        address = _address_of(await self._facts(project_id))
        if address is None:
            self._known.pop(project_id, None)
        else:
            self._known[project_id] = _Known(address, time.monotonic())
        return address

    async def _start(self, project_id: ProjectId | None, lost: int | None) -> Address:
        """Have it started, together with whoever else wants the same just now."""
        start = self._join_start(project_id, lost)
        done, _ = await asyncio.wait({start}, timeout=self._patience)
        if not done:
            raise _starting(project_id, await self._facts(project_id))
        await start
        self._known.pop(project_id, None)
        address = await self._read(project_id)
        if address is not None:
            return address
        facts = await self._facts(project_id)
        if facts is not None and lost is None:  # its workflow does not know what the row says
            return await self._start(project_id, facts.generation)
        raise _starting(project_id, facts)

    def _join_start(self, project_id: ProjectId | None, lost: int | None) -> asyncio.Task[None]:
        key = (project_id, lost)
        start = self._starts.get(key)
        if start is None:
            start = asyncio.create_task(
                self._lifecycles.ensure_file_manager(project_id, lost=lost),
                name="start-file-manager",
            )
            start.add_done_callback(lambda done: self._forget_start(key, done))
            self._starts[key] = start
        return start

    def _forget_start(self, key: _Key, done: asyncio.Task[None]) -> None:
        self._starts.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited has seen it; nobody else needs to

    async def _note_use(self, project_id: ProjectId | None) -> None:
        now = time.monotonic()
        if now - self._noted.get(project_id, -USE_NOTED_SECONDS) < USE_NOTED_SECONDS:
            return
        self._noted[project_id] = now
        async with self._database.write() as session:
            await note_use(session, project_id)

    async def _facts(self, project_id: ProjectId | None) -> FileManagerFacts | None:
        async with self._database.read() as rows:
            return await find_file_manager(rows, project_id)


class FileManagerAddress:
    """The address of one file manager, out of the book."""

    def __init__(self, book: FileManagerBook, project_id: ProjectId | None) -> None:
        self._book = book
        self._project_id = project_id

    async def find(self) -> Address:
        """Return the address; raises `UnavailableError` with the reason where there is none."""
        return await self._book.find(self._project_id)

    async def replace(self, lost: Address) -> Address:
        """Return another address than one that did not answer; raises as `find` does."""
        return await self._book.replace(self._project_id, lost)


def _address_of(facts: FileManagerFacts | None) -> Address | None:
    if facts is None or facts.status is not HarnessStatus.READY:
        return None
    if facts.base_url is None or facts.token is None:
        return None
    return Address(facts.base_url, facts.token, facts.generation)


def _starting(project_id: ProjectId | None, facts: FileManagerFacts | None) -> UnavailableError:
    whose = "this project" if project_id else "the skills library"
    stage = f" ({facts.waiting})" if facts is not None and facts.waiting else ""
    return UnavailableError(
        f"The file manager of {whose} is starting{stage}. Try again in a few seconds.",
        retry_after=COME_BACK_SECONDS,
    )
