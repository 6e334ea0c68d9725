"""Who gets in, and how answers and errors are written: the same on every route."""

import dataclasses
import hmac
import json
import traceback
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cattery.errors import BadRequestError, CatteryError, NotFoundError, NotSignedInError
from cattery.files import remote_wire as wire
from filemgr.logs import log_event


def guarding(token: str) -> Middleware:
    """Let nobody through but to `/healthz` without the token."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path != wire.HEALTH and not hmac.compare_digest(given, expected):
            raise NotSignedInError("This file manager knows another token.")
        return await handler(request)

    return guard


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with the error that was raised, in the form that callers read."""
    try:
        return await handler(request)
    except CatteryError as error:
        return reply_error(error)
    except web.HTTPException as refused:  # aiohttp's own: no such route, no such method
        return reply_error(NotFoundError("route") if refused.status < 500 else CatteryError(""))
    except Exception as error:  # noqa: BLE001 - the caller gets an answer in any case
        _log_crash(error, request)
        return reply_error(CatteryError("The file manager failed; its log says where."))


def reply_error(error: CatteryError) -> web.Response:
    """Write an error as an answer."""
    return _write(wire.write_error(error), error.status)


def reply(value: object) -> web.Response:
    """Write a dataclass, or a list of them, as an answer."""
    return _write(_plain(value), 200)


async def read_json(request: web.Request) -> Any:
    """Read a small JSON body.

    Raises:
        BadRequestError: it is none.
    """
    try:
        return await request.json()
    except ValueError as error:
        raise BadRequestError("The request's body is not valid JSON.") from error


def _log_crash(error: Exception, request: web.Request) -> None:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    at = f"{frame.filename}:{frame.lineno}"
    name = type(error).__name__
    log_event("file_request_crashed", level="error", error=name, at=at, path=request.path)


def _write(value: object, status: int) -> web.Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return web.json_response(text=body, status=status)


def _plain(value: object) -> object:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return value
