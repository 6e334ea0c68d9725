"""A start's row while it is under way: what is reported gets there, and holds nothing up."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import psycopg
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.sandbox_progress import ProgressWriter
from cattery.db import harnesses, projects, users
from cattery.db.engine import Database
from cattery.db.sandbox_rows import SandboxRows, find_token_owner
from cattery.ids import HarnessId
from cattery.sandboxes.port import Report, Step, StepName, Waiting
from cattery.temporal.messages import SandboxProgress
from tests.conformance import eventually

AT = datetime(2026, 11, 26, tzinfo=UTC)
GENERATION = 1


class Workflow:
    """A client that knows one workflow, which keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def get_workflow_handle(self, workflow_id: str) -> "Workflow":
        assert workflow_id
        return self

    async def signal(self, name: str, note: SandboxProgress) -> None:
        assert name == "progress"
        self.told.append(note.text)


async def make_start(database: Database) -> HarnessId:
    new = harnesses.NewHarness(name="h", model="gpt-5.5", type="opencode", env_vars={})
    async with database.write() as rows:
        owner = (await users.create_user(rows, "ada", "x", is_admin=False)).user_id
        project = (await projects.create_project(rows, owner, "P")).project_id
        made = (await harnesses.create_harness(rows, project, owner, new)).harness_id
        await SandboxRows(rows, made, GENERATION).begin("password")
    return made


async def test_a_start_that_follows_a_lost_sandbox_ends_that_ones_token(database: Database) -> None:
    harness = await make_start(database)
    async with database.write() as rows:
        await SandboxRows(rows, harness, GENERATION).add_token(b"lost")
        next_one = SandboxRows(rows, harness, GENERATION + 1)
        assert await next_one.begin("password")
        await next_one.add_token(b"new")
    async with database.write() as rows:  # a try that comes again keeps its own
        assert await SandboxRows(rows, harness, GENERATION + 1).begin("another")
    assert await find_token_owner(database, b"lost") is None
    assert await find_token_owner(database, b"new") is not None


async def write(
    database: Database, harness: HarnessId, act: Callable[[Report], Awaitable[None]]
) -> Workflow:
    """Report as a start does, in an activity."""
    workflow = Workflow()

    async def start() -> None:
        async with ProgressWriter(database, harness, GENERATION).writing() as report:
            await act(report)

    await ActivityEnvironment(client=cast(Client, workflow)).run(start)
    return workflow


def read(url: str) -> tuple[list[str], str | None]:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT steps, waiting FROM harness").fetchone()
    assert row is not None
    return [f"{step['name']} {step['detail']}" for step in row[0]], row[1]


async def test_a_row_that_is_locked_holds_no_start_up(
    database: Database, database_url: str
) -> None:
    harness = await make_start(database)
    holder = psycopg.connect(database_url)
    holder.execute("SELECT 1 FROM harness FOR UPDATE")

    async def act(report: Report) -> None:
        async with asyncio.timeout(1):
            for detail in ("one", "two"):
                await report(Step(StepName.SCHEDULED, AT, None, detail))
        asyncio.get_running_loop().call_later(0.2, holder.rollback)

    try:
        await write(database, harness, act)
    finally:
        holder.close()
    assert read(database_url) == (["scheduled two"], None)


async def test_a_row_shows_what_comes_as_it_comes(database: Database, database_url: str) -> None:
    harness = await make_start(database)

    async def act(report: Report) -> None:
        for reason in ("no room", None):
            await report(Waiting(reason))
            await eventually(lambda: read(database_url)[1] == reason)  # noqa: B023 - awaited here

    await write(database, harness, act)


async def test_the_workflow_is_told_only_of_what_lasts(database: Database) -> None:
    harness = await make_start(database)

    async def act(report: Report) -> None:
        await report(Step(StepName.IMAGE, AT, None, "pulling"))
        await report(Step(StepName.IMAGE, AT, AT))
        await report(Step(StepName.STARTED, AT))
        await asyncio.sleep(2.5)

    assert (await write(database, harness, act)).told == ["started: under way"]
