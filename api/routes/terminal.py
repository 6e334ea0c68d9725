"""The terminal of a session (contract/api.md, Terminal WebSocket): refused where there is none."""

from fastapi import APIRouter, WebSocket

from api.dependencies import SessionAccessByQuery, parts_of
from api.schemas.errors import answers
from api.terminal import TerminalSocket
from cattery.auth.access import SessionGrant
from cattery.errors import BadRequestError
from cattery.harnesses.port import TransportKind

router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])


@router.get("/term", status_code=101, responses=answers(400, 401, 404))
async def open_terminal(access: SessionAccessByQuery) -> None:
    """Open the terminal of a terminal harness's session, as a WebSocket."""
    _require_terminal(access)
    raise BadRequestError("The terminal is a WebSocket: ask for an upgrade of the connection.")


@router.websocket("/term")
async def connect_terminal(websocket: WebSocket, access: SessionAccessByQuery) -> None:
    """Open the terminal, waking the sandbox; refused with the reason where there is none."""
    _require_terminal(access)
    await websocket.accept()
    await TerminalSocket(websocket, parts_of(websocket), access).serve()


def _require_terminal(access: SessionGrant) -> None:
    if access.transport is TransportKind.HTTP:
        raise BadRequestError("This session has no terminal: its harness is a chat. Prompt it.")
