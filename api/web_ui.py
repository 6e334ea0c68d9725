"""Serves the built web UI: hashed assets for ever, everything else through `index.html`.

The list of files is read once; a path that is not in it cannot reach the disk.
"""

import mimetypes
from dataclasses import dataclass, field
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import error_response

ASSETS = "/assets/"
FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
NOT_UI = ("/api/", "/healthz", "/readyz")
ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""Encodings that the build leaves beside a file, best first."""

mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("font/woff2", ".woff2")
mimetypes.add_type("application/manifest+json", ".webmanifest")


@dataclass(frozen=True, slots=True)
class _Asset:
    """A file of the build and its compressed variants."""

    path: Path
    media_type: str
    encoded: dict[str, Path] = field(default_factory=dict)


class WebUi:
    """Answers GETs outside the API from the build; passes everything else on."""

    def __init__(self, app: ASGIApp, dist: Path | None) -> None:
        self._app = app
        self._assets = _list_assets(dist) if dist else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a file, or let the app answer."""
        is_ui = scope["type"] == "http" and not scope["path"].startswith(NOT_UI)
        if is_ui and scope["path"] != "/api" and scope["method"] in ("GET", "HEAD"):
            await self._respond(scope)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _respond(self, scope: Scope) -> Response:
        path: str = scope["path"]
        asset = self._assets.get(path)
        if asset is None and not path.startswith(ASSETS):
            asset = self._assets.get("/index.html")
        if asset is None:
            message = (
                "There is no such file in the web UI."
                if self._assets
                else "The web UI is not built here; only the API under /api/v1 is served."
            )
            return error_response(404, message, "not_found")
        headers = {
            "Cache-Control": FOREVER if path.startswith(ASSETS) else REVALIDATE,
            "Vary": "Accept-Encoding",
        }
        accepted = Headers(scope=scope).get("Accept-Encoding", "")
        for encoding, file in asset.encoded.items():
            if encoding in accepted:
                headers["Content-Encoding"] = encoding
                return FileResponse(file, headers=headers, media_type=asset.media_type)
        return FileResponse(asset.path, headers=headers, media_type=asset.media_type)


def _list_assets(dist: Path) -> dict[str, _Asset]:
    files = {f"/{p.relative_to(dist).as_posix()}": p for p in dist.rglob("*") if p.is_file()}
    assets: dict[str, _Asset] = {}
    for name, path in files.items():
        if path.suffix in ENCODINGS.values():
            continue
        media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        encoded = {
            encoding: files[name + suffix]
            for encoding, suffix in ENCODINGS.items()
            if name + suffix in files
        }
        assets[name] = _Asset(path, media_type, encoded)
    return assets
