"""Watching a session over server-sent events, and the contract's prompt that streams its turn."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from api.dependencies import Db, HubDep, LifecyclesDep, RightsDep, SessionAccess
from api.follow_up import tell_lifecycles
from api.schemas.errors import answers
from api.schemas.events import PlatformEvent
from api.schemas.prompts import PromptCreate
from api.schemas.streams import LoggedEvent
from api.streams import SSE_HEADERS, EventStreamResponse, SseStream, parse_cursor
from cattery.db.event_log import read_head
from cattery.db.prompts import PromptAuthor, accept_prompt
from cattery.errors import NotFoundError

router = APIRouter(prefix="/sessions/{session_id}", tags=["events"])

_STREAM = "text/event-stream"


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {"model": LoggedEvent, "content": {_STREAM: {}}, "description": "An event stream."},
        **answers(400, 401, 404),
    },
)
async def watch_events(
    access: SessionAccess,
    database: Db,
    hub: HubDep,
    rights: RightsDep,
    after: Annotated[
        str | None, Query(description="Number of the last event that is known; 0 is the beginning.")
    ] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Stream the session's events after a number, then live, each exactly once and in order.

    `id:` is the event's number; a browser's EventSource comes back with `Last-Event-ID`.
    """
    head = await read_head(database, access.session_id)
    cursor = parse_cursor(last_event_id or after or "0", head)
    grant = rights.grant(access.user, session_id=access.session_id)
    stream = SseStream(hub, grant, access.session_id).follow(cursor)
    return EventStreamResponse(stream, media_type=_STREAM, headers=SSE_HEADERS)


@router.get("/events/{seq}", response_model=LoggedEvent, responses=answers(401, 404))
async def read_event(access: SessionAccess, hub: HubDep, seq: str) -> Response:
    """Read one event whole: of a large one the streams carry only the beginning (`large`)."""
    number = int(seq) if seq.isascii() and seq.isdigit() and len(seq) < 19 else 0
    frame = await hub.read_whole(access.session_id, number)
    if frame is None:
        raise NotFoundError("event")
    return Response(frame.full, media_type="application/json")


@router.post(
    "/message",
    response_class=StreamingResponse,
    responses={
        200: {
            "model": PlatformEvent,
            "content": {_STREAM: {}},
            "description": "The turn's events.",
        },
        **answers(400, 401, 404, 409, 413),
    },
)
async def send_message(
    body: PromptCreate,
    access: SessionAccess,
    database: Db,
    hub: HubDep,
    rights: RightsDep,
    lifecycles: LifecyclesDep,
) -> StreamingResponse:
    """Prompt the agent and stream this turn's events, from its first to its `session.idle`.

    While another turn runs the prompt is queued, and the stream waits with comment lines. Closing
    the stream does not stop the turn.
    """
    access.require_chat()
    author = PromptAuthor(access.user.user_id, access.user.username)
    async with database.quick() as rows:
        accepted = await accept_prompt(rows, access.session_id, author, body.text, None)
    await tell_lifecycles(lifecycles.submit_prompt(access.session_id, accepted.prompt_id))
    grant = rights.grant(access.user, session_id=access.session_id)
    stream = SseStream(hub, grant, access.session_id).turn(accepted.seq, accepted.turn_no)
    return EventStreamResponse(stream, media_type=_STREAM, headers=SSE_HEADERS)
