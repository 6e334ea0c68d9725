"""Renders every error as the contract's `{message, code}`, in this one place."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cattery.db.outages import is_database_outage
from cattery.errors import CatteryError, RateLimitedError, UnavailableError

log = structlog.get_logger(__name__)


def add_error_handlers(app: FastAPI) -> None:
    """Teach an app to render whatever is raised in it."""
    app.add_exception_handler(CatteryError, _render_own_error)
    app.add_exception_handler(RequestValidationError, _render_validation_error)
    app.add_exception_handler(HTTPException, _render_http_exception)


def error_response(
    status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Make the answer that every error has."""
    return JSONResponse({"message": message, "code": code}, status, headers)


class UnexpectedErrors:
    """Middleware that turns what nobody foresaw into a 500, or a 503 where PostgreSQL is away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and answer for it where it fails before it has begun to answer."""
        started = False

        async def watch_start(message: Message) -> None:
            nonlocal started
            started = started or message["type"] != "http.response.body"
            await send(message)

        try:
            await self._app(scope, receive, watch_start)
        except Exception as error:
            if scope["type"] == "lifespan" or started:
                raise
            response = _render_unexpected(error, scope)
            await response(scope, receive, send)


def _render_unexpected(error: Exception, scope: Scope) -> JSONResponse:
    if is_database_outage(error):
        log.warning("database_was_unavailable", error=type(error).__name__)
        message = "The database cannot be reached right now. Try again in a moment."
        return error_response(503, message, "unavailable", {"Retry-After": "2"})
    log.error("request_failed", exc_info=error, path=scope.get("path"))
    request_id = scope.get("state", {}).get("request_id", "unknown")
    message = f"Something went wrong on our side. Tell an admin the request id {request_id}."
    return error_response(500, message, "internal")


async def _render_own_error(_: HTTPConnection, error: Exception) -> JSONResponse:
    if not isinstance(error, CatteryError):
        raise error
    headers: dict[str, str] = {}
    if isinstance(error, RateLimitedError | UnavailableError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status >= 500:
        log.warning("request_was_refused", code=error.code, reason=error.message)
    return error_response(error.status, error.message, error.code, headers)


async def _render_http_exception(connection: HTTPConnection, error: Exception) -> JSONResponse:
    """Render what FastAPI and Starlette raise by themselves: routing, and unreadable bodies."""
    if not isinstance(error, HTTPException):
        raise error
    if isinstance(error.__cause__, CatteryError):
        return await _render_own_error(connection, error.__cause__)
    if error.status_code == 404:
        return error_response(404, "There is nothing at this address.", "not_found")
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed_methods(connection)))
        message = f"This address does not take {connection.scope['method']}; it takes {allowed}."
        return error_response(405, message, "method_not_allowed", {"Allow": allowed})
    if error.status_code == 400:
        return error_response(
            400, "The request's body cannot be read. Send valid UTF-8 JSON.", "bad_request"
        )
    return error_response(error.status_code, f"{error.detail}.", "http_error")


async def _render_validation_error(_: HTTPConnection, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return error_response(400, describe_validation(error.errors()), "bad_request")


def describe_validation(errors: Sequence[Any]) -> str:
    """Say in one sentence what is wrong with a request; never what its values were."""
    first = errors[0]
    kind, location = first["type"], [str(part) for part in first["loc"]]
    if kind == "json_invalid":
        return "The request's body is not valid JSON. Send a JSON object."
    where, *path = location
    if not path:
        return "The request needs a JSON object as its body, as Content-Type application/json."
    name = f"the {where} parameter" if where in ("query", "path", "header") else "the field"
    subject = f'{name} "{".".join(path)}"'
    if kind == "missing":
        return f"{subject[0].upper()}{subject[1:]} is missing."
    if kind == "value_error":
        return f"{subject[0].upper()}{subject[1:]} is not acceptable: {first['ctx']['error']}"
    reason = str(first["msg"]).removeprefix("Input ").rstrip(".")
    verb = "" if reason.startswith("should ") else "is not acceptable: "
    return f"{subject[0].upper()}{subject[1:]} {verb}{reason}."


def _allowed_methods(connection: HTTPConnection) -> set[str]:
    """List the methods of every route that has this path; Starlette names only the first's."""
    methods: set[str] = set()
    for route in iter_route_contexts(connection.app.routes):
        if route.path and compile_path(route.path)[0].match(connection.scope["path"]):
            methods |= route.methods or set()
    return methods
