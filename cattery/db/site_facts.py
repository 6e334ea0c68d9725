"""Facts that one process found out for all of them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from cattery.db.engine import ReadSession
from cattery.db.tables import SiteFactRow
from cattery.jsontypes import JsonObject

NETWORK = "network"
"""What the cluster's network enforces: `{enforced: true | false | null, summary, checked_at}`."""

ISOLATION = "isolation"
"""How workers confine sandboxes of the `local` runtime: `{confined, summary}`."""

SWEEP = "sweep"
"""What the last sweep found: `{orphans, stuck: {kind: how many}}`."""


@dataclass(frozen=True, slots=True)
class SiteFact:
    """A fact as it was found at a moment."""

    value: JsonObject
    found_at: datetime


async def find_fact(session: ReadSession, name: str) -> SiteFact | None:
    """Read a fact; `None` where nobody has found it out yet."""
    row = await session.get(SiteFactRow, name)
    return None if row is None else SiteFact(row.value, row.found_at)


async def store_fact(session: AsyncSession, name: str, value: JsonObject) -> None:
    """Keep a fact in place of what was known of it before."""
    await session.execute(
        insert(SiteFactRow)
        .values(name=name, value=value)
        .on_conflict_do_update(
            index_elements=[SiteFactRow.name], set_={"value": value, "found_at": func.now()}
        )
    )
