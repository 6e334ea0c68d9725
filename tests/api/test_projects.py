"""Projects and their members."""

import asyncio
import json

import pytest

from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site, made, refused


async def share(owner: Person, project: JsonObject, member: Person) -> JsonObject:
    path = f"/projects/{project['project_id']}/members"
    return made(await owner.post(path, {"username": member.name}))


async def test_a_project_is_made_listed_and_read(ada: Person) -> None:
    project = await ada.make_project("Cats")
    assert project == {
        "project_id": project["project_id"],
        "owner_user_id": ada.user_id,
        "project_name": "Cats",
        "access_role": "owner",
        "owner_username": "ada",
        "created_at": project["created_at"],
    }
    assert (await ada.get("/projects")).json() == [project]
    assert (await ada.get(f"/projects/{project['project_id']}")).json() == project


async def test_a_project_needs_no_name(ada: Person) -> None:
    assert (await ada.make_project(None))["project_name"] is None
    assert made(await ada.post("/projects", {}))["project_name"] is None


@pytest.mark.parametrize("name", [5, ["x"], "x" * 10_000, "nul\0", "\ud800"])
async def test_a_bad_name_is_refused_and_nothing_written(ada: Person, name: object) -> None:
    body = json.dumps({"project_name": name})
    headers = {"Content-Type": "application/json"}
    refused(await ada.call("POST", "/projects", content=body, headers=headers), 400)
    assert (await ada.get("/projects")).json() == []


async def test_own_projects_come_first_then_shared_each_newest_first(
    ada: Person, bob: Person
) -> None:
    mine, shared = [], []
    for n in range(2):
        mine.append(await ada.make_project(f"mine {n}"))
        project = await bob.make_project(f"shared {n}")
        await share(bob, project, ada)
        shared.append(project)
    listed = (await ada.get("/projects")).json()
    assert [p["project_id"] for p in listed] == [
        p["project_id"] for p in [*reversed(mine), *reversed(shared)]
    ]
    assert [p["access_role"] for p in listed] == ["owner", "owner", "member", "member"]
    assert listed[2]["owner_username"] == "bob"


async def test_renaming_is_for_the_owner_and_needs_a_name(ada: Person, bob: Person) -> None:
    project = await ada.make_project()
    path = f"/projects/{project['project_id']}"
    await share(ada, project, bob)
    renamed = await ada.patch(path, {"project_name": "Dogs"})
    assert renamed.json() == {**project, "project_name": "Dogs"}
    refused(await bob.patch(path, {"project_name": "Mine"}), 403)
    for body in ({}, {"project_name": None}):
        refused(await ada.patch(path, body), 400, "project_name")


async def test_a_deleted_project_is_gone_at_once_with_all_in_it(
    site: Site, ada: Person, bob: Person
) -> None:
    project = await ada.make_project()
    harness = await ada.make_harness(project)
    session = await ada.make_session(harness)
    await share(ada, project, bob)
    path = f"/projects/{project['project_id']}"
    refused(await bob.delete(path), 403)
    assert (await ada.delete(path)).status_code == 204
    assert site.lifecycles.calls[-1] == ("delete_project", project["project_id"])
    for gone in (
        path,
        f"{path}/members",
        f"{path}/harnesses",
        f"/harnesses/{harness['harness_id']}",
        f"/harnesses/{harness['harness_id']}/sessions",
        f"/sessions/{session['session_id']}",
    ):
        refused(await ada.get(gone), 404)
    refused(await ada.post(f"/harnesses/{harness['harness_id']}/sessions", {}), 404)
    refused(await ada.delete(path), 404)
    assert (await bob.get("/projects")).json() == []


async def test_a_deletion_stands_though_the_orchestrator_is_away(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    site.lifecycles.away = True
    assert (await ada.delete(f"/projects/{project['project_id']}")).status_code == 204
    assert (await ada.get("/projects")).json() == []


async def test_two_deletions_at_once_are_one(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    answers = await asyncio.gather(
        *(ada.delete(f"/projects/{project['project_id']}") for _ in range(5))
    )
    assert sorted(a.status_code for a in answers) == [204, 404, 404, 404, 404]
    assert len(site.lifecycles.calls) == 1


async def test_foreign_and_unknown_projects_are_not_found_for_anybody_admins_included(
    ada: Person, bob: Person, root: Person
) -> None:
    project = await ada.make_project()
    for person in (bob, root):
        refused(await person.get(f"/projects/{project['project_id']}"), 404)
        assert (await person.get("/projects")).json() == []
    for odd in ("00000000-0000-0000-0000-000000000000", "x", "%00", "1" * 5_000, "{}"):
        refused(await ada.get(f"/projects/{odd}"), 404)


async def test_members_are_added_once_and_listed_by_name(
    site: Site, ada: Person, bob: Person
) -> None:
    project = await ada.make_project()
    zoe = await site.sign_up("zoe")
    await share(ada, project, zoe)
    first = await share(ada, project, bob)
    again = await share(ada, project, bob)
    assert first == again
    assert first == {
        "project_id": project["project_id"],
        "user_id": bob.user_id,
        "username": "bob",
        "role": "member",
        "created_at": first["created_at"],
    }
    listed = (await bob.get(f"/projects/{project['project_id']}/members")).json()
    assert [m["username"] for m in listed] == ["bob", "zoe"]


async def test_adding_a_member_many_times_at_once_adds_one(ada: Person, bob: Person) -> None:
    path = f"/projects/{(await ada.make_project())['project_id']}/members"
    answers = await asyncio.gather(*(ada.post(path, {"username": " BOB "}) for _ in range(10)))
    assert {a.status_code for a in answers} == {201}
    assert len((await ada.get(path)).json()) == 1


async def test_only_the_owner_adds_and_only_users_who_exist(ada: Person, bob: Person) -> None:
    project = await ada.make_project()
    path = f"/projects/{project['project_id']}/members"
    refused(await ada.post(path, {"username": "nobody"}), 404)
    refused(await ada.post(path, {"username": "ada"}), 400)
    for body in ({}, {"username": None}):
        refused(await ada.post(path, body), 400)
    await share(ada, project, bob)
    refused(await bob.post(path, {"username": "ada"}), 403)


async def test_members_may_leave_and_owners_may_remove(
    site: Site, ada: Person, bob: Person
) -> None:
    zoe = await site.sign_up("zoe")
    project = await ada.make_project()
    path = f"/projects/{project['project_id']}/members"
    await share(ada, project, bob)
    await share(ada, project, zoe)
    refused(await bob.delete(f"{path}/{zoe.user_id}"), 403)
    assert (await bob.delete(f"{path}/{bob.user_id}")).status_code == 204
    refused(await bob.get(path), 404)
    assert (await ada.delete(f"{path}/{zoe.user_id}")).status_code == 204
    for user_id in (zoe.user_id, ada.user_id, "nonsense"):
        refused(await ada.delete(f"{path}/{user_id}"), 404)
