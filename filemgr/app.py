"""The file manager's web application: the trees of `cattery.files` over HTTP, nothing more.

What may be reached and what is refused is decided by those trees, which the local runtime serves
too. Bytes pass through in chunks, both ways; a file is never held whole.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import ClientError, web

from cattery.errors import BadRequestError
from cattery.files import remote_wire as wire
from cattery.files.local_tree import LocalTree
from cattery.files.port import FileTree, OpenedFile, SkillLibrary
from cattery.files.streams import FOLDER_MODE
from filemgr.homes import Homes, is_home
from filemgr.replies import read_json, reply
from filemgr.server import RUNNING, create_guarded_app

MOUNT_POINT: Final = "/work"
"""Where sandboxes see the workspace, for absolute links that agents make in it."""
MAX_HOMES: Final = 100_000


class Kind(StrEnum):
    """What lies on the volume."""

    WORKSPACE = "workspace"
    SKILLS = "skills"


def create_app(root: Path, kind: Kind, token: str) -> web.Application:
    """Build the application for a volume.

    Args:
        root: where the volume is mounted. A workspace lies in `work` beneath it, HOME folders in
            `homes`; the skills library is the volume itself.
        kind: what lies on the volume.
        token: what callers must bring.
    """
    if kind is Kind.SKILLS:
        from cattery.files.skills import LocalSkillLibrary  # the YAML parser costs 20 ms

        library = LocalSkillLibrary(root)
        return build_app(token, library.files, library=library)
    work = root / "work"
    prepare_folder(work)
    return build_app(token, LocalTree(work, MOUNT_POINT), homes=Homes(root / "homes"))


def build_app(
    token: str,
    tree: FileTree,
    *,
    library: SkillLibrary | None = None,
    homes: Homes | None = None,
) -> web.Application:
    """Build the application for what lies on a volume."""
    app = create_guarded_app(token)
    app.router.add_get(wire.HEALTH, _answer_health)
    app.router.add_get(wire.READY, _answer_readiness)
    _add_tree(app, tree)
    if library is not None:
        _add_skills(app, library)
    if homes is not None:
        _add_homes(app, homes)
    return app


def prepare_folder(folder: Path) -> None:
    """Make a folder that everybody of its group can write to; nothing happens where it exists."""
    try:
        folder.mkdir()
    except FileExistsError:
        return
    folder.chmod(FOLDER_MODE)


async def _answer_health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _answer_readiness(request: web.Request) -> web.Response:
    """Tell how many others are being served, for whoever wants to stop this."""
    return web.json_response({"running": request.app[RUNNING].count - 1})


def _add_tree(app: web.Application, tree: FileTree) -> None:
    routes = _TreeRoutes(tree)
    app.router.add_get(wire.LIST, routes.list_folder)
    app.router.add_get(wire.TEXT, routes.read_text)
    app.router.add_get(wire.BYTES, routes.open_file, allow_head=False)
    app.router.add_post(wire.UPLOAD, routes.upload)
    app.router.add_post(wire.DELETE, routes.delete)
    app.router.add_post(wire.RENAME, routes.rename)
    app.router.add_post(wire.MOVE, routes.move)
    app.router.add_post(wire.MAKE_FOLDER, routes.make_folder)


def _add_skills(app: web.Application, library: SkillLibrary) -> None:
    routes = _SkillRoutes(library)
    app.router.add_get(wire.CATALOG, routes.catalog)
    app.router.add_post(wire.UPLOAD_SKILL, routes.upload)


def _add_homes(app: web.Application, homes: Homes) -> None:
    routes = _HomeRoutes(homes)
    app.router.add_delete(wire.HOMES + "/{harness_id}", routes.remove)
    app.router.add_post(wire.KEEP_HOMES, routes.keep)


class _TreeRoutes:
    def __init__(self, tree: FileTree) -> None:
        self._tree = tree

    async def list_folder(self, request: web.Request) -> web.Response:
        return reply(await self._tree.list_folder(_text(request, "path")))

    async def read_text(self, request: web.Request) -> web.Response:
        return reply(await self._tree.read_text(_text(request, "path")))

    async def open_file(self, request: web.Request) -> web.StreamResponse:
        return await _send(request, await self._tree.open_file(_text(request, "path")))

    async def upload(self, request: web.Request) -> web.Response:
        limit = _text(request, "max_bytes")
        if not limit.isdecimal():
            raise BadRequestError("The upload's limit must be a number of bytes.")
        folder, name = _text(request, "folder"), _text(request, "name")
        placed = await self._tree.upload(folder, name, _receive(request), max_bytes=int(limit))
        return reply(placed)

    async def delete(self, request: web.Request) -> web.Response:
        await self._tree.delete(_text(request, "path"))
        return reply(None)

    async def rename(self, request: web.Request) -> web.Response:
        return reply(await self._tree.rename(_text(request, "path"), _text(request, "name")))

    async def move(self, request: web.Request) -> web.Response:
        return reply(await self._tree.move(_text(request, "path"), _text(request, "folder")))

    async def make_folder(self, request: web.Request) -> web.Response:
        folder, name = _text(request, "folder"), _text(request, "name")
        return reply(await self._tree.make_folder(folder, name))


class _SkillRoutes:
    def __init__(self, library: SkillLibrary) -> None:
        self._library = library

    async def catalog(self, _: web.Request) -> web.Response:
        return reply(await self._library.catalog())

    async def upload(self, request: web.Request) -> web.Response:
        name = _text(request, "name")
        return reply(await self._library.upload_zip(name, _receive(request)))


class _HomeRoutes:
    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    async def remove(self, request: web.Request) -> web.Response:
        harness_id = request.match_info["harness_id"]
        if not is_home(harness_id):
            raise BadRequestError("A HOME is named by a harness's id.")
        await asyncio.to_thread(self._homes.remove, harness_id)
        return reply(None)

    async def keep(self, request: web.Request) -> web.Response:
        kept = await read_json(request)
        if not isinstance(kept, list) or len(kept) > MAX_HOMES or not all(map(_is_id, kept)):
            raise BadRequestError("The body must be a list of the ids of harnesses.")
        return reply(await asyncio.to_thread(self._homes.keep, frozenset(kept)))


def _is_id(value: object) -> bool:
    return isinstance(value, str) and is_home(value)


def _text(request: web.Request, name: str) -> str:
    return request.query.get(name, "")


async def _receive(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (ClientError, ConnectionError) as error:  # nobody reads this answer
        raise BadRequestError("The upload broke off before its end. Send it again.") from error


async def _send(request: web.Request, opened: OpenedFile) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Length": str(opened.size),
            "Content-Type": opened.media_type,
            wire.NAME_HEADER: quote(opened.name, safe=""),
        }
    )
    chunks, left = opened.chunks, opened.size
    try:
        await response.prepare(request)
        with suppress(OSError):  # the disk failed, or the reader went away
            async for chunk in chunks:
                await response.write(chunk)
                left -= len(chunk)
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
    if left and request.transport is not None:
        request.transport.abort()  # the reader must not wait for what does not come
    return response
