"""Every route by {anonymous, stranger, member, owner, admin}: who is let in, and who gets what.

The routes come from the app itself: one that has no row here fails the last test.
"""

from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import text

from api.app import create_bare_app
from cattery.jsontypes import JsonObject
from tests.api.site import API, Person, Site

CALLERS = ("anonymous", "stranger", "member", "owner", "admin")


@dataclass(frozen=True)
class Row:
    """What each caller gets, in the order of `CALLERS`; `ok` is any answer below 400."""

    method: str
    path: str
    expected: tuple[int | str, ...]
    body: JsonObject | None = None
    query: str = ""
    file: bool = False
    note: str = ""


def anybody(method: str, path: str, **options: object) -> Row:
    return Row(method, path, ("ok", "ok", "ok", "ok", "ok"), **options)  # type: ignore[arg-type]


def signed_in(method: str, path: str, **options: object) -> Row:
    return Row(method, path, (401, "ok", "ok", "ok", "ok"), **options)  # type: ignore[arg-type]


def admins(method: str, path: str, **options: object) -> Row:
    return Row(method, path, (401, 403, 403, 403, "ok"), **options)  # type: ignore[arg-type]


def inside(method: str, path: str, **options: object) -> Row:
    return Row(method, path, (401, 404, "ok", "ok", 404), **options)  # type: ignore[arg-type]


def owners(method: str, path: str, **options: object) -> Row:
    return Row(method, path, (401, 404, 403, "ok", 404), **options)  # type: ignore[arg-type]


def owners_and_admins(method: str, path: str, **options: object) -> Row:
    return Row(method, path, (401, 404, 404, "ok", "ok"), **options)  # type: ignore[arg-type]


DELETION = "/deletions/{deletion_id}"
HEAD = "/projects/{project_id}"
FILES = HEAD + "/files"
SESSION = "/sessions/{session_id}"
NEW_USER: JsonObject = {"username": "fresh", "password": "long enough", "is_admin": False}
ANSWER: JsonObject = {
    "questionId": "que_1",
    "answers": [{"question": "?", "selectedLabels": ["a"]}],
}

ROWS = [
    Row(
        "POST",
        "/auth/login",
        (401,) * 5,
        body={"username": "nobody", "password": "wrong wrong"},
        note="the same for all: nobody of that name",
    ),
    signed_in("POST", "/auth/logout"),
    signed_in("GET", "/auth/me"),
    Row(
        "POST",
        "/auth/change-password",
        (401, 403, 403, 403, 403),
        body={"old_password": "wrong wrong", "new_password": "long enough"},
        note="403: the old password is wrong",
    ),
    signed_in("GET", "/users/search"),
    admins("GET", "/admin/users"),
    admins("POST", "/admin/users", body=NEW_USER),
    admins("PATCH", "/admin/users/{user_id}", body={}),
    admins("DELETE", "/admin/users/{user_id}"),
    admins("GET", "/admin/models"),
    admins("POST", "/admin/models", body={"id": "model-{fresh}"}),
    admins("GET", "/admin/savings"),
    admins("PATCH", "/admin/models", query="id=gpt-5.5", body={"default": True}),
    admins("DELETE", "/admin/models", query="id=gpt-5.4"),
    admins("POST", "/admin/models/reset"),
    signed_in("GET", "/projects"),
    signed_in("POST", "/projects", body={"project_name": "Mine"}),
    inside("GET", HEAD),
    owners("PATCH", HEAD, body={"project_name": "Renamed"}),
    owners("DELETE", HEAD),
    inside("GET", f"{HEAD}/members"),
    owners("POST", f"{HEAD}/members", body={"username": "third"}),
    owners("DELETE", HEAD + "/members/{user_id}"),
    inside("GET", f"{HEAD}/harnesses"),
    inside("POST", f"{HEAD}/harnesses", body={"model": "gpt-5.5"}),
    inside("GET", "/harnesses/{harness_id}"),
    owners("PATCH", "/harnesses/{harness_id}", body={"harness_name": "Renamed"}),
    owners("DELETE", "/harnesses/{harness_id}"),
    inside("POST", "/harnesses/{harness_id}/sandbox"),
    owners("DELETE", "/harnesses/{harness_id}/sandbox"),
    inside("GET", "/harnesses/{harness_id}/log"),
    inside("POST", "/harnesses/{harness_id}/lease", body={"minutes": 60}),
    inside("DELETE", "/harnesses/{harness_id}/lease"),
    inside("GET", "/harnesses/{harness_id}/timeline"),
    inside("GET", "/harnesses/{harness_id}/sessions"),
    inside("POST", "/harnesses/{harness_id}/sessions", body={}),
    inside("GET", SESSION),
    inside("PATCH", SESSION, body={"title": "Renamed"}),
    inside("DELETE", SESSION),
    inside("POST", f"{SESSION}/abort"),
    inside("POST", f"{SESSION}/answer", body=ANSWER),
    inside("POST", f"{SESSION}/prompts", body={"text": "Hi"}),
    inside("GET", f"{SESSION}/prompts"),
    inside("DELETE", SESSION + "/prompts/{turn_id}"),
    inside("GET", f"{SESSION}/history"),
    inside("GET", f"{SESSION}/export"),
    Row("GET", f"{SESSION}/events", (401, 404, 400, 400, 404), query="after=x", note="no stream"),
    inside("GET", SESSION + "/events/{seq}"),
    Row("POST", f"{SESSION}/message", (401, 404, 409, 409, 404), body={"text": "Hi"}),
    Row("GET", f"{SESSION}/term", (401, 404, 400, 400, 404), note="400: it is a chat"),
    inside("GET", f"{FILES}/list", query="path=/"),
    inside("GET", f"{FILES}/read", query="path=/a.txt"),
    inside("GET", f"{FILES}/raw", query="path=/a.txt"),
    inside("GET", FILES + "/raw-path/{path:path}"),
    inside("GET", f"{FILES}/download", query="path=/a.txt"),
    inside("POST", f"{FILES}/upload", query="path=/", file=True),
    inside("DELETE", f"{FILES}/delete", query="path=/a.txt"),
    inside("POST", f"{FILES}/rename", query="from=/a.txt&to=b.txt"),
    inside("POST", f"{FILES}/move", query="from=/a.txt&to=/"),
    inside("POST", f"{FILES}/mkdir", query="path=/&name=folder-{fresh}"),
    signed_in("GET", "/skills/catalog"),
    signed_in("GET", "/skills/list", query="path=/"),
    Row("GET", "/skills/read", (401, 404, 404, 404, 404), query="path=/no/SKILL.md"),
    Row("POST", "/skills/upload-zip", (401, 400, 400, 400, 400), file=True, note="400: no zip"),
    Row("DELETE", "/skills/delete", (401, 404, 404, 404, 404), query="path=/no"),
    Row("POST", "/skills/rename", (401, 404, 404, 404, 404), query="from=/no&to=yes"),
    signed_in("POST", "/skills/mkdir", query="path=/&name=skill-{fresh}"),
    signed_in("GET", "/models"),
    signed_in("GET", "/site"),
    signed_in("GET", "/deletions"),
    owners_and_admins("GET", DELETION),
    owners_and_admins("POST", f"{DELETION}/undo"),
    owners_and_admins("POST", f"{DELETION}/delete-now"),
    Row("POST", f"{DELETION}/retry", (401, 404, 404, 409, 409), note="409: it is not stuck"),
    Row("POST", f"{DELETION}/force", (401, 403, 403, 403, 409), body={"reason": "I say so."}),
]
OUTSIDE = [
    anybody("GET", "/healthz"),
    anybody("GET", "/readyz"),
    anybody("GET", f"{API}/openapi.json", note="describes, tells nothing of this site"),
]
SOCKETS = {f"{API}/ws", f"{API}{SESSION}/term"}
"""WebSockets have tests of their own."""


@dataclass
class World:
    """A project with everything in it, and somebody of every kind."""

    people: dict[str, Person]
    names: dict[str, str]


@pytest.fixture
async def world(site: Site) -> World:
    owner = await site.sign_up("owner")
    member = await site.sign_up("member")
    third = await site.sign_up("third")
    project = await owner.make_project()
    await site.make_workspace(project)
    members = f"/projects/{project['project_id']}/members"
    for name in ("member", "third"):
        await owner.post(members, {"username": name})
    harness = await owner.make_harness(project)
    session = await owner.make_session(harness)
    prompts = f"/sessions/{session['session_id']}/prompts"
    turn = (await owner.post(prompts, {"text": "Hi"})).json()
    doomed = await owner.make_project("Doomed")
    await owner.delete(f"/projects/{doomed['project_id']}")
    (deletion,) = (await owner.get("/deletions")).json()
    site.lifecycles.open_questions.add("que_1")
    upload = f"/projects/{project['project_id']}/files/upload"
    await owner.call("POST", upload, params={"path": "/"}, files={"file": ("a.txt", b"text")})
    return World(
        people={
            "owner": owner,
            "member": member,
            "stranger": await site.sign_up("stranger"),
            "admin": await site.sign_up("admin", is_admin=True),
        },
        names={
            "project_id": str(project["project_id"]),
            "harness_id": str(harness["harness_id"]),
            "session_id": str(session["session_id"]),
            "turn_id": turn["turn_id"],
            "seq": str(turn["after"] + 1),
            "user_id": third.user_id,
            "deletion_id": deletion["deletion_id"],
            "path:path": "a.txt",
        },
    )


async def ask(site: Site, world: World, row: Row, caller: str, prefix: str) -> httpx.Response:
    path = row.path
    for name, value in world.names.items():
        path = path.replace(f"{{{name}}}", value)
    query = row.query.replace("{fresh}", uuid4().hex)
    url = f"{prefix}{path}?{query}" if query else f"{prefix}{path}"
    options: dict[str, object] = {"json": row.body} if row.body is not None else {}
    if row.file:
        options["files"] = {"file": ("b.txt", b"text")}
    if caller == "anonymous":
        async with site.client() as client:
            return await client.request(row.method, url, **options)  # type: ignore[arg-type]
    return await world.people[caller].client.request(row.method, url, **options)  # type: ignore[arg-type]


def names_of(row: Row) -> str:
    return f"{row.method} {row.path}"


@pytest.mark.parametrize("row", ROWS, ids=names_of)
async def test_each_kind_of_caller_gets_what_is_theirs(site: Site, world: World, row: Row) -> None:
    if row.path.endswith("/message"):
        # A session that failed answers at once, not with a stream.
        async with site.database.write() as session:
            await session.execute(text("UPDATE session SET status = 'failed'"))
    got = {}
    # The owner last: what they do may end what the others look at.
    for caller in ("anonymous", "stranger", "admin", "member", "owner"):
        if row.expected[CALLERS.index(caller)] == "ok" and caller in ("member", "owner"):
            await _restore(site, world, row)
        answer = await ask(site, world, row, caller, API)
        got[caller] = "ok" if answer.status_code < 400 else answer.status_code
    assert got == dict(zip(CALLERS, row.expected, strict=True))


@pytest.mark.parametrize("row", OUTSIDE, ids=names_of)
async def test_what_is_public_is_so_for_everybody(site: Site, world: World, row: Row) -> None:
    for caller in CALLERS:
        assert (await ask(site, world, row, caller, "")).status_code == 200


async def _restore(site: Site, world: World, row: Row) -> None:
    """Make again what the row before may have deleted, so that each caller finds it."""
    if row.method != "DELETE" and not row.path.endswith(("/rename", "/move")):
        return
    owner = world.people["owner"]
    if "/files/" in row.path:
        upload = f"/projects/{world.names['project_id']}/files/upload"
        for gone in ("/a.txt", "/b.txt"):
            path = f"/projects/{world.names['project_id']}/files/delete"
            await owner.delete(path, params={"path": gone})
        await owner.call("POST", upload, params={"path": "/"}, files={"file": ("a.txt", b"x")})
    elif row.path.endswith("{turn_id}"):
        prompts = f"/sessions/{world.names['session_id']}/prompts"
        world.names["turn_id"] = (await owner.post(prompts, {"text": "Hi"})).json()["turn_id"]
    elif row.path == SESSION:
        harness: JsonObject = {"harness_id": world.names["harness_id"]}
        world.names["session_id"] = str((await owner.make_session(harness))["session_id"])


def test_every_route_of_the_app_has_a_row() -> None:
    known = {(row.method, API + row.path) for row in ROWS}
    known |= {(row.method, row.path) for row in OUTSIDE}
    routes = set()
    sockets = set()
    for route in iter_route_contexts(create_bare_app().routes):
        if route.methods is None:
            sockets.add(route.path)
        else:
            routes |= {(method, route.path) for method in route.methods - {"HEAD"}}
    assert routes == known
    assert sockets == SOCKETS
