"""The routes of deletions: who sees what is being deleted, the way back, and what is stuck."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from cattery.db import deletion_course
from cattery.deletion_states import DeletionKind
from cattery.ids import DeletionId
from cattery.jsontypes import JsonObject
from cattery.settings import ApiSettings
from tests.api.site import SECRET, Person, Site, refused

WORKFLOW = "project-teardown/1"
HITCH: JsonObject = {
    "step": "deleting the files",
    "reason": "The volume does not end.",
    "since": "2026-11-26T09:00:00Z",
    "attempts": 5,
    "next_try_at": "2026-11-26T09:01:00Z",
}


async def deletion_of(person: Person, object_id: object) -> JsonObject:
    found = (await person.get("/deletions")).json()
    (one,) = [deletion for deletion in found if deletion["object_id"] == object_id]
    body: JsonObject = one
    return body


async def get_stuck(site: Site, deletion: JsonObject) -> None:
    deletion_id = DeletionId(UUID(str(deletion["deletion_id"])))
    async with site.database.write() as session:
        await deletion_course.commit(session, deletion_id)
        await deletion_course.note_hitch(session, deletion_id, WORKFLOW, HITCH)


async def test_a_project_waits_a_day_in_which_its_owner_can_bring_it_back(
    site: Site, ada: Person, bob: Person
) -> None:
    project = await ada.make_project("Cats")
    project_id = project["project_id"]
    assert (await ada.delete(f"/projects/{project_id}")).status_code == 204
    deletion = await deletion_of(ada, project_id)
    expected = {
        "kind": "project",
        "name": "Cats",
        "requested_by": "ada",
        "phase": "grace",
        "stuck": [],
        "forced": [],
        "may_undo": True,
        "may_hurry": True,
        "may_retry": False,
        "may_force": False,
        "ended_at": None,
    }
    assert {key: deletion[key] for key in expected} == expected
    assert str(deletion["due_at"])[:10] > str(deletion["requested_at"])[:10]

    path = f"/deletions/{deletion['deletion_id']}"
    refused(await bob.get(path), 404)
    refused(await bob.post(f"{path}/undo"), 404)
    assert (await bob.get("/deletions")).json() == []
    refused(await ada.get(f"/projects/{project_id}"), 404)
    refused(await ada.delete(f"/projects/{project_id}"), 404)
    assert (await ada.post(f"{path}/undo")).status_code == 204
    assert (await ada.post(f"{path}/delete-now")).status_code == 204
    hurried = (await ada.get(path)).json()
    due, asked = [datetime.fromisoformat(hurried[name]) for name in ("due_at", "requested_at")]
    assert due - asked < timedelta(hours=1)
    assert site.lifecycles.calls[-2:] == [
        ("undo_deletion", deletion["deletion_id"], "ada"),
        ("hurry_deletion", deletion["deletion_id"]),
    ]


async def test_a_harness_has_no_grace_unless_the_site_says_so(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    harness = await ada.make_harness(project)
    await ada.delete(f"/harnesses/{harness['harness_id']}")
    deletion = await deletion_of(ada, harness["harness_id"])
    assert deletion["due_at"] == deletion["requested_at"]
    assert (deletion["name"], deletion["project_id"]) == ("Tom", project["project_id"])
    assert site.lifecycles.calls[-1] == ("delete_harness", harness["harness_id"])


async def test_what_is_stuck_says_why_and_is_tried_again_or_forced(
    site: Site, ada: Person, root: Person
) -> None:
    project = await ada.make_project()
    await ada.delete(f"/projects/{project['project_id']}")
    deletion = await deletion_of(ada, project["project_id"])
    path = f"/deletions/{deletion['deletion_id']}"
    refused(await ada.post(f"{path}/retry"), 409, "not stuck")
    await get_stuck(site, deletion)

    stuck = (await ada.get(path)).json()
    assert (stuck["phase"], stuck["may_retry"], stuck["may_force"]) == ("stuck", True, False)
    assert stuck["stuck"] == [HITCH]
    refused(await ada.post(f"{path}/undo"), 409, "point of no return")
    refused(await ada.post(f"{path}/delete-now"), 409)
    assert (await ada.post(f"{path}/retry")).status_code == 204
    wish = {"reason": "The volume is known to be empty."}
    refused(await ada.post(f"{path}/force", wish), 403)
    refused(await root.post(f"{path}/force", {"reason": ""}), 400)
    assert (await root.get(path)).json()["may_force"]
    assert (await root.post(f"{path}/force", wish)).status_code == 204
    assert site.lifecycles.calls[-1] == (
        "force_deletion",
        deletion["deletion_id"],
        "root",
        wish["reason"],
    )


async def test_only_admins_know_of_users_who_are_being_deleted(
    site: Site, ada: Person, bob: Person, root: Person
) -> None:
    project = await ada.make_project()
    response = await root.delete(f"/admin/users/{ada.user_id}?heir={bob.user_id}")
    assert response.status_code == 204
    deletion = await deletion_of(root, ada.user_id)
    assert (deletion["kind"], deletion["name"], deletion["heir"]) == ("user", "ada", "bob")
    assert (await bob.get("/deletions")).json() == []
    refused(await ada.get("/projects"), 401)
    assert site.lifecycles.calls[-1] == ("delete_user", ada.user_id)
    assert project


@pytest.mark.parametrize("heir", ["nobody", "00000000-0000-4000-8000-000000000000", "themself"])
async def test_an_heir_must_be_another_user(ada: Person, root: Person, heir: str) -> None:
    given = ada.user_id if heir == "themself" else heir
    refused(await root.delete(f"/admin/users/{ada.user_id}?heir={given}"), 400, "heir")
    assert (await ada.get("/projects")).status_code == 200


async def test_what_is_undone_or_done_is_told_for_a_while(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    await ada.delete(f"/projects/{project['project_id']}")
    deletion = await deletion_of(ada, project["project_id"])
    async with site.database.write() as session:
        deletion_id = DeletionId(UUID(str(deletion["deletion_id"])))
        await deletion_course.undo(session, deletion_id, "ada")
    assert (await ada.get(f"/projects/{project['project_id']}")).status_code == 200
    undone = await deletion_of(ada, project["project_id"])
    assert (undone["phase"], undone["ended_by"], undone["may_undo"]) == ("undone", "ada", False)
    response = await ada.post(f"/deletions/{deletion['deletion_id']}/undo")
    assert response.status_code == 204, "to undo twice is to undo once"


async def test_an_id_that_is_none_is_not_found(ada: Person) -> None:
    for path in ("/deletions/nothing", "/deletions/00000000-0000-4000-8000-000000000000"):
        refused(await ada.get(path), 404)


def test_the_grace_of_a_kind_goes_before_that_of_all() -> None:
    def settings(**given: object) -> ApiSettings:
        return ApiSettings.model_validate({"jwt_secret": SECRET, **given})

    day = timedelta(days=1)
    default = settings()
    assert [default.grace_of(kind) for kind in DeletionKind] == [timedelta(0), day, day]
    hour = settings(deletion_grace="PT1H", deletion_grace_user="P7D")
    assert [hour.grace_of(kind) for kind in DeletionKind] == [
        timedelta(hours=1),
        timedelta(hours=1),
        timedelta(days=7),
    ]
    none = settings(deletion_grace="PT0S")
    assert {none.grace_of(kind) for kind in DeletionKind} == {timedelta(0)}
