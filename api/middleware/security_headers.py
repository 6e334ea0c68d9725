"""Headers that keep what we serve from being misread, framed, cached or leaked by a browser."""

import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UI_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"

_FRAMED = re.compile(r"/api/v1/projects/[^/]+/files/raw(?:-path/.*)?", re.DOTALL)
"""The UI frames these; their routes bring a policy of their own."""


class SecurityHeaders:
    """Adds what an answer does not say by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what the app answers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), path)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers(headers: MutableHeaders, path: str) -> None:
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    is_api = path.startswith("/api/")
    if is_api:
        headers.setdefault("Cache-Control", "no-store")
    if not _FRAMED.fullmatch(path):
        headers.setdefault("Content-Security-Policy", API_POLICY if is_api else UI_POLICY)
        headers.setdefault("X-Frame-Options", "DENY")
