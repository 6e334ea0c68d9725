"""The models that a site offers by name, once an admin has edited them."""

from collections.abc import Callable, Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.catalog import Model, family_of
from cattery.db.engine import ReadSession
from cattery.db.locks import OFFERED_MODELS, take_lock
from cattery.db.tables import OfferedModelRow


async def list_offered(session: ReadSession | AsyncSession) -> list[Model]:
    """List what admins chose, in its order; nothing where the settings still say it."""
    rows = await session.scalars(select(OfferedModelRow).order_by(OfferedModelRow.position))
    return [Model(row.id, family_of(row.id), default=row.is_default) for row in rows]


async def edit_offered(
    session: AsyncSession,
    configured: Sequence[Model],
    edit: Callable[[Sequence[Model]], list[Model]],
) -> list[Model]:
    """Change what is offered; two admins at once do so one after the other.

    Args:
        session: a transaction.
        configured: what the settings say, which the first edit starts from.
        edit: makes the new list of the old one; what it raises leaves all as it was.
    """
    await take_lock(session, OFFERED_MODELS)
    edited = edit(await list_offered(session) or configured)
    await reset_offered(session)
    await session.execute(
        insert(OfferedModelRow),
        [
            {"id": model.id, "position": position, "is_default": model.default}
            for position, model in enumerate(edited)
        ],
    )
    return edited


async def reset_offered(session: AsyncSession) -> None:
    """Forget every edit: the settings say again what is offered."""
    await take_lock(session, OFFERED_MODELS)
    await session.execute(delete(OfferedModelRow))
