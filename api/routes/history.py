"""What was said in a session, as data and as a file (contract/api.md, Sessions)."""

from typing import Annotated, Literal
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Query, Response

from api.dependencies import Db, SessionAccess, SessionAccessByQuery
from api.schemas.errors import answers
from api.schemas.sessions import HistoryMessage
from api.transcript import render_transcript
from cattery.auth.access import SessionGrant
from cattery.db import harnesses, sessions
from cattery.db.engine import Database
from cattery.db.event_log import read_events
from cattery.events import history
from cattery.events.history import fold_history
from cattery.harnesses.port import TransportKind
from cattery.jsontypes import JsonObject

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

MEDIA_TYPES = {"md": "text/markdown; charset=utf-8", "json": "application/json"}
MAX_FILE_NAME_TITLE = 80
_NOT_IN_FILE_NAMES = frozenset('<>:"/\\|?*')


@router.get(
    "/history",
    response_model=list[HistoryMessage],
    responses=answers(401, 404),
)
async def read_history(access: SessionAccess, database: Db) -> Response:
    """Read the whole conversation; it is there with the sandbox off as well."""
    messages = await _fold(access, database)
    return Response(_encode(messages), media_type="application/json")


@router.get(
    "/export",
    response_class=Response,
    responses=answers(400, 401, 404)
    | {200: {"content": {"text/markdown": {}, "application/json": {}}}},
)
async def export_session(
    access: SessionAccessByQuery,
    database: Db,
    format: Annotated[Literal["md", "json"], Query()] = "md",  # noqa: A002 - the contract's name
) -> Response:
    """Download a readable transcript (`md`) or the history (`json`)."""
    messages = await _fold(access, database)
    async with database.read() as session:
        record = await sessions.get_session(session, access.session_id)
        harness = await harnesses.get_harness(session, access.harness_id, access.user.user_id)
    content = (
        _encode(messages)
        if format == "json"
        else render_transcript(record, harness, messages).encode()
    )
    name = f"{_file_name_of(record.title)}-{record.session_id}.{format}"
    return Response(
        content,
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": _attachment(name)},
    )


async def _fold(access: SessionGrant, database: Database) -> list[history.HistoryMessage]:
    if access.transport is TransportKind.TERMINAL:
        return []
    return fold_history(await read_events(database, access.session_id, whole=True))


def _encode(messages: list[history.HistoryMessage]) -> bytes:
    answer: list[JsonObject] = [
        {"messageId": m.message_id, "role": m.role, "events": [*m.events]} for m in messages
    ]
    return orjson.dumps(answer)


def _file_name_of(title: str | None) -> str:
    """Make a title fit for a file name on any system."""
    kept = "".join(
        c if c.isprintable() and c not in _NOT_IN_FILE_NAMES else " " for c in title or ""
    )
    return " ".join(kept.split()).strip(". ")[:MAX_FILE_NAME_TITLE].strip(". ") or "session"


def _attachment(name: str) -> str:
    """Name a download for old clients in ASCII and for all others as it is (RFC 6266)."""
    ascii_name = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
