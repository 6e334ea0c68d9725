"""A whole platform for one test: real Temporal, a database, real harness processes, workers."""

import asyncio
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import func, select
from temporalio.client import Client

from activities.deletion_course import DeletionPatience
from activities.idle import NEVER
from activities.lost_work import AT_ONCE
from activities.sweep import SweepActivities
from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import harnesses, projects, prompts, sessions, users
from cattery.db.engine import Database, connect
from cattery.db.event_log import read_events
from cattery.db.states import HarnessStatus, SessionStatus
from cattery.db.tables import Base, DeletionRow
from cattery.events.history import fold_history
from cattery.events.model import EventType, LoggedEvent
from cattery.harnesses.port import HarnessType, Launch, LaunchInput
from cattery.ids import HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import SandboxRuntime
from cattery.sandboxes.supervisor.processes import find_marked
from cattery.settings import DatabaseSettings, SandboxSettings
from cattery.temporal.messages import SweepResult
from tests.scripted_type import PROMPTS_FILE, SCRIPTED
from tests.workflows.histories import plant
from workers.process import WorkerParts, running_workers
from workers.settings import WorkerSettings

WORKER = Path(__file__).parents[1] / "scripted_type.py"
ODD_HARNESS = Path(__file__).with_name("odd_harness.py")
ODD_WORKER = Path(__file__).with_name("odd_worker.py")
NOBODY_LISTENS = "http://127.0.0.1:9"
type Registry = Mapping[str, HarnessType]


@dataclass
class Platform:
    """What a test works with: rows, lifecycles and sandboxes of one fresh installation."""

    client: Client
    database: Database
    runtime: SandboxRuntime
    lifecycles: TemporalLifecycles
    home: Path
    registry: Registry

    async def make_user(self, name: str = "ada", *, is_admin: bool = False) -> UserId:
        async with self.database.write() as rows:
            return (await users.create_user(rows, name, "x", is_admin=is_admin)).user_id

    async def make_project(self, owner: UserId) -> ProjectId:
        async with self.database.write() as rows:
            return (await projects.create_project(rows, owner, "Cats")).project_id

    async def make_harness(
        self, project: ProjectId, owner: UserId, *, env: Mapping[str, str] | None = None
    ) -> HarnessId:
        made = harnesses.NewHarness(
            name="Tom", model="gpt-5.5", type="opencode", env_vars=dict(env or {})
        )
        plant(*made.env_vars.values())
        async with self.database.write() as rows:
            return (await harnesses.create_harness(rows, project, owner, made)).harness_id

    async def make_session(
        self, project: ProjectId, harness: HarnessId, owner: UserId
    ) -> SessionId:
        async with self.database.write() as rows:
            made = await sessions.create_session(rows, project, harness, owner, theme="dark")
        await self.lifecycles.open_session(made.session_id)
        return made.session_id

    async def store_prompt(self, session: SessionId, user: UserId, text: str) -> PromptId:
        """Accept a prompt and tell no workflow, as an API does that dies in between."""
        plant(text)
        author = prompts.PromptAuthor(user, "ada")
        async with self.database.quick() as rows:
            return (await prompts.accept_prompt(rows, session, author, text, None)).prompt_id

    async def prompt(self, session: SessionId, user: UserId, text: str) -> PromptId:
        prompt_id = await self.store_prompt(session, user, text)
        await self.lifecycles.submit_prompt(session, prompt_id)
        return prompt_id

    async def sweep(self, *, idle_timeout: timedelta = NEVER) -> SweepResult:
        """Sweep once, as if all that waits had waited for long."""
        return await SweepActivities(
            self.database,
            self.runtime,
            self.client,
            patience=AT_ONCE,
            idle_timeout=idle_timeout,
        ).run()

    async def events(self, session: SessionId) -> list[LoggedEvent]:
        return await read_events(self.database, session)

    async def wait_for_rest(self, session: SessionId) -> None:
        """Wait until the rows say too that no turn runs: they follow the log's last event."""

        async def rests() -> bool:
            async with self.database.read() as rows:
                return not await prompts.list_open_prompts(rows, session)

        await self.until(rests, "the turns' rows to be done")

    async def wait_for_idles(self, session: SessionId, count: int) -> list[LoggedEvent]:
        await self.wait_for_events(session, EventType.SESSION_IDLE, count)
        return await self.events(session)

    async def wait_for_events(
        self, session: SessionId, kind: EventType, count: int = 1
    ) -> list[LoggedEvent]:
        """Wait for so many events of a kind, and return those."""

        async def enough() -> bool:
            return len(of_type(await self.events(session), kind)) >= count

        await self.until(enough, f"{count} of {kind}", timeout=60)
        return of_type(await self.events(session), kind)

    async def wait_for_harness(
        self, harness: HarnessId, user: UserId, status: HarnessStatus
    ) -> harnesses.HarnessRecord:
        async def reached() -> bool:
            return (await self.harness_row(harness, user)).sandbox_status is status

        await self.until(reached, f"the harness to be {status}")
        return await self.harness_row(harness, user)

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
async def platform_on(
    client: Client, database_url: str, home: Path, registry: Registry = SCRIPTED
) -> AsyncIterator[Platform]:
    """A platform without a worker. Nothing of it runs any more afterwards."""
    database = connect(DatabaseSettings(url=SecretStr(database_url)))
    runtime = LocalRuntime(
        home,
        home / "tools",
        SandboxSettings(),
        registry,
        confinement=Confinement(None, reason="the scripted harness needs this interpreter."),
    )
    lifecycles = TemporalLifecycles(client, database)
    try:
        yield Platform(client, database, runtime, lifecycles, home, registry)
    finally:
        await runtime.stop_all()
        await runtime.close()
        await database.close()


@asynccontextmanager
async def worker_on(
    platform: Platform,
    settings: WorkerSettings | None = None,
    *,
    idle_timeout: timedelta = NEVER,
    deletion_patience: DeletionPatience | None = None,
) -> AsyncIterator[None]:
    """A worker in this process."""
    parts = WorkerParts(
        platform.client,
        platform.database,
        platform.runtime,
        platform.registry,
        NOBODY_LISTENS,
        idle_timeout=idle_timeout,
        deletion_patience=deletion_patience or DeletionPatience(),
    )
    async with running_workers(parts, settings or WorkerSettings()):
        yield


@asynccontextmanager
async def worker_process(
    platform: Platform,
    number: int,
    *,
    oddity: str | None = None,
    more_env: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker as a process of its own, ready."""
    ready = platform.home.parent / f"ready-{number}"
    with (platform.home.parent / f"worker-{number}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *([str(ODD_WORKER), oddity] if oddity else [str(WORKER)]),
            stderr=log,
            env={
                "PATH": str(Path(sys.executable).parent),  # without bubblewrap: see scripted_type
                "DATABASE_URL": platform.database.url,
                "TEMPORAL_ADDRESS": platform.client.service_client.config.target_host,
                "CATTERY_HOME": str(platform.home),
                "CATTERY_WORKER_READY_FILE": str(ready),
                **(more_env or {}),
            },
        )

    async def is_ready() -> bool:
        assert process.returncode is None, "the worker ended at its start"
        return ready.exists()

    try:
        await platform.until(is_ready, "the worker to be ready")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def open_session(platform: Platform) -> tuple[UserId, HarnessId, SessionId]:
    """A session that is ready, with all that it needs."""
    user = await platform.make_user()
    project = await platform.make_project(user)
    harness = await platform.make_harness(project, user)
    session = await platform.make_session(project, harness, user)
    await wait_until_open(platform, session)
    return user, harness, session


async def wait_until_open(platform: Platform, session: SessionId) -> None:
    async def ready() -> bool:
        row = await platform.session_row(session)
        assert row.status is not SessionStatus.FAILED, row.failure
        return row.status is SessionStatus.READY

    await platform.until(ready, "the session to be ready")


def launching(argv: Callable[[LaunchInput], tuple[str, ...]]) -> Registry:
    """A registry whose one harness starts something else than the scripted harness."""

    def launch(given: LaunchInput) -> Launch:
        return Launch(argv=argv(given), env={}, files={}, links={})

    return {"opencode": dataclasses.replace(SCRIPTED["opencode"], launch=launch)}


def odd_harness(oddity: str) -> Registry:
    """A registry whose harness is the scripted one with an oddity; see `odd_harness.py`."""

    def argv(given: LaunchInput) -> tuple[str, ...]:
        launch = SCRIPTED["opencode"].launch(given)
        return (sys.executable, str(ODD_HARNESS), oddity, *launch.argv[2:])

    return launching(argv)


def of_type(events: list[LoggedEvent], kind: EventType) -> list[LoggedEvent]:
    return [event for event in events if event.type == kind]


def text_of(events: list[LoggedEvent]) -> str:
    """The text of the last answer."""
    assistant = fold_history(events)[-1]
    parts = [e["data"] for e in assistant.events if e["type"] == EventType.MESSAGE_DELTA]
    return "".join(str(p["text"]) for p in parts if isinstance(p, dict))


def said(deltas: int) -> str:
    """What the scripted harness says in a part of `size=1`."""
    return "".join(f"word{n} " for n in range(deltas))


async def count_rows(platform: Platform, table: type[Base]) -> int:
    async with platform.database.read() as rows:
        return await rows.scalar(select(func.count()).select_from(table)) or 0


def processes_of(harness: HarnessId) -> list[int]:
    """The processes that carry the mark of a harness's sandbox."""
    return find_marked(f"{harness}:")


async def assert_nothing_left(
    platform: Platform,
    *,
    users: Sequence[UserId] = (),
    projects: Sequence[ProjectId] = (),
    harnesses: Sequence[HarnessId] = (),
    sessions: Sequence[SessionId] = (),
) -> None:
    """Look for objects in every row of every table, in every path and in every process.

    The record of who deleted what is kept on purpose.
    """
    ids = [str(one) for one in (*users, *projects, *harnesses, *sessions)]
    async with platform.database.read() as rows:
        for table in Base.metadata.sorted_tables:
            if table.name == DeletionRow.__tablename__:
                continue
            for row in await rows.execute(select(table)):
                written = " ".join(str(value) for value in row)
                assert not [one for one in ids if one in written], f"{table.name}: {written}"
    paths = [str(path) for path in platform.home.rglob("*")]
    assert not [path for path in paths for one in ids if one in path]
    assert not [process for harness in harnesses for process in processes_of(harness)]
