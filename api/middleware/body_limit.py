"""Caps request bodies, by what they announce and by what really comes.

Uploads stream to disk and count themselves against their own, larger limit.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import error_response
from cattery.errors import TooLargeError

UPLOADS = ("/files/upload", "/skills/upload-zip")


class BodyLimit:
    """Refuses bodies over a limit with 413."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what the app receives."""
        if scope["type"] != "http" or scope["path"].endswith(UPLOADS):
            await self._app(scope, receive, send)
            return
        too_large = TooLargeError(f"The request's body is over the limit of {self._max:,} bytes.")
        announced = Headers(scope=scope).get("Content-Length", "")
        if announced.isdecimal() and int(announced) > self._max:
            refusal = error_response(too_large.status, too_large.message, too_large.code)
            await refusal(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max:
                raise too_large
            return message

        await self._app(scope, receive_counted, send)
