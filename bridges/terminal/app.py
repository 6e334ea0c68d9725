"""The contract's routes over HTTP and WebSocket."""

import asyncio
import base64
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from bridges.terminal.session import Session
from bridges.terminal.sessions import Sessions
from bridges.terminal.viewer import Viewer

USERNAME = "cattery"
MAX_BODY = 64 * 1024
MAX_FRAME = 8 * 1024 * 1024
HEARTBEAT_SECONDS = 20.0
SEND_SECONDS = 60.0
"""A socket that takes nothing for so long is cut off: its viewer has gone."""
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(sessions: Sessions, *, password: str | None) -> web.Application:
    """Serve sessions. With a password every request needs it, by HTTP basic authentication."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_require(password)])
    app[SESSIONS] = sessions
    app.add_routes(
        [
            web.get("/healthz", _check_health),
            web.get("/session", _list_sessions),
            web.post("/session", _create_session),
            web.get("/session/{id}", _read_session),
            web.delete("/session/{id}", _delete_session),
            web.get("/session/{id}/term", _open_terminal),
        ]
    )
    return app


def _require(password: str | None) -> Any:
    wanted = "Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if password and not hmac.compare_digest(given.encode(), wanted.encode()):
            headers = {"WWW-Authenticate": 'Basic realm="harness"'}
            message = {"message": "This port needs its password."}
            return web.json_response(message, status=401, headers=headers)
        return await handler(request)

    return check


async def _check_health(request: web.Request) -> web.Response:
    return web.json_response({"healthy": True, "program": request.app[SESSIONS].name})


async def _list_sessions(request: web.Request) -> web.Response:
    return web.json_response(request.app[SESSIONS].list_ids())


async def _create_session(request: web.Request) -> web.Response:
    theme = "dark"
    if request.can_read_body:
        try:
            body = json.loads(await request.read())
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return web.json_response({"message": "The body must be a JSON object."}, status=400)
        theme = "light" if body.get("theme") == "light" else "dark"
    session = request.app[SESSIONS].create(secrets.token_hex(16), theme)
    return web.json_response({"id": session.id})


async def _read_session(request: web.Request) -> web.Response:
    session = request.app[SESSIONS].find(request.match_info["id"])
    return web.json_response({"id": session.id}) if session else _unknown()


async def _delete_session(request: web.Request) -> web.Response:
    if await request.app[SESSIONS].delete(request.match_info["id"]):
        return web.Response(status=204)
    return _unknown()


async def _open_terminal(request: web.Request) -> web.StreamResponse:
    session = request.app[SESSIONS].find(request.match_info["id"])
    if session is None:
        return _unknown()
    socket = web.WebSocketResponse(
        max_msg_size=MAX_FRAME, heartbeat=HEARTBEAT_SECONDS, compress=False
    )
    await socket.prepare(request)
    viewer = session.join()
    request.app[SESSIONS].note_socket(session.id, socket)
    sender = asyncio.create_task(viewer.serve(lambda output: _send(socket, output)))
    sender.add_done_callback(lambda done: _cut_off(done, request))
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await session.type(message.data)
            elif message.type is WSMsgType.TEXT:
                _obey(session, viewer, message.data)
    finally:
        sender.cancel()
        with suppress(asyncio.CancelledError, ConnectionError, TimeoutError, RuntimeError):
            await sender
        session.leave(viewer)
    return socket


async def _send(socket: web.WebSocketResponse, output: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await socket.send_bytes(output)


def _cut_off(sender: "asyncio.Task[None]", request: web.Request) -> None:
    """Close the connection of a viewer that could not be sent to: its reader waits for it."""
    if not sender.cancelled() and sender.exception() and request.transport:
        request.transport.abort()


def _obey(session: Session, viewer: Viewer, text: str) -> None:
    """Follow a text frame; what is none of the contract's is ignored, and never typed."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(frame, dict):
        return
    cols, rows = frame.get("cols"), frame.get("rows")
    if frame.get("type") == "resize" and type(cols) is int and type(rows) is int:
        session.resize(viewer, cols, rows)
    elif frame.get("type") == "theme" and isinstance(frame.get("theme"), str):
        session.set_theme(frame["theme"])


def _unknown() -> web.Response:
    return web.json_response({"message": "There is no such session."}, status=404)
