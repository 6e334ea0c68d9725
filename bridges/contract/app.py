"""The contract's routes over HTTP."""

import asyncio
import base64
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from bridges.contract.agent import Prompt
from bridges.contract.errors import BridgeError, MalformedError
from bridges.contract.events import serve_events
from bridges.contract.ring import EventRing
from bridges.contract.session import Session
from bridges.contract.sessions import Sessions

_log = logging.getLogger(__name__)

USERNAME = "cattery"
MAX_BODY = 8 * 1024 * 1024
MAX_PROMPT = 2_000_000
"""Letters."""
SESSIONS: web.AppKey[Sessions] = web.AppKey("sessions", Sessions)
RING: web.AppKey[EventRing] = web.AppKey("ring", EventRing)

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(sessions: Sessions, ring: EventRing, *, password: str | None) -> web.Application:
    """Serve sessions. With a password every request needs it, by HTTP basic authentication."""
    app = web.Application(
        client_max_size=MAX_BODY, middlewares=[_require(password), _render_errors]
    )
    app[SESSIONS] = sessions
    app[RING] = ring
    app.add_routes(
        [
            web.get("/session", _list_sessions),
            web.post("/session", _create_session),
            web.get("/session/status", _read_status),
            web.get("/session/{id}", _read_session),
            web.post("/session/{id}/prompt_async", _post_prompt),
            web.get("/session/{id}/message", _read_history),
            web.post("/session/{id}/abort", _abort),
            web.post("/session/{id}/answer", _answer),
            web.get("/event", _watch),
        ]
    )
    app.on_shutdown.append(_close)
    return app


async def _close(app: web.Application) -> None:
    await app[SESSIONS].close()


def _require(password: str | None) -> Any:
    wanted = "Basic " + base64.b64encode(f"{USERNAME}:{password}".encode()).decode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if password and not hmac.compare_digest(given.encode(), wanted.encode()):
            headers = {"WWW-Authenticate": 'Basic realm="harness"'}
            return web.json_response(
                {"message": "This port needs its password."}, status=401, headers=headers
            )
        return await handler(request)

    return check


@web.middleware
async def _render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BridgeError as error:
        return web.json_response({"message": str(error)}, status=error.status)
    except web.HTTPException as error:
        return web.json_response({"message": error.reason}, status=error.status)
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001 - logged, and told as an error of ours
        _log.exception("A request broke: %s %s", request.method, request.path)
        return web.json_response({"message": "The harness's bridge failed."}, status=500)


async def _list_sessions(request: web.Request) -> web.Response:
    return web.json_response([session.describe() for session in request.app[SESSIONS].list()])


async def _create_session(request: web.Request) -> web.Response:
    if request.can_read_body:
        await _read_object(request)  # `theme` means nothing to an agent without a screen
    return web.json_response(request.app[SESSIONS].create().describe())


async def _read_status(request: web.Request) -> web.Response:
    busy = [session.id for session in request.app[SESSIONS].list() if session.busy]
    return web.json_response({session_id: {"type": "busy"} for session_id in busy})


async def _read_session(request: web.Request) -> web.Response:
    return web.json_response(_find(request).describe())


async def _post_prompt(request: web.Request) -> web.Response:
    session = _find(request)
    body = await _read_object(request)
    agent = request.app[SESSIONS].agent
    message_id = body.get("messageID")
    if message_id is None:
        message_id = agent.new_message_id()
    if not isinstance(message_id, str):
        raise MalformedError("messageID must be a text.")
    agent.check_message_id(message_id)
    session.take(Prompt(message_id, _read_text(body), time.time()))
    return web.Response(status=204)


async def _read_history(request: web.Request) -> web.Response:
    return web.json_response(await _find(request).history())


async def _abort(request: web.Request) -> web.Response:
    await _find(request).abort()
    return web.json_response(True)


async def _answer(request: web.Request) -> web.Response:
    _find(request).answer(await _read_object(request))
    return web.Response(status=204)


async def _watch(request: web.Request) -> web.StreamResponse:
    return await serve_events(request, request.app[RING])


def _find(request: web.Request) -> Session:
    return request.app[SESSIONS].find(request.match_info["id"])


async def _read_object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise MalformedError("The body must be JSON.") from error
    if not isinstance(body, dict):
        raise MalformedError("The body must be a JSON object.")
    return body


def _read_text(body: dict[str, Any]) -> str:
    parts = body.get("parts")
    if not isinstance(parts, list) or not parts:
        raise MalformedError("parts must be a list of at least one {type, text}.")
    texts = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise MalformedError('Each of parts must be {"type": "text", "text": …}.')
        text = part.get("text")
        if not isinstance(text, str):
            raise MalformedError("The text of a part must be a text.")
        texts.append(text)
    joined = "\n".join(texts)
    if not joined.strip():
        raise MalformedError("The prompt is empty.")
    if len(joined) > MAX_PROMPT:
        raise MalformedError(f"The prompt is over {MAX_PROMPT} letters long.")
    return joined
