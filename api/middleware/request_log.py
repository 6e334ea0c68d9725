"""Gives each request an id and one line in the log: method, path, status, time; never a query.

`?token=` stands in queries, so they are not logged at all. Probes are not logged either.
"""

import time
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("api.access")

REQUEST_ID_HEADER = "X-Request-Id"
PROBES = frozenset({"/healthz", "/readyz"})


class RequestLog:
    """Binds a request id for every log line of a request, and writes the access log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app and log how it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started_at = time.monotonic()
        status = 0
        answered_at: float | None = None

        async def send_with_id(message: Message) -> None:
            nonlocal status, answered_at
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                answered_at = time.monotonic()  # what follows keeps nobody waiting

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                took = (answered_at or time.monotonic()) - started_at
                if scope["path"] not in PROBES:
                    log.info(
                        "request_answered",
                        method=scope.get("method", "WEBSOCKET"),
                        path=scope["path"],
                        status=status,
                        duration_ms=round(took * 1000, 1),
                    )
