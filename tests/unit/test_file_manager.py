"""A file manager as a process: who gets in, what it prunes, how it ends, and what goes wrong."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from cattery.errors import (
    BadRequestError,
    ConflictError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from cattery.files import remote_wire as wire
from cattery.files.local_tree import LocalTree
from cattery.files.port import FileTree, Placed
from cattery.files.remote_calls import Address, RemoteCalls, open_session
from cattery.files.remote_tree import (
    RemoteSkillLibrary,
    RemoteTree,
    count_running,
    keep_homes,
    remove_home,
)
from cattery.ids import HarnessId, new_id
from filemgr.app import build_app
from filemgr.homes import Homes
from tests.processes import free_port
from tests.unit.served_files import TOKEN, calls_to, listening, serving


@asynccontextmanager
async def file_manager(
    root: Path, kind: str = "workspace", port: int | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Address]]:
    """A process of its own that answers."""
    port = port or free_port()
    arguments = ("--root", str(root), "--host", "127.0.0.1", "--port", str(port), "--kind", kind)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "filemgr", *arguments),
        env={**os.environ, wire.TOKEN_VARIABLE: TOKEN},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        assert b"file_manager_started" in await process.stderr.readline()
        yield process, Address(f"http://127.0.0.1:{port}", TOKEN)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def stream(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def get(url: str, token: str | None = None) -> tuple[int, object]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
        return response.status, await response.json()


class TestProcess:
    async def test_it_serves_the_workspace_on_its_volume(self, tmp_path: Path) -> None:
        async with file_manager(tmp_path) as (process, address), calls_to(address) as calls:
            tree, work = RemoteTree(calls), tmp_path / "work"
            assert stat.S_IMODE(work.stat().st_mode) == 0o2775
            assert await tree.upload("", "a", stream(b"x"), max_bytes=1) == Placed("/a", "a", 1)
            (work / "link").symlink_to("/work/a")  # as an agent in a sandbox would make it
            assert (await tree.read_text("link")).content == "x"
            await check_who_gets_in(address)
            assert await pass_large_file(tree, process.pid) < 16 * 2**20

    async def test_it_serves_the_skills_at_the_top_of_theirs(self, tmp_path: Path) -> None:
        (tmp_path / "demo").mkdir()
        async with file_manager(tmp_path, "skills") as (_, address), calls_to(address) as calls:
            assert [e.name for e in await RemoteTree(calls).list_folder("")] == ["demo"]
            assert [s.slug for s in await RemoteSkillLibrary(calls).catalog()] == ["demo"]
            with pytest.raises(NotFoundError):
                await remove_home(calls, HarnessId(new_id()))

    @pytest.mark.parametrize("lacking", ["token", "volume"])
    async def test_it_does_not_start_without_a_token_or_a_volume(
        self, tmp_path: Path, lacking: str
    ) -> None:
        root = tmp_path / "none" if lacking == "volume" else tmp_path
        arguments = ("-m", "filemgr", "--root", str(root), "--kind", "workspace")
        env = os.environ | {wire.TOKEN_VARIABLE: "" if lacking == "token" else TOKEN}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=env, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 1
        expected = f"The volume at {root}" if lacking == "volume" else wire.TOKEN_VARIABLE
        assert said.decode().startswith(expected)

    async def test_a_running_upload_ends_well_when_it_is_told_to_stop(self, tmp_path: Path) -> None:
        started, stopping = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            started.set()
            await stopping.wait()
            yield b"y"

        async with file_manager(tmp_path) as (process, address), calls_to(address) as calls:
            tree = RemoteTree(calls)
            upload = asyncio.create_task(tree.upload("", "big", slow(), max_bytes=10**6))
            await started.wait()
            assert await count_running(calls) == 1
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            stopping.set()
            assert await upload == Placed("/big", "big", 300_001)
            assert await process.wait() == 0

    async def test_an_upload_to_one_that_is_killed_leaves_nothing(self, tmp_path: Path) -> None:
        async with file_manager(tmp_path) as (process, address), calls_to(address) as calls:

            async def fatal() -> AsyncIterator[bytes]:
                yield b"x" * 300_000
                process.kill()
                await process.wait()
                while True:
                    yield b"y"

            with pytest.raises(UnavailableError, match="went away in the middle"):
                await RemoteTree(calls).upload("", "big", fatal(), max_bytes=10**9)
        assert list((tmp_path / "work").iterdir()) == []

    async def test_a_download_from_one_that_is_killed_says_so(self, tmp_path: Path) -> None:
        async with file_manager(tmp_path) as (process, address), calls_to(address) as calls:
            with (tmp_path / "work" / "big").open("wb") as big:
                big.truncate(100 * 2**20)
            opened = await RemoteTree(calls).open_file("big")
            await anext(opened.chunks)
            process.kill()
            with pytest.raises(UnavailableError, match="broke off in the middle"):
                async for _ in opened.chunks:
                    pass


async def check_who_gets_in(address: Address) -> None:
    """Nothing but the health is told to whoever has no token, or another."""
    assert await get(address.base_url + wire.HEALTH) == (200, {"status": "ok"})
    for token in (None, "", "wrong", TOKEN + "x", TOKEN.upper()):
        for path in (wire.LIST, wire.READY, "/nothing"):
            assert (await get(address.base_url + path, token))[0] == 401
    assert (await get(address.base_url + wire.READY, TOKEN))[0] == 200
    assert (await get(address.base_url + "/nothing", TOKEN))[0] == 404


async def pass_large_file(tree: FileTree, pid: int) -> int:
    """Send a large file to and fro; returns by how much the process grew at most."""
    piece, count, before = os.urandom(2**16), 2**10, peak_memory(pid)
    await tree.upload("", "big", stream(*[piece] * count), max_bytes=2**30)
    opened = await tree.open_file("big")
    received = 0
    async for chunk in opened.chunks:
        received += len(chunk)
    assert opened.size == received == len(piece) * count
    return peak_memory(pid) - before


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


class TestHomes:
    async def test_a_home_goes_with_its_harness(self, tmp_path: Path) -> None:
        gone, kept = HarnessId(new_id()), HarnessId(new_id())
        for harness_id in (gone, kept):
            (tmp_path / "homes" / str(harness_id) / ".cache").mkdir(parents=True)
        async with homes_of(tmp_path) as calls:
            await remove_home(calls, gone)
            await remove_home(calls, gone)
        assert names(tmp_path / "homes") == [str(kept)]

    async def test_without_any_home_there_is_nothing_to_do(self, tmp_path: Path) -> None:
        async with homes_of(tmp_path) as calls:
            await remove_home(calls, HarnessId(new_id()))
            assert await keep_homes(calls, []) == []

    async def test_all_but_some_go_where_they_are_not_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "homes"
        gone, kept = new_id(), HarnessId(new_id())
        strangers = ["notes", str(new_id()).upper(), ".hidden"]
        for name in (str(gone), str(kept), *strangers):
            (folder / name).mkdir(parents=True)
        async with homes_of(tmp_path) as calls:
            assert await keep_homes(calls, [kept]) == []
            monkeypatch.setattr("filemgr.homes.YOUNG", -timedelta(hours=1))
            assert await keep_homes(calls, [kept]) == [str(gone)]
        assert names(folder) == sorted([str(kept), *strangers])

    @pytest.mark.parametrize("name", ["..", "%2e%2e", "x", "..%2fwork", "keep", "{upper}"])
    async def test_only_homes_are_deleted(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "homes" / "x").mkdir(parents=True)
        upper = str(new_id()).upper()
        (tmp_path / "homes" / upper).mkdir()
        async with homes_of(tmp_path) as calls:
            with pytest.raises((BadRequestError, NotFoundError)):
                await calls.change("DELETE", f"{wire.HOMES}/{name.format(upper=upper)}")
        assert names(tmp_path / "homes") == sorted(["x", upper])


@asynccontextmanager
async def homes_of(root: Path) -> AsyncIterator[RemoteCalls]:
    async with serving(LocalTree(root), homes=Homes(root / "homes")) as calls:
        yield calls


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Moving:
    """Addresses one after the other; each replacement is counted."""

    def __init__(self, *addresses: Address) -> None:
        self._addresses = list(addresses)
        self.replaced = 0

    async def find(self) -> Address:
        return self._addresses[self.replaced]

    async def replace(self, lost: Address) -> Address:
        assert lost == self._addresses[self.replaced]
        self.replaced += 1
        return self._addresses[self.replaced]


class TestLosses:
    """What is asked again when a file manager is not where it was, and what never is."""

    @pytest.mark.parametrize("loss", ["refused", "other token"])
    async def test_a_call_that_reached_nobody_is_made_again_once(
        self, tmp_path: Path, loss: str
    ) -> None:
        app = build_app(TOKEN, LocalTree(tmp_path))
        async with listening(app) as address, open_session() as http:
            nobody = Address(f"http://127.0.0.1:{free_port()}", TOKEN)
            stranger = Address(address.base_url, "another token")
            lost = nobody if loss == "refused" else stranger
            for number, work in enumerate(("upload", "list", "rename", "open", "delete")):
                moving = Moving(lost, address)
                assert await perform(RemoteTree(RemoteCalls(http, moving)), work), number
                assert moving.replaced == 1
            with pytest.raises(UnavailableError, match="does not answer"):
                await RemoteTree(RemoteCalls(http, Moving(lost, lost))).list_folder("")

    @pytest.mark.parametrize(
        ("work", "repeated"),
        [("list", True), ("open", True), ("upload", True), ("delete", False), ("rename", False)],
    )
    async def test_a_call_that_may_have_been_heard_is_not_made_again(
        self, tmp_path: Path, work: str, repeated: bool
    ) -> None:
        heard = 0

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal heard
            await reader.readuntil(b"\r\n\r\n")
            heard += 1
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        rude = Address(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", TOKEN)
        app = build_app(TOKEN, LocalTree(tmp_path))
        (tmp_path / "file").write_text("x")
        async with listening(app) as address, open_session() as http, server:
            moving = Moving(rude, address)
            calls = RemoteTree(RemoteCalls(http, moving))
            if repeated:
                assert await perform(calls, work)
            else:
                with pytest.raises(UnavailableError, match="went away in the middle"):
                    await perform(calls, work)
            assert moving.replaced == int(repeated)
            assert heard == 1 or repeated

    async def test_an_upload_that_was_partly_sent_is_not_sent_again(self, tmp_path: Path) -> None:
        async def ready(_: web.Request) -> web.Response:
            return web.json_response({})

        async def hang_up(request: web.Request) -> web.Response:
            await request.content.readany()
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        app = web.Application()
        app.router.add_get(wire.READY, ready)
        app.router.add_post(wire.UPLOAD, hang_up)
        async with listening(app) as rude, open_session() as http:
            moving = Moving(rude)
            tree = RemoteTree(RemoteCalls(http, moving))
            with pytest.raises(UnavailableError, match="went away in the middle"):
                await perform(tree, "upload")
            assert moving.replaced == 0

    async def test_errors_come_back_as_they_were_raised(self, tmp_path: Path) -> None:
        local = LocalTree(tmp_path)
        (tmp_path / "file").write_text("x")
        async with serving(local) as calls:
            remote = RemoteTree(calls)
            attempts: list[Callable[[FileTree], Awaitable[object]]] = [
                lambda tree: tree.list_folder("missing"),
                lambda tree: tree.list_folder("file"),
                lambda tree: tree.make_folder("", "file"),
                lambda tree: tree.upload("", "big", stream(b"xx"), max_bytes=1),
            ]
            for attempt in attempts:
                with pytest.raises(_ERRORS) as near:
                    await attempt(local)
                with pytest.raises(type(near.value)) as far:
                    await attempt(remote)
                assert (far.type, far.value.message) == (near.type, near.value.message)

    async def test_what_is_no_file_manager_is_not_believed(self) -> None:
        statuses = [200, 204, 302, 404, 500]

        async def nonsense(_: web.Request) -> web.Response:
            return web.Response(text="<html>", status=statuses[0])

        app = web.Application()
        app.router.add_get(wire.LIST, nonsense)
        async with listening(app) as address, calls_to(address) as calls:
            while statuses:
                with pytest.raises(UnavailableError, match="makes no sense"):
                    await RemoteTree(calls).list_folder("")
                statuses.pop()


_ERRORS = (NotFoundError, BadRequestError, ConflictError, TooLargeError)


async def perform(tree: RemoteTree, work: str) -> bool:
    match work:
        case "list":
            return len(await tree.list_folder("")) > 0
        case "open":
            opened = await tree.open_file("file")
            return b"".join([chunk async for chunk in opened.chunks]) == b"x"
        case "upload":
            return (await tree.upload("", "file", stream(b"x"), max_bytes=1)).size == 1
        case "rename":
            await tree.rename("file", "other")
            return (await tree.rename("other", "file")).name == "file"
        case _:
            await tree.delete("file")
            return True


def test_an_address_does_not_show_its_token() -> None:
    assert TOKEN not in repr(Address("http://127.0.0.1", TOKEN))
