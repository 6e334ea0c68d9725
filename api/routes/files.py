"""Files of a project's workspace (contract/api.md, Files).

Bytes go through in both directions without being gathered. What an agent made is served to a
browser only in a sandbox of its own: whatever its type, it runs no script and has no origin.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, override
from urllib.parse import quote, unquote_to_bytes

from fastapi import APIRouter, Depends, Query, Request, status
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from api.dependencies import ProjectAccess, ProjectAccessByQuery, Runtime, Settings
from api.schemas.files import Entry, FileText, PlacedObject, UploadedFile
from cattery.errors import BadRequestError, CatteryError
from cattery.files.multipart import MAX_DISCARDED_BYTES, UploadedFile as MultipartFile
from cattery.files.port import Entry as ListedEntry, OpenedFile, Placed, TextContent
from cattery.files.streams import upload_too_large

UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
"""Describes, for OpenAPI, the body that the upload routes read by themselves."""

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file's bytes."}
}
_DOCUMENT_POLICY = (
    "default-src 'none'; img-src data: 'self'; media-src data: 'self'; font-src data: 'self'; "
    "style-src 'unsafe-inline' 'self'"
)
_SANDBOX_POLICY = f"sandbox; {_DOCUMENT_POLICY}"

Path = Annotated[str, Query(description="Relative to the root of the tree.")]


def require_utf8(request: Request) -> None:
    """Refuse a URL whose bytes are not UTF-8, which would otherwise be replaced silently.

    Raises:
        BadRequestError: it is not.
    """
    raw: bytes = request.scope.get("raw_path") or b""
    query: bytes = request.scope["query_string"]
    try:
        unquote_to_bytes(raw).decode()
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise BadRequestError("The address is not valid UTF-8.") from error


router = APIRouter(
    prefix="/projects/{project_id}/files", tags=["files"], dependencies=[Depends(require_utf8)]
)


@router.get("/list", response_model=list[Entry])
async def list_files(
    access: ProjectAccess, runtime: Runtime, path: Path = ""
) -> Sequence[ListedEntry]:
    """List a folder: directories first, then by name, at most 2,000 entries."""
    return await runtime.workspace_files(access.project_id).list_folder(path)


@router.get("/read", response_model=FileText)
async def read_file(access: ProjectAccess, runtime: Runtime, path: Path = "") -> TextContent:
    """Read at most 2 MiB of a text file."""
    return await runtime.workspace_files(access.project_id).read_text(path)


@router.get("/raw", response_class=StreamingResponse, responses=_BYTES)
async def get_raw_file(
    access: ProjectAccessByQuery, runtime: Runtime, path: Path = ""
) -> StreamingResponse:
    """Show a file in the browser, with the type that it seems to have."""
    return show(await runtime.workspace_files(access.project_id).open_file(path))


@router.get("/raw-path/{path:path}", response_class=StreamingResponse, responses=_BYTES)
async def get_raw_file_by_path(
    access: ProjectAccessByQuery, runtime: Runtime, path: str
) -> StreamingResponse:
    """Show a file in the browser, so that its relative links lead to the files beside it."""
    return show(await runtime.workspace_files(access.project_id).open_file(path))


@router.get("/download", response_class=StreamingResponse, responses=_BYTES)
async def download_file(
    access: ProjectAccessByQuery, runtime: Runtime, path: Path = ""
) -> StreamingResponse:
    """Download a file."""
    opened = await runtime.workspace_files(access.project_id).open_file(path)
    return StreamedFile(opened, {"Content-Disposition": _disposition("attachment", opened.name)})


@router.post("/upload", response_model=UploadedFile, openapi_extra=UPLOAD_BODY)
async def upload_file(
    access: ProjectAccess, runtime: Runtime, settings: Settings, request: Request, path: Path = ""
) -> Placed:
    """Store a file in a folder, replacing one of its name."""
    limit = settings.max_upload_bytes
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit + MAX_DISCARDED_BYTES:
        raise upload_too_large(limit)
    upload = open_multipart(request)
    tree = runtime.workspace_files(access.project_id)
    try:
        name = await upload.open()
        return await tree.upload(path, name, upload.chunks(), max_bytes=limit)
    except CatteryError:
        await upload.discard()
        raise


@router.delete("/delete", status_code=status.HTTP_204_NO_CONTENT)
async def delete_file(access: ProjectAccess, runtime: Runtime, path: Path = "") -> None:
    """Delete a file, a link itself, or a folder with all in it."""
    await runtime.workspace_files(access.project_id).delete(path)


@router.post("/rename", response_model=PlacedObject)
async def rename_file(
    access: ProjectAccess,
    runtime: Runtime,
    old: Annotated[str, Query(alias="from")] = "",
    new: Annotated[str, Query(alias="to", description="A base name.")] = "",
) -> Placed:
    """Give an object another name in its folder."""
    return await runtime.workspace_files(access.project_id).rename(old, new)


@router.post("/move", response_model=PlacedObject)
async def move_file(
    access: ProjectAccess,
    runtime: Runtime,
    old: Annotated[str, Query(alias="from")] = "",
    folder: Annotated[str, Query(alias="to", description="A folder.")] = "",
) -> Placed:
    """Move an object into another folder."""
    return await runtime.workspace_files(access.project_id).move(old, folder)


@router.post("/mkdir", response_model=PlacedObject)
async def make_folder(
    access: ProjectAccess, runtime: Runtime, path: Path = "", name: str = ""
) -> Placed:
    """Make a folder in a folder."""
    return await runtime.workspace_files(access.project_id).make_folder(path, name)


class StreamedFile(StreamingResponse):
    """A file's bytes; the file is closed however the response ends."""

    def __init__(self, opened: OpenedFile, headers: dict[str, str]) -> None:
        common = {
            "Content-Length": str(opened.size),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",  # an address may carry a token
        }
        super().__init__(opened.chunks, media_type=opened.media_type, headers=common | headers)
        self._opened = opened

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self._opened.chunks, "aclose", None)
            if close is not None:
                await close()


def open_multipart(request: Request) -> MultipartFile:
    """Take the file of a form out of a request as it arrives."""
    return MultipartFile(request.headers.get("content-type", ""), _receive(request))


async def _receive(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect as error:  # nobody reads this answer, and it is no failure of ours
        raise BadRequestError("The upload broke off before its end. Send it again.") from error


def show(opened: OpenedFile) -> StreamedFile:
    """Serve a file to be shown in place, powerless.

    Browsers refuse to show a PDF in a sandbox; their viewers keep its scripts inside.
    """
    is_pdf = opened.media_type == "application/pdf"
    policy = _DOCUMENT_POLICY if is_pdf else _SANDBOX_POLICY
    headers = {
        "Content-Security-Policy": policy,
        "Content-Disposition": _disposition("inline", opened.name),
    }
    return StreamedFile(opened, headers)


def _disposition(kind: str, name: str) -> str:
    """Write a Content-Disposition as RFC 6266 says: a plain name, and the true one as UTF-8."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
