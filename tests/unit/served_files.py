"""A file manager's own application on loopback, so that trees near and far pass the same tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from cattery.files.port import FileTree, SkillLibrary
from cattery.files.remote_calls import Address, OneAddress, RemoteCalls, open_session
from filemgr.app import build_app
from filemgr.homes import Homes
from filemgr.server import create_runner

TOKEN = "the token of this file manager"


@asynccontextmanager
async def calls_to(address: Address) -> AsyncIterator[RemoteCalls]:
    async with open_session() as http:
        yield RemoteCalls(http, OneAddress(address))


@asynccontextmanager
async def serving(
    tree: FileTree, *, library: SkillLibrary | None = None, homes: Homes | None = None
) -> AsyncIterator[RemoteCalls]:
    """Serve a tree, and give what calls it."""
    app = build_app(TOKEN, tree, library=library, homes=homes)
    async with listening(app) as address, calls_to(address) as calls:
        yield calls


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[Address]:
    """Serve an application, and give its address."""
    runner = create_runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Address(f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN)
    finally:
        await runner.cleanup()
