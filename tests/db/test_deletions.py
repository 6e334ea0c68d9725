"""Deletions in the database: what they mark and unmark, whom they give to, what they count."""

from datetime import timedelta

import pytest

from cattery.auth.sandbox_tokens import hash_token
from cattery.db import deletion_course, deletions, harnesses, projects, purge, timeline, users
from cattery.db.deletions import Asker
from cattery.db.engine import Database
from cattery.db.harnesses import NewHarness
from cattery.db.sandbox_rows import SandboxRows
from cattery.db.sandbox_tokens import DatabaseTokenVerifier
from cattery.deletion_states import DeletionKind, DeletionPhase
from cattery.errors import ConflictError, NotFoundError
from cattery.ids import DeletionId, HarnessId, ProjectId, UserId, new_id
from cattery.jsontypes import JsonObject

DAY = timedelta(days=1)
HITCH: JsonObject = {"step": "ending the sandbox", "reason": "It does not end."}


async def make_user(database: Database, name: str, *, is_admin: bool = False) -> UserId:
    async with database.write() as session:
        return (await users.create_user(session, name, "x", is_admin=is_admin)).user_id


async def make_project(database: Database, owner: UserId) -> ProjectId:
    async with database.write() as session:
        return (await projects.create_project(session, owner, "Cats")).project_id


async def make_harness(database: Database, project: ProjectId, owner: UserId) -> HarnessId:
    new = NewHarness(name="Tom", model="gpt-5.5", type="opencode", env_vars={})
    async with database.write() as session:
        return (await harnesses.create_harness(session, project, owner, new)).harness_id


async def delete_project(database: Database, owner: UserId, project: ProjectId) -> DeletionId:
    async with database.write() as session:
        return await deletions.delete_project(session, Asker(owner, "ada"), project, grace=DAY)


async def undo(database: Database, deletion_id: DeletionId) -> None:
    async with database.write() as session:
        await deletion_course.undo(session, deletion_id, "ada")


async def test_what_was_deleted_before_stays_so_when_its_project_comes_back(
    database: Database,
) -> None:
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    first, second = [await make_harness(database, project, ada) for _ in range(2)]
    async with database.write() as session:
        asker = Asker(ada, "ada")
        own = await deletions.delete_harness(session, asker, project, first, grace=DAY)
    whole = await delete_project(database, ada, project)
    with pytest.raises(ConflictError, match="Its project is being deleted too"):
        await undo(database, own)
    await undo(database, whole)
    await undo(database, whole)
    left = await harnesses.list_harnesses(database, project, ada)
    assert [one.harness_id for one in left] == [second]
    await undo(database, own)
    assert len(await harnesses.list_harnesses(database, project, ada)) == 2


async def test_the_timelines_of_its_harnesses_tell_of_a_projects_deletion_and_its_return(
    database: Database,
) -> None:
    ada = await make_user(database, "ada")
    project, other = [await make_project(database, ada) for _ in range(2)]
    harness, elsewhere = [await make_harness(database, each, ada) for each in (project, other)]
    await undo(database, await delete_project(database, ada, project))
    assert await timeline_of(database, harness) == [
        ("deletion_undone", "ada", "With the project."),
        ("deletion_asked", "ada", "With the project."),
        ("created", "ada", None),
    ]
    assert await timeline_of(database, elsewhere) == [("created", "ada", None)]

    root = await make_user(database, "root", is_admin=True)
    async with database.write() as session:
        await deletions.delete_user(session, Asker(root, "root"), ada, grace=DAY)
    told = ("deletion_asked", "root", "With ada, who owns the project.")
    for each in (harness, elsewhere):
        assert (await timeline_of(database, each))[0] == told


async def test_a_grace_that_is_ended_is_over_by_its_row_too(database: Database) -> None:
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    asked = await delete_project(database, ada, project)
    async with database.write() as session:
        await deletions.end_grace(session, asked)
    async with database.read() as rows:
        course = await deletion_course.find_course(rows, DeletionKind.PROJECT, project)
    assert course.wait == timedelta(0)


async def timeline_of(
    database: Database, harness: HarnessId
) -> list[tuple[str, str | None, str | None]]:
    async with database.write() as session:
        lines = await timeline.list_timeline(session, harness, before=None, limit=9)
    return [(line.kind, line.by, line.detail) for line in lines]


async def test_a_project_comes_back_only_with_its_owner(database: Database) -> None:
    root = await make_user(database, "root", is_admin=True)
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    own = await delete_project(database, ada, project)
    async with database.write() as session:
        asker = Asker(root, "root")
        whole = await deletions.delete_user(session, asker, ada, grace=DAY)
    with pytest.raises(ConflictError, match="Its owner is being deleted too"):
        await undo(database, own)
    await undo(database, whole)
    await undo(database, own)
    async with database.read() as session:
        assert (await projects.get_project(session, project, ada)).access_role == "owner"
    with pytest.raises(NotFoundError):
        await undo(database, DeletionId(new_id()))


async def test_a_sandbox_is_worth_nothing_at_the_gateway_from_the_moment_of_the_deletion(
    database: Database,
) -> None:
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    harness = await make_harness(database, project, ada)
    async with database.write() as session:
        rows = SandboxRows(session, harness, 1)
        await rows.begin("password")
        await rows.add_token(hash_token("a token"))
    tokens = DatabaseTokenVerifier(database)
    assert await tokens.verify("a token") is not None
    await delete_project(database, ada, project)
    assert await tokens.verify("a token") is None


async def test_an_heir_who_is_gone_holds_the_handing_over_up(database: Database) -> None:
    root = await make_user(database, "root", is_admin=True)
    ada, bob = [await make_user(database, name) for name in ("ada", "bob")]
    project = await make_project(database, ada)
    async with database.write() as session:
        asker = Asker(root, "root")
        asked = await deletions.delete_user(session, asker, ada, grace=DAY, heir=bob)
        await deletion_course.commit(session, asked)
    async with database.write() as session:
        of_bob = await deletions.delete_user(session, asker, bob, grace=DAY)
    with pytest.raises(ConflictError, match="The heir bob has been deleted"):
        async with database.write() as session:
            await deletion_course.hand_over(session, asked)
    await undo(database, of_bob)
    for _ in range(2):
        async with database.write() as session:
            await deletion_course.hand_over(session, asked)
    async with database.read() as session:
        assert (await projects.get_project(session, project, bob)).owner_user_id == bob


async def test_a_deletion_is_stuck_until_the_last_of_its_hitches_is_gone(
    database: Database,
) -> None:
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    asked = await delete_project(database, ada, project)

    async def phase() -> DeletionPhase:
        async with database.read() as session:
            return (await deletions.get_deletion(session, asked, ada, is_admin=False)).phase

    async with database.write() as session:
        await deletion_course.commit(session, asked)
        await deletion_course.note_hitch(session, asked, "harness-deletion/1", HITCH)
        await deletion_course.note_hitch(session, asked, "harness-deletion/2", HITCH)
    assert await phase() is DeletionPhase.STUCK
    async with database.write() as session:
        await deletion_course.clear_hitch(session, asked, "harness-deletion/1")
    assert await phase() is DeletionPhase.STUCK
    async with database.write() as session:
        await deletion_course.clear_hitch(session, asked, "harness-deletion/2")
    assert await phase() is DeletionPhase.DELETING


async def test_every_table_with_rows_of_a_project_is_counted(database: Database) -> None:
    ada, bob = [await make_user(database, name) for name in ("ada", "bob")]
    project = await make_project(database, ada)
    await make_harness(database, project, ada)
    async with database.write() as session:
        await projects.add_member(session, project, bob)
    async with database.read() as session:
        of_project = await purge.count_rows(session, DeletionKind.PROJECT, project)
        of_bob = await purge.count_rows(session, DeletionKind.USER, bob)
    assert of_project == {"project": 1, "project_member": 1, "harness": 1, "harness_event": 1}
    assert of_bob == {"app_user": 1, "project_member": 1}


async def test_only_what_its_own_grace_is_over_for_has_anything_to_do(database: Database) -> None:
    ada = await make_user(database, "ada")
    project = await make_project(database, ada)
    harness = await make_harness(database, project, ada)
    asked = await delete_project(database, ada, project)
    async with database.read() as session:
        own = await deletion_course.find_course(session, DeletionKind.PROJECT, project)
        part = await deletion_course.find_course(session, DeletionKind.HARNESS, harness)
    assert (own.is_due, own.is_own, own.deletion_id) == (True, True, asked)
    assert own.wait is not None
    assert timedelta(hours=23) < own.wait <= DAY
    assert not part.is_due
    async with database.write() as session:
        await deletion_course.commit(session, asked)
    async with database.read() as session:
        part = await deletion_course.find_course(session, DeletionKind.HARNESS, harness)
    assert (part.is_due, part.is_own, part.wait) == (True, False, None)
