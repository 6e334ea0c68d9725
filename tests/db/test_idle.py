"""Suspending and using a sandbox at the same moment: one comes first, and the other one sees it."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import text

from cattery.auth.sandbox_tokens import hash_token, new_token
from cattery.db import (
    deletion_course,
    deletions,
    harnesses,
    leases,
    projects,
    prompts,
    sessions,
    timeline,
    users,
)
from cattery.db.engine import Database
from cattery.db.harnesses import NewHarness
from cattery.db.idle import FIND_IDLE, claim_idle, find_idle, in_words
from cattery.db.leases import hold_lease, release_lease
from cattery.db.prompts import PromptAuthor
from cattery.db.sandbox_tokens import DatabaseTokenVerifier
from cattery.db.timeline import KEPT, Happening, list_timeline, record
from cattery.errors import CatteryError
from cattery.ids import HarnessId, ProjectId, SessionId, UserId

HALF_AN_HOUR = timedelta(minutes=30)


@dataclass(frozen=True)
class Ids:
    user: UserId
    project: ProjectId
    harness: HarnessId
    session: SessionId


@pytest.fixture
async def ids(database: Database) -> Ids:
    """A harness that is ready and was used an hour ago, with an open session."""
    async with database.write() as rows:
        user = await users.create_user(rows, "ada", "no password", is_admin=False)
        project = await projects.create_project(rows, user.user_id, None)
        wanted = NewHarness(None, "gpt-5.5", "opencode", {})
        harness = await harnesses.create_harness(rows, project.project_id, user.user_id, wanted)
        made = await sessions.create_session(
            rows, project.project_id, harness.harness_id, user.user_id, theme="dark"
        )
        await rows.execute(text("UPDATE session SET status = 'ready'"))
        await rows.execute(
            text(
                "UPDATE harness SET status = 'ready', generation = 1,"
                " used_at = now() - interval '1 hour'"
            )
        )
    return Ids(user.user_id, project.project_id, harness.harness_id, made.session_id)


async def accept(database: Database, ids: Ids) -> None:
    async with database.quick() as rows:
        author = PromptAuthor(ids.user, "ada")
        await prompts.accept_prompt(rows, ids.session, author, "Hi", None)


async def claim(database: Database, ids: Ids, generation: int = 1) -> bool:
    async with database.write() as rows:
        return await claim_idle(rows, ids.harness, generation, HALF_AN_HOUR)


async def kinds(database: Database, ids: Ids) -> list[str]:
    async with database.read() as rows:
        found = await list_timeline(rows, ids.harness, before=None, limit=1_000)
    return [entry.kind for entry in found]


async def test_a_prompt_that_is_being_accepted_is_waited_for_and_keeps_it_awake(
    database: Database, ids: Ids
) -> None:
    async with database.quick() as rows:
        author = PromptAuthor(ids.user, "ada")
        await prompts.accept_prompt(rows, ids.session, author, "Hi", None)
        claiming = asyncio.create_task(claim(database, ids))
        await asyncio.sleep(0.3)
        assert not claiming.done()
    assert await claiming is False


async def test_a_prompt_that_comes_while_it_is_claimed_is_accepted_after_it(
    database: Database, ids: Ids
) -> None:
    async with database.write() as rows:
        assert await claim_idle(rows, ids.harness, 1, HALF_AN_HOUR)
        accepting = asyncio.create_task(accept(database, ids))
        await asyncio.sleep(0.3)
        assert not accepting.done()
    await accepting
    assert (await kinds(database, ids))[:2] == ["woken", "suspended"]


async def test_a_claim_is_safe_to_repeat_and_of_one_generation(
    database: Database, ids: Ids
) -> None:
    assert not await claim(database, ids, generation=2)
    assert await claim(database, ids)
    assert await claim(database, ids)
    assert (await kinds(database, ids)).count("suspended") == 1


async def test_prompts_leases_names_claims_and_deletions_at_once_never_block_each_other(
    database: Database, ids: Ids
) -> None:
    async def attach(number: int) -> None:
        async with database.write() as rows:
            await hold_lease(rows, ids.harness, f"terminal/{number}", HALF_AN_HOUR)
        async with database.write() as rows:
            await release_lease(rows, ids.harness, f"terminal/{number}")

    async def open_session() -> None:
        async with database.write() as rows:
            await sessions.create_session(rows, ids.project, ids.harness, ids.user, theme="dark")

    async def rename(number: int) -> None:
        async with database.write() as rows:
            await harnesses.rename_harness(rows, ids.project, ids.harness, f"Tom {number}")

    async def keep_awake() -> None:
        async with database.write() as rows:
            await leases.keep_awake(rows, ids.project, ids.harness, HALF_AN_HOUR, ids.user)
        async with database.write() as rows:
            await leases.let_sleep(rows, ids.project, ids.harness, ids.user)

    async def delete() -> None:
        await asyncio.sleep(0.05)
        async with database.write() as rows:
            await rows.execute(text("UPDATE harness SET deleting_at = now()"))
            await asyncio.sleep(0.05)
            await rows.execute(text("UPDATE session SET deleting_at = now()"))

    work: list[Awaitable[object]] = [claim(database, ids) for _ in range(10)]
    work += [accept(database, ids) for _ in range(10)]
    work += [open_session() for _ in range(10)]
    work += [attach(number) for number in range(10)]
    work += [rename(number) for number in range(10)]
    work += [keep_awake() for _ in range(10)]
    results = await asyncio.gather(*work, delete(), return_exceptions=True)
    failures = [one for one in results if isinstance(one, BaseException)]
    assert not [one for one in failures if not isinstance(one, CatteryError)], failures


async def test_only_what_runs_and_rests_for_long_enough_is_found(
    database: Database, ids: Ids
) -> None:
    async def found(default: timedelta = HALF_AN_HOUR) -> int:
        async with database.read() as rows:
            return len(await find_idle(rows, default))

    assert await found() == 1
    assert await found(timedelta(hours=2)) == 0
    assert await found(timedelta(0)) == 0
    for change in (
        "UPDATE harness SET status = 'starting'",
        "UPDATE harness SET status = 'ready', deleting_at = now()",
        "UPDATE harness SET deleting_at = NULL, idle_timeout_seconds = 7200",
        "UPDATE harness SET idle_timeout_seconds = 0",
    ):
        async with database.write() as rows:
            await rows.execute(text(change))
        assert await found() == 0, change
    async with database.write() as rows:
        await rows.execute(text("UPDATE harness SET idle_timeout_seconds = 600"))
    assert await found(timedelta(0)) == 1
    async with database.write() as rows:
        await rows.execute(text("UPDATE session SET status = 'creating'"))
    assert await found() == 0


async def test_a_model_call_is_a_use(database: Database, ids: Ids) -> None:
    token = new_token()
    async with database.write() as rows:
        await rows.execute(
            text(
                "INSERT INTO sandbox_token (token_hash, harness_id, generation)"
                " VALUES (:hash, :harness, 1)"
            ),
            {"hash": hash_token(token), "harness": ids.harness},
        )
    verifier = DatabaseTokenVerifier(database)
    owner = await verifier.verify(token)
    assert owner is not None
    async with database.read() as rows:
        assert await find_idle(rows, HALF_AN_HOUR) == []


async def test_a_timeline_keeps_the_newest_lines_and_none_twice_in_a_row(
    database: Database, ids: Ids
) -> None:
    async with database.write() as rows:
        for number in range(KEPT + 20):
            await record(rows, ids.harness, Happening.RENAMED, by=ids.user, detail=f"To {number}.")
            await record(rows, ids.harness, Happening.RENAMED, by=ids.user, detail=f"To {number}.")
    async with database.read() as rows:
        everything = await list_timeline(rows, ids.harness, before=None, limit=2 * KEPT)
        page = await list_timeline(rows, ids.harness, before=everything[9].entry_id, limit=3)
    assert len(everything) == KEPT
    assert everything[0].detail == f"To {KEPT + 19}."
    assert page == everything[10:13]
    assert {entry.by for entry in everything} == {"ada"}


async def test_the_name_of_who_did_it_outlives_the_user(database: Database, ids: Ids) -> None:
    async with database.write() as rows:
        bob = await users.create_user(rows, "bob", "no password", is_admin=False)
        await record(rows, ids.harness, Happening.START_ASKED, by=bob.user_id)
        await rows.execute(text("DELETE FROM app_user WHERE id = :id"), {"id": bob.user_id})
    async with database.read() as rows:
        (newest, *_) = await timeline.list_timeline(rows, ids.harness, before=None, limit=10)
    assert (newest.kind, newest.by) == ("start_asked", "bob")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (119, "119 seconds"),
        (1_800, "30 minutes"),
        (3_600, "1 hour"),
        (5_400, "90 minutes"),
        (86_400, "1 day"),
        (3 * 86_400, "3 days"),
    ],
)
def test_spans_are_said_in_words(seconds: int, words: str) -> None:
    assert in_words(timedelta(seconds=seconds)) == words


async def test_nobody_keeps_a_harness_awake_that_is_being_deleted(
    database: Database, ids: Ids
) -> None:
    async with database.write() as rows:
        await rows.execute(text("UPDATE harness SET deleting_at = now()"))
    async with database.write() as rows:
        await leases.keep_awake(rows, ids.project, ids.harness, HALF_AN_HOUR, ids.user)
    async with database.read() as rows:
        assert await rows.scalar(text("SELECT count(*) FROM sandbox_lease")) == 0


async def test_the_timeline_of_a_harness_that_was_brought_back_tells_of_both(
    database: Database, ids: Ids
) -> None:
    async with database.write() as rows:
        asker = deletions.Asker(ids.user, "ada")
        deletion = await deletions.delete_harness(
            rows, asker, ids.project, ids.harness, grace=timedelta(hours=1)
        )
    async with database.write() as rows:
        await deletion_course.undo(rows, deletion, "bob")
    async with database.read() as rows:
        found = await list_timeline(rows, ids.harness, before=None, limit=2)
    assert [(entry.kind, entry.by) for entry in found] == [
        ("deletion_undone", "bob"),
        ("deletion_asked", "ada"),
    ]


async def test_the_look_costs_by_the_sandboxes_that_run_and_not_by_all_there_are(
    database: Database, ids: Ids
) -> None:
    async with database.write() as rows:
        await rows.execute(
            text(
                "INSERT INTO harness (id, project_id, type, model, env_vars, status)"
                " SELECT gen_random_uuid(), :project, 'opencode', 'gpt-5.5', '{}',"
                " CASE WHEN n % 200 = 0 THEN 'ready' ELSE 'idle' END"
                " FROM generate_series(1, 10000) n"
            ),
            {"project": ids.project},
        )
    async with database.read() as rows:
        await rows.execute(text("ANALYZE harness, session, prompt, sandbox_lease"))
        explained = await rows.scalars(
            text(f"EXPLAIN {FIND_IDLE}"), {"default": 1_800.0, "limit": 200}
        )
        plan = "\n".join(explained)
    assert "ix_harness_ready" in plan, plan
    assert "Seq Scan on harness" not in plan, plan
