"""Bad input over the wire: the running product refuses each clearly and writes nothing."""

import io
import uuid
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from cattery.jsontypes import JsonObject
from tests.e2e.client import Answer, Client
from tests.e2e.conftest import Workplace
from tests.e2e.site import UPLOAD_LIMIT, Site

LONG = "n" * 10_000
MEBIBYTE = 1024 * 1024
type Line = tuple[str, str, dict[str, str]]
SKILL = "---\nname: Trap\ndescription: It is one.\n---\n"


@pytest.fixture
def untouched(site: Site, workplace: Workplace) -> Iterator[None]:
    """Check that the test wrote nothing into the workspace, the skills or anywhere near them."""
    folders = [site.workspace_of(workplace.project_id), *site.home.glob("skills")]
    before = [_tree(folder) for folder in folders]
    yield
    assert [_tree(folder) for folder in folders] == before
    assert not list(site.home.rglob("evil*"))


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_an_upload_past_the_limit_is_refused(
    admin: Client, workplace: Workplace, untouched: None, announced: bool
) -> None:
    size = UPLOAD_LIMIT + MEBIBYTE
    body = io.BytesIO(bytes(size)) if announced else _zeros(size)
    form = aiohttp.FormData()
    form.add_field("file", body, filename="evil.bin", content_type="application/octet-stream")
    answer = await admin.ask("POST", f"/projects/{workplace.project_id}/files/upload", form=form)
    assert answer.status == 413
    assert "20" in answer.message


async def test_a_zip_bomb_is_refused(admin: Client, untouched: None) -> None:
    bomb = _zip({"evil/SKILL.md": SKILL, "evil/big": bytes(120 * MEBIBYTE)})
    answer = await _upload_skill(admin, bomb)
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize(
    "entry",
    ["../evil/SKILL.md", "/evil/SKILL.md", "evil\\..\\SKILL.md", "evil/../../SKILL.md", LONG],
    ids=["up", "absolute", "backslash", "up twice", "long"],
)
async def test_a_zip_whose_names_lead_elsewhere_is_refused(
    admin: Client, untouched: None, entry: str
) -> None:
    answer = await _upload_skill(admin, _zip({"evil/SKILL.md": SKILL, entry: SKILL}))
    assert answer.status == 400
    assert answer.message


@pytest.mark.parametrize(
    "request_line",
    [
        ("GET", "list", {"path": "../.."}),
        ("GET", "read", {"path": "../../../../../etc/passwd"}),
        ("GET", "raw", {"path": "/../../../../etc/passwd"}),
        ("GET", "download", {"path": "../b"}),
        ("DELETE", "delete", {"path": ".."}),
        ("DELETE", "delete", {"path": "/"}),
        ("POST", "mkdir", {"path": "..", "name": "evil"}),
        ("POST", "mkdir", {"path": "/", "name": "../evil"}),
        ("POST", "mkdir", {"path": "/", "name": LONG}),
        ("POST", "rename", {"from": "../../x", "to": "evil"}),
        ("POST", "move", {"from": "/", "to": "../.."}),
        ("GET", "read", {"path": "nul\0byte"}),
    ],
)
async def test_a_path_that_leads_out_of_the_workspace_is_refused(
    admin: Client, workplace: Workplace, untouched: None, request_line: Line
) -> None:
    method, route, query = request_line
    path = f"/projects/{workplace.project_id}/files/{route}"
    answer = await admin.ask(method, path, query=query)
    assert answer.status == 400, answer
    assert answer.message


@pytest.mark.parametrize("name", [LONG + ".txt", "..", "."], ids=["long", "two dots", "dot"])
async def test_an_upload_of_a_bad_name_is_refused(
    admin: Client, workplace: Workplace, untouched: None, name: str
) -> None:
    form = aiohttp.FormData()
    form.add_field("file", b"evil", filename=name)
    answer = await admin.ask("POST", f"/projects/{workplace.project_id}/files/upload", form=form)
    assert answer.status == 400, answer
    assert answer.message


async def test_names_of_ten_thousand_characters_are_refused(
    admin: Client, workplace: Workplace
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    project, harness = f"/projects/{workplace.project_id}", f"/harnesses/{workplace.harness_id}"
    rejected: list[tuple[str, str, JsonObject]] = [
        ("POST", "/projects", {"project_name": LONG}),
        ("PATCH", project, {"project_name": LONG}),
        ("POST", f"{project}/harnesses", {"harness_name": LONG, "model": "gpt-5.5"}),
        ("POST", f"{project}/harnesses", {"harness_name": None, "model": LONG}),
        ("PATCH", harness, {"harness_name": LONG}),
        ("PATCH", f"/sessions/{session_id}", {"title": LONG}),
        ("POST", "/admin/users", {"username": LONG, "password": "good enough", "is_admin": False}),
    ]
    before = await admin.get("/projects"), await admin.get(project + "/harnesses")
    for method, path, body in rejected:
        answer = await admin.ask(method, path, body)
        assert answer.status == 400, (path, answer)
        assert LONG[:300] not in answer.message
    assert await admin.get("/users/search", {"q": LONG}) == []
    assert (await admin.get("/projects"), await admin.get(project + "/harnesses")) == before


async def test_what_is_not_utf8_is_refused(
    admin: Client, workplace: Workplace, untouched: None
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    files = f"/projects/{workplace.project_id}/files"
    form = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="evil\xff.txt"\r\n\r\n'
        b"evil\r\n--x--\r\n"
    )
    json = "application/json"
    sent = [
        ("POST", "/projects", b'{"project_name": "\xff\xfe"}', json),
        ("POST", "/projects", b'{"project_name": "\\ud800"}', json),
        ("POST", "/projects", b'{"project_name": "nul\\u0000"}', json),
        ("POST", f"/sessions/{session_id}/prompts", b'{"text": "\xc3\x28"}', json),
        ("POST", f"/sessions/{session_id}/message", b'{"text": "\\udfff"}', json),
        ("GET", f"{files}/read?path=%ff%fe", b"", json),
        ("POST", f"{files}/mkdir?path=/&name=evil%ff", b"", json),
        ("POST", f"{files}/upload", form, "multipart/form-data; boundary=x"),
    ]
    before = await admin.get("/projects")
    for method, path, body, content_type in sent:
        answer = await _ask_raw(admin, method, path, body, content_type)
        assert answer.status == 400, (path, answer)
        assert answer.message
    assert await admin.get("/projects") == before
    assert await admin.history(session_id) == []


@pytest.mark.parametrize("unknown", [str(uuid.UUID(int=7)), "no-uuid", "%00"])
async def test_an_unknown_id_is_not_found(
    admin: Client, workplace: Workplace, unknown: str
) -> None:
    for method, path in (
        ("GET", f"/projects/{unknown}"),
        ("GET", f"/projects/{unknown}/files/list"),
        ("POST", f"/projects/{unknown}/harnesses"),
        ("DELETE", f"/projects/{workplace.project_id}/members/{unknown}"),
        ("GET", f"/harnesses/{unknown}"),
        ("POST", f"/harnesses/{unknown}/sandbox"),
        ("GET", f"/sessions/{unknown}/history"),
        ("GET", f"/sessions/{unknown}/events"),
        ("POST", f"/sessions/{unknown}/abort"),
        ("DELETE", f"/admin/users/{unknown}"),
        ("GET", f"/{unknown}"),
    ):
        body = b'{"model": "gpt-5.5"}' if method == "POST" else b""
        answer = await _ask_raw(admin, method, path, body, "application/json")
        assert answer.status == 404, (path, answer)
        assert answer.message


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def _zeros(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // MEBIBYTE):
        yield bytes(MEBIBYTE)


def _zip(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


async def _upload_skill(client: Client, archive: bytes) -> Answer:
    form = aiohttp.FormData()
    form.add_field("file", archive, filename="evil.zip", content_type="application/zip")
    return await client.ask("POST", "/skills/upload-zip", form=form)


async def _ask_raw(
    client: Client, method: str, path: str, body: bytes, content_type: str
) -> Answer:
    """Send bytes as they are, the address included."""
    headers = client.headers | {"Content-Type": content_type}
    url = URL(client.url + path, encoded=True)
    async with client.http.request(method, url, data=body, headers=headers) as response:
        return Answer(response.status, await response.json())
