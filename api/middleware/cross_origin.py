"""Other origins (contract/api.md): a UI may come from elsewhere, and even errors can be read.

No credentials are ever allowed: a foreign UI brings a token, and our cookie stays ours.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = "GET, POST, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
RESPONSE_HEADERS = "Content-Disposition, Retry-After, X-Request-Id"
MAX_AGE = "600"
ANY_ORIGIN = "*"


class CrossOrigin:
    """Answers preflights and lets the named origins (by default any) read every answer."""

    def __init__(self, app: ASGIApp, allowed_origins: tuple[str, ...]) -> None:
        self._app = app
        self._any = ANY_ORIGIN in allowed_origins
        self._allowed = frozenset(origin.strip().rstrip("/") for origin in allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or add the headers to what the app answers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Headers(scope=scope)
        allowed_origin = self._allowed_origin(request.get("Origin"))

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
                if allowed_origin:
                    headers["Access-Control-Allow-Origin"] = allowed_origin
                if not self._any:
                    headers.add_vary_header("Origin")
            await send(message)

        if scope["method"] == "OPTIONS" and "Access-Control-Request-Method" in request:
            await _PREFLIGHT(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _allowed_origin(self, origin: str | None) -> str | None:
        if self._any:
            return ANY_ORIGIN
        return origin if origin in self._allowed else None


_PREFLIGHT = Response(
    status_code=204,
    headers={
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": MAX_AGE,
    },
)
