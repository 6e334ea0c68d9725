"""The feed: one line for every change of an object that people look at.

It says *that* a harness, session, project or user changed, never what: whoever hears it reads the
object with its own rights. It travels by NOTIFY in the transaction of the change itself.
"""

from dataclasses import dataclass
from typing import Literal, Self
from uuid import UUID

import orjson
from sqlalchemy import text

from cattery.db.statements import Rows, Statement, run

FEED_CHANNEL = "cattery_feed"
NOTIFY = Statement(text("SELECT pg_notify(:channel, :payload)"))

type FeedKind = Literal["harness", "session", "project", "user", "lost"]


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One change. `lost` stands for any number of changes that this listener did not hear."""

    kind: FeedKind
    id: UUID | None = None
    project_id: UUID | None = None

    @classmethod
    def lost(cls) -> Self:
        """Return the item that tells a listener to read everything again."""
        return cls("lost")


async def announce(
    rows: Rows,
    kind: Literal["harness", "session", "project", "user"],
    object_id: UUID,
    project_id: UUID | None,
) -> None:
    """Tell the feed, when this transaction commits, that an object changed."""
    payload = encode_feed_item(kind, object_id, project_id)
    await run(rows, NOTIFY, channel=FEED_CHANNEL, payload=payload)


def encode_feed_item(kind: str, object_id: UUID, project_id: UUID | None) -> str:
    """Write the payload of the NOTIFY that says that an object changed."""
    return orjson.dumps({"kind": kind, "id": object_id, "project_id": project_id}).decode()


def parse_feed_item(payload: str) -> FeedItem:
    """Read a NOTIFY payload that `announce` made."""
    item = orjson.loads(payload)
    project_id = item["project_id"]
    return FeedItem(item["kind"], UUID(item["id"]), UUID(project_id) if project_id else None)
