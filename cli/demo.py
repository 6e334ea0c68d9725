"""`cattery demo`: the whole story over HTTP, told in the terminal as it happens."""

import asyncio
import contextlib
import json
import os
import secrets
import textwrap
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Self
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import orjson
from pydantic import SecretStr

from cattery.auth.bootstrap import mint_token
from cattery.db import users
from cattery.db.engine import connect
from cattery.jsontypes import Json, JsonObject
from cattery.settings import DatabaseSettings
from cli.configuration import UpSettings, read_home, read_jwt_secret, read_settings
from cli.console import Console
from cli.errors import CommandError
from cli.home import Home
from cli.stores import locate_database

_PROMPT = "Create a file hello.txt"
_HELPER_LIFETIME = timedelta(minutes=10)
_READY_WITHIN = 120.0
_TURN_WITHIN = 600.0
_POLL = 0.2


def run_demo(*, url: str | None, prompt: str | None, model: str | None) -> None:
    """Tell the story against the running instance, and clean up whatever happens.

    Raises:
        CommandError: a step failed; the message says which and why.
    """
    home, _ = read_home()
    settings = read_settings(UpSettings)
    asyncio.run(_tell(home, settings, url or settings.url, prompt or _PROMPT, model))


async def _tell(home: Home, settings: UpSettings, url: str, prompt: str, model: str | None) -> None:
    console = Console()
    helper = await _mint_helper_token(home, settings)
    async with _Site.open(url, helper) as operator, _demo_user(operator) as (username, password):
        console.say(f"Signing in at {url} as {username}, a user for this demo only.")
        token = _text((await operator.sign_in(username, password)), "token")
        async with _Site.open(url, token) as site, _project(site, operator, console) as project:
            await _Story(site, console, project).tell(prompt, model)
    console.say("Deleted the project and the user. That is the whole story.", tone="good")


async def _mint_helper_token(home: Home, settings: UpSettings) -> str:
    """Sign an admin in from the inside, for ten minutes, to make and delete the demo's user.

    Whoever can read the data folder and the database may do this anyway.
    """
    secret = read_jwt_secret(home, os.environ)
    url = locate_database(settings, home)
    database = connect(DatabaseSettings(url=SecretStr(url)))
    try:
        async with database.read() as session:
            admins = [user.username for user in await users.list_users(session) if user.is_admin]
    finally:
        await database.close()
    if not admins:
        raise CommandError("There is no admin yet. Make one with: cattery migrate")
    return await mint_token(url, secret, admins[0], lifetime=_HELPER_LIFETIME)


@contextlib.asynccontextmanager
async def _demo_user(operator: "_Site") -> AsyncIterator[tuple[str, str]]:
    username, password = f"demo-{uuid4().hex[:8]}", secrets.token_urlsafe(15)
    body: JsonObject = {"username": username, "password": password, "is_admin": False}
    user = await operator.call("POST", "/admin/users", body)
    try:
        yield username, password
    finally:
        await _delete_now(operator, operator, f"/admin/users/{_text(user, 'user_id')}")
        with contextlib.suppress(CommandError):
            await operator.call("POST", "/auth/logout")


@contextlib.asynccontextmanager
async def _project(site: "_Site", operator: "_Site", console: Console) -> AsyncIterator[str]:
    console.say("Making a project …")
    made = await site.call("POST", "/projects", {"project_name": "Demo"})
    project_id = _text(made, "project_id")
    try:
        yield project_id
    finally:
        await _delete_now(site, operator, f"/projects/{project_id}")


async def _delete_now(site: "_Site", operator: "_Site", path: str) -> None:
    """Delete something and skip its grace: nobody will want a demo back."""
    await site.call("DELETE", path)
    object_id = path.rpartition("/")[2]
    for deletion in map(_object, _list(await operator.call("GET", "/deletions"))):
        if deletion["object_id"] == object_id and deletion["phase"] == "grace":
            deletion_id = _text(deletion, "deletion_id")
            await operator.call("POST", f"/deletions/{deletion_id}/delete-now")


class _Story:
    """What happens in the project."""

    def __init__(self, site: "_Site", console: Console, project_id: str) -> None:
        self._site = site
        self._console = console
        self._project_id = project_id

    async def tell(self, prompt: str, model: str | None) -> None:
        say = self._console.say
        harness = await self._make_harness(model)
        session = await self._open_session(_text(harness, "harness_id"))
        say(f"\nYou: {prompt}", tone="strong")
        await self._stream_answer(_text(session, "session_id"), prompt)
        await self._show_files()

    async def _make_harness(self, model: str | None) -> JsonObject:
        model = model or await self._default_model()
        self._console.say(f"Making a harness: opencode with {model} …")
        body: JsonObject = {"harness_name": "Demo", "model": model, "type": "opencode"}
        return _object(
            await self._site.call("POST", f"/projects/{self._project_id}/harnesses", body)
        )

    async def _default_model(self) -> str:
        models = _list(await self._site.call("GET", "/models"))
        chosen = next((one for one in models if _object(one).get("default")), models[0])
        return _text(chosen, "id")

    async def _open_session(self, harness_id: str) -> JsonObject:
        self._console.say("Opening a session; its sandbox starts …")
        made = await self._site.call("POST", f"/harnesses/{harness_id}/sessions", {})
        path = f"/sessions/{_text(made, 'session_id')}"
        try:
            async with asyncio.timeout(_READY_WITHIN):
                while True:
                    session = _object(await self._site.call("GET", path))
                    if session["status"] == "ready":
                        return session
                    if session["status"] == "failed":
                        reason = session.get("failure") or session.get("phase")
                        raise CommandError(f"The session failed: {reason}. See: cattery doctor")
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            raise CommandError(
                f"The sandbox was not ready within {_READY_WITHIN:.0f} seconds. See `cattery "
                "doctor` and the worker's log."
            ) from error

    async def _stream_answer(self, session_id: str, prompt: str) -> None:
        failure = None
        printer = _Printer(self._console)
        async for event in self._site.follow(f"/sessions/{session_id}/message", {"text": prompt}):
            printer.show(event)
            if event["type"] == "session.error":
                failure = _text(event["data"], "message")
        self._console.say()
        if failure is not None:
            raise CommandError(f"The agent's turn went wrong: {failure}")

    async def _show_files(self) -> None:
        say, folder = self._console.say, f"/projects/{self._project_id}/files"
        entries = _list(await self._site.call("GET", f"{folder}/list?path=/"))
        files = [_text(one, "name") for one in entries if _object(one)["type"] == "file"]
        if not files:
            raise CommandError("The agent wrote no file. Look at its answer above.")
        say("\nThe project's files now:", tone="strong")
        for name in files:
            query = urlencode({"path": f"/{name}"})
            read = _object(await self._site.call("GET", f"{folder}/read?{query}"))
            say(f"  /{name}  ({read['size']} bytes)")
            content = read.get("content")
            if isinstance(content, str):
                say(textwrap.indent(content.rstrip(), "    | ", lambda _: True), tone="faint")
        say()


class _Printer:
    """Shows a turn's events as a person would want to read them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun: set[str] = set()
        self._in_text = False
        self._at_line_start = True

    def show(self, event: JsonObject) -> None:
        data = _object(event["data"])
        match event["type"]:
            case "message.delta":
                self._write(_text(data, "text"))
            case "tool.start" if data["toolId"] not in self._begun:
                self._begun.add(_text(data, "toolId"))
                self._line(f"[tool] {data['tool']} …")
            case "tool.done":
                self._line(f"[tool] {data['tool']} done")

    def _write(self, text: str) -> None:
        if not self._in_text:
            self._console.write("\nAgent: ")
        self._in_text = True
        self._console.write(text)
        self._at_line_start = text.endswith("\n")

    def _line(self, text: str) -> None:
        if self._in_text and not self._at_line_start:
            self._console.say()
        self._console.say(text, tone="faint")
        self._in_text, self._at_line_start = False, True


class _Site:
    """The HTTP API, as one user."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator[Self]:
        headers = {"Authorization": f"Bearer {token}"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_TURN_WITHIN)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            yield cls(http, url.rstrip("/"))

    async def sign_in(self, username: str, password: str) -> Json:
        return await self.call("POST", "/auth/login", {"username": username, "password": password})

    async def call(self, method: str, path: str, body: JsonObject | None = None) -> Json:
        try:
            async with self._http.request(method, f"{self._url}/api/v1{path}", json=body) as answer:
                await _require_success(answer)
                said = await answer.read()
                document: Json = orjson.loads(said) if said else None
                return document
        except aiohttp.ClientConnectionError as error:
            raise CommandError(
                f"Nothing answers at {self._url}. Start Cattery with `cattery up`, or name its "
                "address with --url."
            ) from error

    async def follow(self, path: str, body: JsonObject) -> AsyncIterator[JsonObject]:
        async with self._http.post(f"{self._url}/api/v1{path}", json=body) as answer:
            await _require_success(answer)
            async for line in answer.content:
                if line.startswith(b"data:"):
                    yield _object(orjson.loads(line[5:]))


async def _require_success(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    said = (await answer.read()).decode(errors="replace")
    with contextlib.suppress(ValueError, LookupError, TypeError):
        said = json.loads(said)["message"]
    raise CommandError(f"{answer.method} {answer.url.path} was refused ({answer.status}): {said}")


def _object(value: Json) -> JsonObject:
    if not isinstance(value, dict):
        raise CommandError("The server's answer has another form than expected. Is it Cattery?")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise CommandError("The server's answer has another form than expected. Is it Cattery?")
    return value


def _text(value: Json, key: str) -> str:
    return str(_object(value).get(key, ""))
