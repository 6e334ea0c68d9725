"""Where the file managers of a cluster are, and since when nobody used them.

Workers write, under the number of the start that they serve: whoever was given up can no longer
change what his successor wrote. The HTTP process reads, and notes that it uses one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import ReadSession
from cattery.db.states import HarnessStatus
from cattery.db.tables import FileManagerRow, ProjectRow
from cattery.ids import ProjectId

SKILLS = UUID(int=0)
"""The row of the skills' file manager."""


@dataclass(frozen=True, slots=True)
class FileManagerFacts:
    """A file manager as it is now; `waiting` is what its start is at."""

    generation: int
    status: HarnessStatus
    base_url: str | None
    token: str | None = field(repr=False)
    failure: str | None
    waiting: str | None
    used_at: datetime


async def find_file_manager(
    session: ReadSession, project_id: ProjectId | None
) -> FileManagerFacts | None:
    """Read a project's file manager, or the skills'; `None` where there never was one."""
    row = await session.get(FileManagerRow, project_id or SKILLS)
    if row is None:
        return None
    return FileManagerFacts(
        generation=row.generation,
        status=row.status,
        base_url=row.base_url,
        token=row.token,
        failure=row.failure,
        waiting=row.waiting,
        used_at=row.used_at,
    )


async def may_have_file_manager(session: ReadSession, project_id: ProjectId | None) -> bool:
    """Whether there is such a project and nobody deletes it."""
    if project_id is None:
        return True
    alive = select(ProjectRow.id).where(
        ProjectRow.id == project_id, ProjectRow.deleting_at.is_(None)
    )
    return await session.scalar(alive) is not None


async def note_use(session: AsyncSession, project_id: ProjectId | None) -> None:
    """Say that a file manager is being used."""
    await session.execute(
        update(FileManagerRow)
        .where(FileManagerRow.id == (project_id or SKILLS))
        .values(used_at=func.now())
    )


async def is_unused(session: ReadSession, project_id: ProjectId | None, span: timedelta) -> bool:
    """Whether nobody used a file manager for so long, by the database's clock."""
    used = select(FileManagerRow.id).where(
        FileManagerRow.id == (project_id or SKILLS),
        FileManagerRow.used_at > func.now() - literal(span),
    )
    return await session.scalar(used) is None


async def list_unwatched(
    session: ReadSession, *, older_than: timedelta
) -> Sequence[ProjectId | None]:
    """List file managers that start or run and that nobody used for so long."""
    rows = await session.scalars(
        select(FileManagerRow.id).where(
            FileManagerRow.status.in_([HarnessStatus.STARTING, HarnessStatus.READY]),
            FileManagerRow.used_at < func.now() - literal(older_than),
        )
    )
    return [None if row == SKILLS else ProjectId(row) for row in rows]


async def forget_file_manager(session: AsyncSession, project_id: ProjectId) -> None:
    """Remove the row of a file manager whose project goes."""
    await session.execute(delete(FileManagerRow).where(FileManagerRow.id == project_id))


class FileManagerRows:
    """Writes one generation's columns."""

    def __init__(
        self, session: AsyncSession, project_id: ProjectId | None, generation: int
    ) -> None:
        self._session = session
        self._id = project_id or SKILLS
        self._generation = generation

    async def begin(self, token: str) -> str | None:
        """Say that this generation starts; `None` where a later one is known. Safe to repeat.

        Returns:
            The token that its callers prove themselves with: the first try decides on it.
        """
        kept = case(
            (FileManagerRow.generation == self._generation, FileManagerRow.token), else_=None
        )
        values = {
            "generation": self._generation,
            "status": HarnessStatus.STARTING,
            "base_url": None,
            "failure": None,
            "waiting": None,
            "used_at": func.now(),
        }
        statement = (
            insert(FileManagerRow)
            .values(id=self._id, token=token, **values)
            .on_conflict_do_update(
                index_elements=[FileManagerRow.id],
                set_=values | {"token": func.coalesce(kept, token)},
                where=FileManagerRow.generation <= self._generation,
            )
            .returning(FileManagerRow.token)
        )
        return await self._session.scalar(statement)

    async def note_waiting(self, reason: str | None) -> None:
        """Show what the start is at, or waits for."""
        await self._update(self._is_mine(), waiting=reason)

    async def finish(self, base_url: str) -> None:
        """Say where it answers."""
        await self._update(
            self._is_mine(), status=HarnessStatus.READY, base_url=base_url, waiting=None
        )

    async def fail(self, message: str) -> None:
        """Say why it is not there."""
        await self._update(self._is_mine(), **_GONE, status=HarnessStatus.FAILED, failure=message)

    async def stop(self) -> None:
        """Forget address and token, of an earlier generation too."""
        older = FileManagerRow.generation <= self._generation
        busy = or_(FileManagerRow.status != HarnessStatus.IDLE, FileManagerRow.token.is_not(None))
        await self._update(older & busy, **_GONE, status=HarnessStatus.IDLE, failure=None)

    def _is_mine(self) -> ColumnElement[bool]:
        return FileManagerRow.generation == self._generation

    async def _update(self, which: ColumnElement[bool], **values: object) -> None:
        await self._session.execute(
            update(FileManagerRow).where(FileManagerRow.id == self._id, which).values(**values)
        )


_GONE = {"base_url": None, "token": None, "waiting": None}
