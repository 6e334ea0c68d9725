"""The terminal of a session (contract/api.md, Terminal WebSocket): refused where there is none."""

from fastapi import APIRouter, WebSocket

from api.dependencies import SessionAccessByQuery
from api.schemas.errors import answers
from cattery.auth.access import SessionGrant
from cattery.errors import BadRequestError
from cattery.harnesses.port import TransportKind

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])


@router.get("/term", status_code=101, responses=answers(400, 401, 404))
async def open_terminal(access: SessionAccessByQuery) -> None:
    """Open the terminal of a terminal harness's session, as a WebSocket."""
    _refuse(access)


@router.websocket("/term")
async def connect_terminal(websocket: WebSocket, access: SessionAccessByQuery) -> None:
    """Refuse the handshake with the reason; terminal harnesses cannot run here yet."""
    del websocket
    _refuse(access)


def _refuse(access: SessionGrant) -> None:
    if access.transport is TransportKind.HTTP:
        raise BadRequestError("This session has no terminal: its harness is a chat. Prompt it.")
    raise BadRequestError("Terminal harnesses cannot run in this version of Cattery yet.")
