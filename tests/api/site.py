"""A whole site in one process for API tests: the real app on real rows and files.

Only the workflows are played: what the routes asked of them is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import override
from uuid import UUID

import httpx
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher

from api.dependencies import Parts
from api.lifecycles import Lifecycles
from cattery.auth.passwords import Passwords
from cattery.auth.tokens import TokenClaims, TokenSigner
from cattery.clock import utc_now
from cattery.db import users
from cattery.db.deletions import DeletionRecord
from cattery.db.engine import Database
from cattery.errors import NotFoundError, UnavailableError
from cattery.events.model import Answer
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.local import LocalRuntime

SECRET = "a secret of at least thirty-two bytes, for tests"
API = "/api/v1"


class RecordedLifecycles(Lifecycles):
    """Remembers what the routes asked for. `away` plays an orchestrator that cannot be reached."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.open_questions: set[str] = set()
        self.away = False

    def _note(self, *call: object) -> None:
        if self.away:
            raise UnavailableError("The orchestrator cannot be reached. Try again in a moment.")
        self.calls.append(call)

    @override
    async def start_sandbox(self, harness_id: HarnessId) -> None:
        self._note("start_sandbox", str(harness_id))

    @override
    async def stop_sandbox(self, harness_id: HarnessId) -> None:
        self._note("stop_sandbox", str(harness_id))

    @override
    async def ensure_file_manager(
        self, project_id: ProjectId | None, *, lost: int | None = None
    ) -> None:
        self._note("ensure_file_manager", str(project_id), lost)

    @override
    async def capture_log(self, harness_id: HarnessId, lines: int) -> None:
        self._note("capture_log", str(harness_id), lines)

    @override
    async def delete_harness(self, harness_id: HarnessId) -> None:
        self._note("delete_harness", str(harness_id))

    @override
    async def delete_project(self, project_id: ProjectId) -> None:
        self._note("delete_project", str(project_id))

    @override
    async def delete_user(self, user_id: UserId) -> None:
        self._note("delete_user", str(user_id))

    @override
    async def undo_deletion(self, deletion: DeletionRecord, by: str) -> None:
        self._note("undo_deletion", str(deletion.deletion_id), by)

    @override
    async def hurry_deletion(self, deletion: DeletionRecord) -> None:
        self._note("hurry_deletion", str(deletion.deletion_id))

    @override
    async def retry_deletion(self, deletion: DeletionRecord) -> None:
        self._note("retry_deletion", str(deletion.deletion_id))

    @override
    async def force_deletion(self, deletion: DeletionRecord, by: str, reason: str) -> None:
        self._note("force_deletion", str(deletion.deletion_id), by, reason)

    @override
    async def open_session(self, session_id: SessionId) -> None:
        self._note("open_session", str(session_id))

    @override
    async def delete_session(self, session_id: SessionId) -> None:
        self._note("delete_session", str(session_id))

    @override
    async def submit_prompt(self, session_id: SessionId, prompt_id: PromptId) -> None:
        self._note("submit_prompt", str(session_id), str(prompt_id))

    @override
    async def abort_turn(self, session_id: SessionId, stopped_by: str) -> None:
        self._note("abort_turn", str(session_id), stopped_by)

    @override
    async def answer_question(
        self, session_id: SessionId, question_id: str, answers: Sequence[Answer]
    ) -> None:
        if question_id not in self.open_questions:
            raise NotFoundError("open question")
        self._note("answer_question", str(session_id), question_id, tuple(answers))


def cheap_passwords() -> Passwords:
    """Real argon2 at a cost that suits tests."""
    return Passwords(Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1))


@dataclass
class Person:
    """Somebody who is signed in, and their client."""

    name: str
    user_id: str
    token: str
    client: httpx.AsyncClient

    async def call(self, method: str, path: str, **options: object) -> httpx.Response:
        return await self.client.request(method, API + path, **options)  # type: ignore[arg-type]

    async def get(self, path: str, **options: object) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: object = None, **options: object) -> httpx.Response:
        return await self.call("POST", path, json=json, **options)

    async def patch(self, path: str, json: object = None, **options: object) -> httpx.Response:
        return await self.call("PATCH", path, json=json, **options)

    async def delete(self, path: str, **options: object) -> httpx.Response:
        return await self.call("DELETE", path, **options)

    async def make_project(self, name: str | None = "Cats") -> JsonObject:
        return made(await self.post("/projects", {"project_name": name}))

    async def make_harness(self, project: JsonObject, **fields: object) -> JsonObject:
        body = {"harness_name": "Tom", "model": "gpt-5.5", **fields}
        return made(await self.post(f"/projects/{project['project_id']}/harnesses", body))

    async def make_session(self, harness: JsonObject) -> JsonObject:
        return made(await self.post(f"/harnesses/{harness['harness_id']}/sessions", {}))


@dataclass
class Site:
    """One app and the people on it."""

    app: FastAPI
    database: Database
    lifecycles: RecordedLifecycles
    people: list[Person] = field(default_factory=list)

    async def sign_up(self, name: str, *, is_admin: bool = False, password: str = "") -> Person:
        password_hash = await cheap_passwords().hash(password) if password else "no password"
        async with self.database.write() as session:
            user = await users.create_user(session, name, password_hash, is_admin=is_admin)
        return await self.sign_in(name, user.user_id)

    async def sign_in(self, name: str, user_id: UserId) -> Person:
        """Open one more sign-in of a user, without the password."""
        lifetime = timedelta(hours=1)
        async with self.database.write() as session:
            auth_session_id = await users.add_sign_in(session, user_id, lifetime)
        signer = TokenSigner(SECRET, lifetime)
        token = signer.sign(TokenClaims(user_id, auth_session_id), utc_now())
        client = self.client(headers={"Authorization": f"Bearer {token}"})
        person = Person(name, str(user_id), token, client)
        self.people.append(person)
        return person

    def client(
        self, *, address: str = "203.0.113.1", headers: dict[str, str] | None = None
    ) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 40_000))
        return httpx.AsyncClient(
            transport=transport, base_url="http://cattery.test", headers=headers
        )

    async def make_workspace(self, project: JsonObject) -> None:
        """Make a project's workspace, as a worker does when the project is made."""
        parts: Parts = self.app.state.parts
        assert isinstance(parts.runtime, LocalRuntime)
        await parts.runtime.create_workspace(ProjectId(UUID(str(project["project_id"]))))

    async def close(self) -> None:
        for person in self.people:
            await person.client.aclose()


def made(response: httpx.Response) -> JsonObject:
    """Return what a 201 made."""
    assert response.status_code == 201, response.text
    body: JsonObject = response.json()
    return body


def refused(response: httpx.Response, status: int, *words: str) -> None:
    """Check that an answer is the contract's error, and that its sentence has some words."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"message", "code"}
    assert body["message"].endswith((".", "?"))
    assert all(word in body["message"] for word in words), body["message"]
