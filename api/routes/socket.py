"""The route of the multiplexed socket; `api.socket` says what goes over it."""

from fastapi import APIRouter, WebSocket

from api.dependencies import CurrentUserByQuery, parts_of
from api.socket import TabSocket

router = APIRouter(tags=["events"])


@router.websocket("/ws")
async def open_socket(socket: WebSocket, user: CurrentUserByQuery) -> None:
    """Open a tab's socket: by cookie from our own pages, by token from anywhere."""
    await socket.accept()
    await TabSocket(socket, parts_of(socket), user).serve()
