"""The sandbox columns of a harness as the workers write them, and the tokens of its generations.

Every write names its generation and does nothing where a later one is known: a worker that was
given up can no longer change what its successor wrote.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, case, func, literal, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.auth.sandbox_tokens import SandboxPrincipal
from cattery.db import timeline
from cattery.db.engine import Database, ReadSession
from cattery.db.feed import announce
from cattery.db.states import HarnessStatus
from cattery.db.tables import HarnessRow, SandboxTokenRow
from cattery.db.timeline import Happening
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessId, ProjectId
from cattery.jsontypes import Json

MAX_RECOVERIES: Final = 3
RECOVERY_WINDOW: Final = timedelta(minutes=10)
"""A sandbox that was healed so often within this time is not healed again: people decide."""
RECOVERIES_KEPT: Final = 10


@dataclass(frozen=True, slots=True)
class HarnessFacts:
    """What a worker needs to know of a harness to run its sandbox."""

    harness_id: HarnessId
    project_id: ProjectId
    name: str | None
    type: str
    model: str
    env: dict[str, str]
    generation: int
    status: HarnessStatus
    endpoint: HarnessEndpoint | None
    deleting: bool
    password: str | None = None
    waiting: str | None = None


async def find_harness(session: ReadSession, harness_id: HarnessId) -> HarnessFacts | None:
    """Read a harness, also one that is being deleted."""
    row = await session.get(HarnessRow, harness_id)
    return None if row is None else harness_facts(row)


async def find_harnesses(
    session: ReadSession, harness_ids: Collection[HarnessId]
) -> Mapping[HarnessId, HarnessFacts]:
    """Read those of some harnesses that have a row, by one query."""
    rows = await session.scalars(select(HarnessRow).where(HarnessRow.id.in_(harness_ids)))
    return {HarnessId(row.id): harness_facts(row) for row in rows}


async def list_live_harnesses(session: ReadSession) -> Sequence[HarnessFacts]:
    """Read every harness that says it starts or runs."""
    rows = await session.scalars(
        select(HarnessRow).where(
            HarnessRow.status.in_([HarnessStatus.STARTING, HarnessStatus.READY])
        )
    )
    return [harness_facts(row) for row in rows]


class SandboxRows:
    """Writes one generation's columns."""

    def __init__(self, session: AsyncSession, harness_id: HarnessId, generation: int) -> None:
        self._session = session
        self._harness_id = harness_id
        self._generation = generation

    async def begin(self, password: str) -> bool:
        """Say that this generation starts; false where it is not the newest. Safe to repeat.

        The first try decides on the password of the harness's port; later ones keep it. What is
        shown of a start that is under way stays until the next try reports something; recoveries
        are those of one generation. The tokens of earlier ones end: a sandbox that was lost is
        followed by a new one without ever having been stopped.
        """
        is_mine = HarnessRow.generation == self._generation
        is_under_way = and_(is_mine, HarnessRow.status == HarnessStatus.STARTING)
        kept = case((is_mine, HarnessRow.endpoint_password), else_=None)
        nothing = literal([], JSONB)
        begins = await self._update(
            HarnessRow.generation <= self._generation,
            generation=self._generation,
            status=HarnessStatus.STARTING,
            endpoint_url=None,
            endpoint_password=func.coalesce(kept, password),
            failure=None,
            waiting=case((is_under_way, HarnessRow.waiting), else_=None),
            steps=case((is_under_way, HarnessRow.steps), else_=nothing),
            runtime_events=case((is_under_way, HarnessRow.runtime_events), else_=nothing),
            recoveries=case((is_mine, HarnessRow.recoveries), else_=nothing),
        )
        if begins:
            await self._revoke_tokens(SandboxTokenRow.generation < self._generation)
        return begins

    async def write_progress(
        self, steps: list[Json], events: list[Json], waiting: str | None
    ) -> None:
        """Show how far the start has come, what the runtime says of it, what it waits for."""
        await self._update(
            HarnessRow.generation == self._generation,
            steps=steps,
            runtime_events=events,
            waiting=waiting,
        )

    async def note_waiting(self, reason: str | None) -> bool:
        """Say what a sandbox that runs waits for, such as its node; `None`: no longer."""
        return await self._update(
            and_(
                HarnessRow.generation == self._generation,
                HarnessRow.waiting.is_distinct_from(reason),
            ),
            waiting=reason,
        )

    async def note_recovery(self, at: datetime, reason: str) -> bool:
        """Say that the sandbox was lost and is being healed; its address is forgotten.

        Safe to repeat: `at` tells one recovery from another.

        Returns:
            False, and nothing is written, where it was healed too often within a short time.
        """
        found = await self._session.scalar(
            select(HarnessRow.recoveries)
            .where(HarnessRow.id == self._harness_id, HarnessRow.generation == self._generation)
            .with_for_update()
        )
        recoveries = [one for one in found or [] if isinstance(one, dict)]
        moments = [datetime.fromisoformat(str(one["at"])) for one in recoveries]
        if at not in moments:
            if sum(at - moment < RECOVERY_WINDOW for moment in moments) >= MAX_RECOVERIES:
                return False
            recoveries.append({"at": at.isoformat(), "reason": reason})
        await self._update(
            HarnessRow.generation == self._generation,
            status=HarnessStatus.STARTING,
            endpoint_url=None,
            waiting=None,
            steps=[],
            recoveries=recoveries[-RECOVERIES_KEPT:],
        )
        await self._record(Happening.RECOVERED, reason)
        return True

    async def finish(self, task_name: str, endpoint: HarnessEndpoint) -> bool:
        """Say that this generation answers at an endpoint; nothing where it was ended meanwhile."""
        is_mine = await self._update(
            and_(
                HarnessRow.generation == self._generation,
                HarnessRow.status == HarnessStatus.STARTING,
            ),
            status=HarnessStatus.READY,
            task_name=task_name,
            endpoint_url=endpoint.base_url,
            endpoint_password=endpoint.password,
            failure=None,
            waiting=None,
            used_at=func.now(),
            stopped_reason=None,
        )
        if is_mine:
            await self._record(Happening.STARTED, f"Start {self._generation}.")
        return is_mine

    async def fail(self, message: str) -> bool:
        """Say why this generation failed; its address is forgotten and its tokens end.

        Safe to repeat: a message that goes on with the lines of a log is not replaced by one
        without them. What its start showed stays.
        """
        await self.revoke_tokens()
        is_said = and_(
            HarnessRow.status == HarnessStatus.FAILED,
            HarnessRow.failure.startswith(message, autoescape=True),
        )
        is_mine = await self._update(
            HarnessRow.generation == self._generation,
            status=HarnessStatus.FAILED,
            endpoint_url=None,
            endpoint_password=None,
            failure=case((is_said, HarnessRow.failure), else_=message),
            waiting=case((is_said, HarnessRow.waiting), else_=None),
            stopped_reason=None,
        )
        if is_mine:
            await self._record(Happening.FAILED, message.partition("\n")[0])
        return is_mine

    async def stop(self) -> bool:
        """Say that no sandbox runs, on purpose; its tokens end. What holds its end up stays.

        So does why it sleeps, where it sleeps already.
        """
        await self.revoke_tokens()
        is_said = and_(
            HarnessRow.generation == self._generation, HarnessRow.status == HarnessStatus.IDLE
        )
        was_said = await self._session.scalar(
            select(is_said).where(HarnessRow.id == self._harness_id).with_for_update(key_share=True)
        )
        is_mine = await self._update(
            HarnessRow.generation <= self._generation,
            generation=self._generation,
            status=HarnessStatus.IDLE,
            endpoint_url=None,
            endpoint_password=None,
            failure=None,
            waiting=case((is_said, HarnessRow.waiting), else_=None),
            steps=[],
            runtime_events=[],
            recoveries=[],
            suspended_at=case((is_said, HarnessRow.suspended_at), else_=None),
            stopped_reason=case((is_said, HarnessRow.stopped_reason), else_=None),
        )
        if is_mine and not was_said:
            await self._record(Happening.STOPPED)
        return is_mine

    async def add_token(self, token_hash: bytes) -> None:
        """Let a token be worth something until the generation ends."""
        await self._session.execute(
            upsert(SandboxTokenRow)
            .values(token_hash=token_hash, harness_id=self._harness_id, generation=self._generation)
            .on_conflict_do_nothing()
        )

    async def revoke_tokens(self) -> None:
        """End the tokens of this generation and of all before it."""
        await self._revoke_tokens(SandboxTokenRow.generation <= self._generation)

    async def _revoke_tokens(self, condition: ColumnElement[bool]) -> None:
        await self._session.execute(
            update(SandboxTokenRow)
            .where(
                SandboxTokenRow.harness_id == self._harness_id,
                condition,
                SandboxTokenRow.revoked_at.is_(None),
            )
            .values(revoked_at=func.now())
        )

    async def _record(self, kind: Happening, detail: str | None = None) -> None:
        await timeline.record(self._session, self._harness_id, kind, detail=detail)

    async def _update(self, condition: ColumnElement[bool], **values: object) -> bool:
        project_id = await self._session.scalar(
            update(HarnessRow)
            .where(HarnessRow.id == self._harness_id, condition)
            .values(**values)
            .returning(HarnessRow.project_id)
        )
        if project_id is None:
            return False
        await announce(self._session, "harness", self._harness_id, project_id)
        return True


async def find_token_owner(database: Database, token_hash: bytes) -> SandboxPrincipal | None:
    """Return whose live token this is; `None` for one that is unknown or revoked."""
    async with database.read() as session:
        row = (
            await session.execute(
                select(
                    SandboxTokenRow.harness_id, HarnessRow.project_id, SandboxTokenRow.generation
                )
                .join(HarnessRow, HarnessRow.id == SandboxTokenRow.harness_id)
                .where(
                    SandboxTokenRow.token_hash == token_hash,
                    SandboxTokenRow.revoked_at.is_(None),
                    HarnessRow.deleting_at.is_(None),
                )
            )
        ).first()
    if row is None:
        return None
    return SandboxPrincipal(HarnessId(row[0]), ProjectId(row[1]), row[2])


def harness_facts(row: HarnessRow) -> HarnessFacts:
    """Turn a row into what workers know of it."""
    endpoint = (
        HarnessEndpoint(row.endpoint_url, row.endpoint_password) if row.endpoint_url else None
    )
    return HarnessFacts(
        harness_id=HarnessId(row.id),
        project_id=ProjectId(row.project_id),
        name=row.name,
        type=row.type,
        model=row.model,
        env={name: str(value) for name, value in row.env_vars.items()},
        generation=row.generation,
        status=HarnessStatus(row.status),
        endpoint=endpoint,
        deleting=row.deleting_at is not None,
        password=row.endpoint_password,
        waiting=row.waiting,
    )
