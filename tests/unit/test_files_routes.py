"""The file and skill routes over real trees, in an app of their own.

Who may call them is tested with the whole app in tests/api; here it is everybody.
"""

import io
import os
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.params import Depends

from api import dependencies
from api.errors import add_error_handlers
from api.routes import files, skills
from cattery.errors import UnavailableError
from cattery.files.local_tree import LocalTree
from cattery.files.port import FileTree, SkillLibrary
from cattery.files.remote_calls import Address, RemoteCalls, open_session
from cattery.files.remote_tree import RemoteSkillLibrary, RemoteTree
from cattery.files.skills import LocalSkillLibrary
from cattery.settings import ApiSettings
from tests.unit.served_files import serving

PROJECT = "/projects/3f0e7a53-95b5-4f0c-8d0b-9f4a0d6a0a11/files"
LIMIT = 20 * 1024 * 1024


class Runtime:
    """The two parts of a sandbox runtime that the routes use."""

    def __init__(self, files: FileTree, library: SkillLibrary) -> None:
        self._files = files
        self._library = library

    def workspace_files(self, _: object) -> FileTree:
        return self._files

    def skills(self) -> SkillLibrary:
        return self._library


class Grant:
    project_id = "the project"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "skills").mkdir()
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture(params=["local", "remote"])
async def runtime(root: Path, request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    """Files on this machine, or served by file managers."""
    tree, library = LocalTree(root), LocalSkillLibrary(root.parent / "skills")
    if request.param == "local":
        yield Runtime(tree, library)
        return
    async with serving(tree) as calls, serving(library.files, library=library) as others:
        yield Runtime(RemoteTree(calls), RemoteSkillLibrary(others))


@pytest.fixture
async def client(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(runtime) as client:
        yield client


@asynccontextmanager
async def client_of(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    add_error_handlers(app)
    app.include_router(files.router)
    app.include_router(skills.router)
    settings = ApiSettings(jwt_secret="x" * 32, max_upload_bytes=LIMIT)
    for parameter, value in (
        (dependencies.ProjectAccess, Grant()),
        (dependencies.ProjectAccessByQuery, Grant()),
        (dependencies.CurrentUser, object()),
        (dependencies.Runtime, runtime),
        (dependencies.Settings, settings),
    ):
        app.dependency_overrides[dependency_of(parameter)] = giving(value)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://cattery") as client:
        yield client


def giving(value: object) -> Callable[[], object]:
    return lambda: value


def dependency_of(parameter: object) -> Any:
    [depends] = [part for part in get_args(parameter) if isinstance(part, Depends)]
    return depends.dependency


def held(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def upload(
    client: httpx.AsyncClient, name: str, content: bytes, path: str = ""
) -> httpx.Response:
    url = f"{PROJECT}/upload"
    return await client.post(url, params={"path": path}, files={"file": (name, content)})


class TestFiles:
    async def test_a_file_makes_its_way_through_every_route(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        async def post(route: str, **params: str) -> Any:
            response = await client.post(f"{PROJECT}/{route}", params=params)
            assert response.status_code == 200, response.text
            return response.json()

        assert await post("mkdir", path="", name="a") == {"path": "/a", "name": "a"}
        sent = await upload(client, "dropped/x.txt", "grüße".encode(), "/a")
        assert sent.json() == {"path": "/a/x.txt", "name": "x.txt", "size": 7}
        assert await post("rename", **{"from": "/a/x.txt", "to": "y.txt"}) == {
            "path": "/a/y.txt",
            "name": "y.txt",
        }
        assert await post("move", **{"from": "/a/y.txt", "to": "/"}) == {
            "path": "/y.txt",
            "name": "y.txt",
        }
        read = await client.get(f"{PROJECT}/read", params={"path": "y.txt"})
        assert read.json() == {
            "path": "/y.txt",
            "size": 7,
            "truncated": False,
            "binary": False,
            "content": "grüße",
        }
        listed = (await client.get(f"{PROJECT}/list")).json()
        assert [(entry["name"], entry["type"]) for entry in listed] == [
            ("a", "dir"),
            ("y.txt", "file"),
        ]
        assert listed[1] == {
            "name": "y.txt",
            "type": "file",
            "size": 7,
            "mtime": int((root / "y.txt").stat().st_mtime),
        }
        deleted = await client.delete(f"{PROJECT}/delete", params={"path": "a"})
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert held(root) == ["y.txt"]

    async def test_content_is_empty_for_an_empty_file_and_missing_for_a_binary_one(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        (root / "empty").write_bytes(b"")
        (root / "binary").write_bytes(b"\0")
        empty = await client.get(f"{PROJECT}/read", params={"path": "empty"})
        binary = await client.get(f"{PROJECT}/read", params={"path": "binary"})
        assert empty.json()["content"] == ""
        assert set(binary.json()) == {"path", "size", "truncated", "binary"}

    @pytest.mark.parametrize("route", ["raw", "raw-path"])
    async def test_what_an_agent_made_is_shown_without_any_power(
        self, client: httpx.AsyncClient, root: Path, route: str
    ) -> None:
        (root / "a b").mkdir()
        (root / "a b" / "ré?port.html").write_text("<script>alert(1)</script>")
        url = f"{PROJECT}/raw?path=a%20b/r%C3%A9%3Fport.html"
        if route == "raw-path":
            url = f"{PROJECT}/raw-path/a%20b/r%C3%A9%3Fport.html"
        response = await client.get(url)
        assert response.text == "<script>alert(1)</script>"
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = [
            rule.split()[0] for rule in response.headers["content-security-policy"].split(";")
        ]
        assert policy[:2] == ["sandbox", "default-src"]
        assert "allow-" not in response.headers["content-security-policy"]
        assert "script-src" not in policy
        assert response.headers["content-disposition"].startswith("inline")
        assert "x-frame-options" not in response.headers

    async def test_a_pdf_is_shown_outside_of_the_sandbox_that_would_stop_its_viewer(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        (root / "a.html").write_bytes(b"%PDF-1.7\n")
        response = await client.get(f"{PROJECT}/raw", params={"path": "a.html"})
        assert response.headers["content-type"] == "application/pdf"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")

    async def test_a_download_keeps_its_name_in_every_alphabet(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        name = 'ü"x\n.html'
        (root / name).write_bytes(b"<html>")
        response = await client.get(f"{PROJECT}/download", params={"path": name})
        assert response.content == b"<html>"
        assert response.headers["content-length"] == "6"
        assert response.headers["content-disposition"] == (
            "attachment; filename=\"__x_.html\"; filename*=UTF-8''%C3%BC%22x%0A.html"
        )

    @pytest.mark.parametrize("query", ["path=%ff", "path=a&name=%C3", "path=&name=%ed%a0%80"])
    async def test_an_address_that_is_not_utf8_changes_nothing(
        self, client: httpx.AsyncClient, root: Path, query: str
    ) -> None:
        (root / "a").mkdir()
        for route, method in (("mkdir", "POST"), ("list", "GET"), ("delete", "DELETE")):
            response = await client.request(method, f"{PROJECT}/{route}?{query}")
            assert response.status_code == 400
        assert (await client.get(f"{PROJECT}/raw-path/a%ff")).status_code == 400
        assert held(root) == ["a"]

    @pytest.mark.parametrize(
        ("status", "method", "route"),
        [
            (400, "GET", "list?path=../"),
            (400, "GET", "list?path=file"),
            (400, "GET", "read"),
            (400, "GET", "raw?path=folder"),
            (400, "GET", "raw-path/folder/"),
            (400, "GET", "raw-path/%2e%2e/x"),
            (400, "GET", "download?path=a%00b"),
            (404, "GET", "download?path=missing"),
            (404, "GET", "raw-path/folder/missing"),
            (400, "DELETE", "delete"),
            (404, "DELETE", "delete?path=missing"),
            (400, "POST", "rename?from=file&to=a/b"),
            (400, "POST", "rename?from=file"),
            (409, "POST", "rename?from=file&to=folder"),
            (400, "POST", "move?from=folder&to=folder"),
            (404, "POST", "move?from=file&to=missing"),
            (409, "POST", "mkdir?name=file"),
            (400, "POST", f"mkdir?name={'x' * 10_000}"),
        ],
        ids=str,
    )
    async def test_bad_requests_get_a_sentence(
        self, client: httpx.AsyncClient, root: Path, status: int, method: str, route: str
    ) -> None:
        (root / "file").write_text("")
        (root / "folder").mkdir()
        response = await client.request(method, f"{PROJECT}/{route}")
        assert response.status_code == status, response.text
        assert response.json()["message"].endswith(".")
        assert held(root) == ["file", "folder"]


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


def part(disposition: str, content: bytes = b"x") -> bytes:
    return f"Content-Disposition: form-data; {disposition}".encode() + b"\r\n\r\n" + content


BAD_FORMS = {
    "empty": b"",
    "no form": b"hello",
    "no parts": b"--b--\r\n",
    "no file": form(part('name="other"; filename="x"')),
    "a field, not a file": form(part('name="file"')),
    "cut in the file": form(part('name="file"; filename="x"'), end=b"")[:-2],
    "cut in the boundary": form(part('name="file"; filename="x"'), end=b"--"),
    "no name": form(part('name="file"; filename=""')),
    "only a folder": form(part('name="file"; filename="a/"')),
    "dots": form(part('name="file"; filename="a/.."')),
    "a backslash": form(part('name="file"; filename="a\\b"')),
    "not UTF-8": form(b'Content-Disposition: form-data; name="file"; filename="\xff"\r\n\r\nx'),
    "a long name": form(part(f'name="file"; filename="{"x" * 300}"')),
    "a very long name": form(part(f'name="file"; filename="{"x" * 10_000}"')),
    "much before the file": form(part('name="a"', bytes(2**21)), part('name="file"; filename="x"')),
}


class TestUploads:
    @pytest.mark.parametrize("size", [1, 7, 65_536])
    async def test_a_form_may_come_in_any_pieces_with_other_fields_around(
        self, client: httpx.AsyncClient, root: Path, size: int
    ) -> None:
        data = form(
            part('name="first"', b"1"),
            part(
                'name="file"; filename="C:\\dir\\x.txt"',
                b"\r\n--b\r\n-- not b --\r\n"[:4] + b"data",
            ),
            part('name="file"; filename="second.txt"', b"2"),
        )
        response = await send(client, pieces(data, size))
        assert response.json() == {"path": "/x.txt", "name": "x.txt", "size": 8}
        assert (root / "x.txt").read_bytes() == b"\r\n--data"

    @pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS.keys())
    async def test_a_bad_form_stores_nothing(
        self, client: httpx.AsyncClient, root: Path, body: bytes
    ) -> None:
        response = await send(client, pieces(body, 65_536))
        assert response.status_code == 400, response.text
        assert held(root) == []

    @pytest.mark.parametrize(
        "content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="]
    )
    async def test_another_kind_of_body_is_refused(
        self, client: httpx.AsyncClient, root: Path, content_type: str
    ) -> None:
        body = form(part('name="file"; filename="x"'))
        response = await send(client, pieces(body, 65_536), content_type)
        assert response.status_code == 400
        assert held(root) == []

    async def test_too_large_a_file_is_413_and_leaves_the_old_one(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        (root / "x").write_text("old")
        response = await send(client, large_form(LIMIT + 1))
        assert response.status_code == 413
        assert "20 MiB" in response.json()["message"]
        announced = {"Content-Length": str(LIMIT * 100)}
        response = await send(client, pieces(b"", 1), headers=announced)
        assert response.status_code == 413
        assert held(root) == ["x"]
        assert (root / "x").read_text() == "old"

    async def test_ten_megabytes_pass_through_without_being_gathered(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        size = 10 * 1024 * 1024
        tracemalloc.start()
        response = await send(client, large_form(size))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert response.json()["size"] == size
        assert (root / "x").stat().st_size == size
        assert peak < 5 * 1024 * 1024

    async def test_an_upload_into_a_taken_folder_name_is_a_conflict(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        (root / "x").mkdir()
        assert (await upload(client, "x", b"1")).status_code == 409
        assert (await upload(client, "y", b"1", "missing")).status_code == 404
        assert (await upload(client, "y", b"1", "../")).status_code == 400
        assert held(root) == ["x"]


class Starting:
    """The address of a file manager that is not there yet."""

    async def find(self) -> Address:
        raise UnavailableError("The file manager of this project is starting.", retry_after=3)

    async def replace(self, lost: Address) -> Address:
        raise AssertionError(lost)


async def test_while_a_file_manager_starts_every_route_says_so_and_when_to_come_back() -> None:
    async with open_session() as http:
        calls = RemoteCalls(http, Starting())
        runtime = Runtime(RemoteTree(calls), RemoteSkillLibrary(calls))
        async with client_of(runtime) as client:
            answers = [
                await client.get(f"{PROJECT}/list"),
                await client.get(f"{PROJECT}/raw?path=x"),
                await client.post(f"{PROJECT}/mkdir?name=x"),
                await client.get("/skills/catalog"),
                await upload(client, "x", b"x"),
            ]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "3"
        assert answer.json()["message"] == "The file manager of this project is starting."


class TestSkills:
    async def test_a_skill_comes_is_listed_and_goes(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        response = await self.upload(client, "any.zip", archive("demo/SKILL.md"))
        assert response.json() == {"path": "/demo", "dirs": 1, "files": 1}
        await client.post("/skills/mkdir", params={"path": "", "name": "empty"})
        catalog = (await client.get("/skills/catalog")).json()
        assert [set(row) for row in catalog] == [
            {"slug", "name", "description", "valid", "mtime"},
            {"slug", "name", "description", "valid", "mtime", "reason"},
        ]
        assert (catalog[0]["slug"], catalog[0]["valid"]) == ("demo", True)
        read = await client.get("/skills/read", params={"path": "/demo/SKILL.md"})
        assert read.json()["content"].startswith("---")
        listed = await client.get("/skills/list", params={"path": "demo"})
        assert [entry["name"] for entry in listed.json()] == ["SKILL.md"]
        renamed = await client.post("/skills/rename", params={"from": "demo", "to": "other"})
        assert renamed.json() == {"path": "/other", "name": "other"}
        deleted = await client.delete("/skills/delete", params={"path": "other"})
        assert deleted.status_code == 204
        assert held(root.parent / "skills") == ["empty"]

    async def test_refusals_are_400_and_keep_nothing(
        self, client: httpx.AsyncClient, root: Path
    ) -> None:
        for name, data in (
            ("x.zip", b"text"),
            ("x.zip", archive("demo/../SKILL.md")),
            ("x.zip", bytes(LIMIT + 1)),
            ("..", archive("SKILL.md")),
        ):
            response = await self.upload(client, name, data)
            assert response.status_code == 400, name
        response = await self.upload(client, "x.zip", archive("x/SKILL.md"), path="demo")
        assert response.status_code == 400
        response = await client.post("/skills/upload-zip", data={"file": "text"})
        assert response.status_code == 400
        assert held(root.parent / "skills") == []

    async def upload(
        self, client: httpx.AsyncClient, name: str, data: bytes, path: str = ""
    ) -> httpx.Response:
        return await client.post(
            "/skills/upload-zip", params={"path": path}, files={"file": (name, data)}
        )


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr(name, "---\nname: Demo\ndescription: x\n---\n")
    return buffer.getvalue()


async def send(
    client: httpx.AsyncClient,
    body: AsyncIterator[bytes],
    content_type: str = "multipart/form-data; boundary=b",
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    headers = {"Content-Type": content_type, **(headers or {})}
    return await client.post(f"{PROJECT}/upload", content=body, headers=headers)


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def large_form(size: int) -> AsyncIterator[bytes]:
    """Make the form as it goes, so that nobody holds it whole."""
    for piece in _large_form(size):
        yield piece


def _large_form(size: int) -> Iterator[bytes]:
    yield form(part('name="file"; filename="x"', b""), end=b"")[:-2]
    block = os.urandom(65_536)
    for start in range(0, size, len(block)):
        yield block[: size - start]
    yield b"\r\n--b--\r\n"
