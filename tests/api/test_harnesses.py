"""Harnesses, their sandboxes, and the types of them on offer."""

import pytest
from sqlalchemy import text

from tests.api.site import Person, Site, refused


async def set_status(site: Site, harness: object, status: str) -> None:
    assert isinstance(harness, dict)
    async with site.database.write() as session:
        await session.execute(
            text("UPDATE harness SET status = :status, failure = 'it broke' WHERE id = :id"),
            {"status": status, "id": harness["harness_id"]},
        )


async def test_a_harness_is_made_and_its_sandbox_starts(site: Site, ada: Person) -> None:
    project = await ada.make_project()
    harness = await ada.make_harness(project, model=" my-own/model:1 ", env_vars={"A": "1"})
    assert harness == {
        "harness_id": harness["harness_id"],
        "project_id": project["project_id"],
        "harness_name": "Tom",
        "model": "my-own/model:1",
        "type": "opencode",
        "env_vars": {"A": "1"},
        "sandbox_status": "starting",
        "task_name": None,
        "sandbox_url": None,
        "transport_kind": "http",
        "access_role": "owner",
        "owner_username": "ada",
        "created_at": harness["created_at"],
        "project": {
            name: project[name]
            for name in ("project_id", "owner_user_id", "project_name", "created_at")
        },
        "failure": None,
        "steps": [],
        "generation": 0,
        "waiting": None,
        "runtime_events": [],
        "recoveries": [],
        "idle_timeout_seconds": None,
        "used_at": harness["used_at"],
        "suspended_at": None,
        "stopped_reason": None,
        "awake_until": None,
    }
    assert site.lifecycles.calls == [("start_sandbox", harness["harness_id"])]
    assert (await ada.get(f"/harnesses/{harness['harness_id']}")).json() == harness
    assert (await ada.get(f"/projects/{project['project_id']}/harnesses")).json() == [harness]


async def test_only_a_model_is_needed(ada: Person) -> None:
    project = await ada.make_project()
    path = f"/projects/{project['project_id']}/harnesses"
    bare = (await ada.post(path, {"model": "gpt-5.4"})).json()
    nulls = {"harness_name": None, "type": None, "env_vars": None}
    nulled = (await ada.post(path, {"model": "gpt-5.4", **nulls})).json()
    for harness in (bare, nulled):
        assert (harness["harness_name"], harness["type"], harness["env_vars"]) == (
            None,
            "opencode",
            {},
        )
    listed = [h["harness_id"] for h in (await ada.get(path)).json()]
    assert listed == [nulled["harness_id"], bare["harness_id"]]


@pytest.mark.parametrize(
    ("harness_type", "transport"),
    [("opencode", "http"), ("claude-code", "http"), ("codex", "terminal"), ("hermes", "terminal")],
)
async def test_every_type_of_the_contract_can_be_chosen(
    ada: Person, harness_type: str, transport: str
) -> None:
    harness = await ada.make_harness(await ada.make_project(), type=harness_type)
    assert (harness["type"], harness["transport_kind"]) == (harness_type, transport)


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"model": ""},
        {"model": "   "},
        {"model": "two words"},
        {"model": "bell\x07"},
        {"model": "x" * 201},
        {"model": 5},
        {"type": "emacs"},
        {"type": ""},
        {"env_vars": {"A": 1}},
        {"env_vars": {"": "x"}},
        {"env_vars": {"A=B": "x"}},
        {"env_vars": {"A": "nul\0"}},
        {"env_vars": {"nul\0": "x"}},
        {"env_vars": ["A"]},
        {"env_vars": {"A": "x" * 100_000}},
        {"harness_name": "x" * 10_000},
    ],
)
async def test_a_bad_harness_is_refused_and_nothing_starts(
    site: Site, ada: Person, change: dict[str, object]
) -> None:
    project = await ada.make_project()
    path = f"/projects/{project['project_id']}/harnesses"
    refused(await ada.post(path, {"model": "gpt-5.5", **change}), 400)
    assert (await ada.get(path)).json() == []
    assert site.lifecycles.calls == []


async def test_a_harness_is_not_lost_though_the_orchestrator_is_away(
    site: Site, ada: Person
) -> None:
    site.lifecycles.away = True
    harness = await ada.make_harness(await ada.make_project())
    answer = await ada.get(f"/harnesses/{harness['harness_id']}")
    assert answer.json()["sandbox_status"] == "starting"


async def test_a_member_uses_a_harness_but_does_not_manage_it(
    site: Site, ada: Person, bob: Person
) -> None:
    project = await ada.make_project()
    await ada.post(f"/projects/{project['project_id']}/members", {"username": "bob"})
    harness = await bob.make_harness(project)
    assert harness["access_role"] == "member"
    path = f"/harnesses/{harness['harness_id']}"
    assert (await bob.get(path)).status_code == 200
    refused(await bob.patch(path, {"harness_name": "Mine"}), 403)
    refused(await bob.delete(path), 403)
    refused(await bob.delete(f"{path}/sandbox"), 403)
    assert (await bob.post(f"{path}/sandbox")).status_code == 202


async def test_renaming_needs_a_name(ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    path = f"/harnesses/{harness['harness_id']}"
    renamed = (await ada.patch(path, {"harness_name": "Jerry"})).json()
    assert renamed == {**harness, "harness_name": "Jerry"}
    for body in ({}, {"harness_name": None}):
        refused(await ada.patch(path, body), 400, "harness_name")


async def test_a_failed_sandbox_is_starting_again_as_soon_as_it_is_asked_for(
    site: Site, ada: Person
) -> None:
    harness = await ada.make_harness(await ada.make_project())
    path = f"/harnesses/{harness['harness_id']}"
    for before, after, failure in (
        ("failed", "starting", None),
        ("idle", "starting", None),
        ("ready", "ready", "it broke"),
    ):
        await set_status(site, harness, before)
        answer = await ada.post(f"{path}/sandbox")
        assert answer.status_code == 202
        assert answer.json()["sandbox_status"] == after
        assert answer.json()["failure"] == failure
        assert (await ada.get(path)).json() == answer.json()
    assert site.lifecycles.calls == [("start_sandbox", harness["harness_id"])] * 4


async def test_stopping_asks_for_the_stop_and_says_when_it_cannot(site: Site, ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    path = f"/harnesses/{harness['harness_id']}/sandbox"
    assert (await ada.delete(path)).status_code == 204
    assert site.lifecycles.calls[-1] == ("stop_sandbox", harness["harness_id"])
    site.lifecycles.away = True
    refused(await ada.delete(path), 503)


async def test_a_deleted_harness_is_gone_and_takes_no_sessions(site: Site, ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    session = await ada.make_session(harness)
    path = f"/harnesses/{harness['harness_id']}"
    assert (await ada.delete(path)).status_code == 204
    assert site.lifecycles.calls[-1] == ("delete_harness", harness["harness_id"])
    refused(await ada.get(path), 404)
    refused(await ada.get(f"{path}/sessions"), 404)
    refused(await ada.get(f"/sessions/{session['session_id']}"), 404)
    refused(await ada.post(f"{path}/sessions", {}), 409)
    refused(await ada.delete(path), 404)


async def test_the_log_of_a_harness_that_never_ran_is_empty(ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    path = f"/harnesses/{harness['harness_id']}/log"
    assert (await ada.get(path)).json() == {"log": ""}
    for lines in ("0", "2001", "x"):
        refused(await ada.get(path, params={"lines": lines}), 400, "lines")


async def test_the_site_tells_its_facts_and_admins_where_temporal_is(
    site: Site, ada: Person, root: Person
) -> None:
    facts = (await ada.get("/site")).json()
    assert facts["version"] == "1.2.3"
    assert facts["demo_model"] is True
    graces = {"harness": 0, "project": 86_400, "user": 86_400}
    assert facts["deletion_grace_seconds"] == graces
    assert set(facts["isolation"]) == {"confined", "summary"}
    first = facts["harness_types"][0]
    assert {name: first[name] for name in ("id", "transport_kind", "available", "reason")} == {
        "id": "opencode",
        "transport_kind": "http",
        "available": True,
        "reason": None,
    }
    assert first["families"] == ["anthropic", "openai"]
    assert {"questions", "thinking"} <= set(first["capabilities"])
    assert first["description"].endswith(".")
    offers = {t["id"]: t["available"] for t in facts["harness_types"]}
    chats = {"opencode", "claude-code", "codex-acp", "hermes-acp"}
    assert set(offers) == chats | {"codex", "hermes"}
    assert facts["temporal_ui_url"] is None
