"""What open streams rest on, asked of the database for many of them at once.

The conditions are those of `cattery.db.users` and `cattery.db.projects`: they stand there only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Uuid,
    and_,
    cast,
    column,
    func,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.projects import visible_to
from cattery.db.tables import AuthSessionRow, HarnessRow, ProjectRow, SessionRow, UserRow
from cattery.db.users import is_sign_in
from cattery.ids import AuthSessionId, ProjectId, SessionId, UserId


class Claim(NamedTuple):
    """What an open stream rests on: a sign-in, and what its user must be allowed to see."""

    user_id: UserId
    auth_session_id: AuthSessionId
    session_id: SessionId | None = None
    project_id: ProjectId | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a claim's sign-in stands, and whether its user may see all that it names."""

    signed_in: bool
    may_see: bool


async def find_standings(session: AsyncSession, claims: Sequence[Claim]) -> list[Standing]:
    """Tell of each of many claims whether it stands, in one statement."""
    asked = (
        func.unnest(*(cast(list(ids), ARRAY(Uuid)) for ids in zip(*claims, strict=True)))
        .table_valued(*(column(name, Uuid) for name in Claim._fields), with_ordinality="number")
        .render_derived("asked")
    )
    rows = await session.execute(
        select(
            _is_signed_in(asked),
            and_(
                or_(asked.c.session_id.is_(None), _sees_session(asked)),
                or_(asked.c.project_id.is_(None), _sees_project(asked)),
            ),
        ).order_by(asked.c.number)
    )
    return [Standing(*row) for row in rows]


def _is_signed_in(asked: FromClause) -> ColumnElement[bool]:
    return (
        select(AuthSessionRow.id)
        .join(UserRow, UserRow.id == AuthSessionRow.user_id)
        .where(is_sign_in(asked.c.user_id, asked.c.auth_session_id))
        .correlate(asked)
        .exists()
    )


def _sees_session(asked: FromClause) -> ColumnElement[bool]:
    return (
        select(SessionRow.id)
        .join(HarnessRow, HarnessRow.id == SessionRow.harness_id)
        .join(ProjectRow, ProjectRow.id == HarnessRow.project_id)
        .where(
            SessionRow.id == asked.c.session_id,
            SessionRow.deleting_at.is_(None),
            HarnessRow.deleting_at.is_(None),
            visible_to(asked.c.user_id),
        )
        .correlate(asked)
        .exists()
    )


def _sees_project(asked: FromClause) -> ColumnElement[bool]:
    return (
        select(ProjectRow.id)
        .where(ProjectRow.id == asked.c.project_id, visible_to(asked.c.user_id))
        .correlate(asked)
        .exists()
    )
