"""What keeps a sandbox awake, what happened to a harness, and what sleeping saves, over HTTP."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from cattery.clock import utc_now
from cattery.jsontypes import JsonObject
from tests.api.site import API, Person, Site, refused
from tests.api.watching import watching
from tests.conformance import eventually


async def run_sql(site: Site, statement: str) -> None:
    async with site.database.write() as session:
        await session.execute(text(statement))


type Line = tuple[str, str | None, str | None]


async def told(person: Person, harness: JsonObject, query: str = "") -> list[Line]:
    """What the timeline says, the newest first."""
    answer = await person.get(f"/harnesses/{harness['harness_id']}/timeline{query}")
    assert answer.status_code == 200, answer.text
    return [(e["kind"], e["by"], e["detail"]) for e in answer.json()["entries"]]


@pytest.fixture
async def harness(ada: Person) -> JsonObject:
    return await ada.make_harness(await ada.make_project())


async def test_a_time_out_is_chosen_changed_and_left_to_the_site(
    ada: Person, harness: JsonObject
) -> None:
    path = f"/harnesses/{harness['harness_id']}"
    changed = await ada.patch(path, {"idle_timeout_seconds": 3_600})
    assert (changed.status_code, changed.json()["idle_timeout_seconds"]) == (200, 3_600)
    assert changed.json()["harness_name"] == "Tom"
    both = (await ada.patch(path, {"harness_name": "Kim", "idle_timeout_seconds": 0})).json()
    assert (both["harness_name"], both["idle_timeout_seconds"]) == ("Kim", 0)
    again = (await ada.patch(path, {"harness_name": "Kim", "idle_timeout_seconds": None})).json()
    assert again["idle_timeout_seconds"] is None
    assert await told(ada, harness) == [
        ("idle_timeout_changed", "ada", "As the site says."),
        ("idle_timeout_changed", "ada", "Never."),
        ("renamed", "ada", "To Kim."),
        ("idle_timeout_changed", "ada", "After 1 hour."),
        ("created", "ada", None),
    ]
    made = await ada.make_harness(await ada.make_project(), idle_timeout_seconds=7_200)
    assert made["idle_timeout_seconds"] == 7_200


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"harness_name": None},
        {"harness_name": None, "idle_timeout_seconds": 600},
        {"idle_timeout_seconds": 59},
        {"idle_timeout_seconds": -1},
        {"idle_timeout_seconds": 31 * 24 * 3_600},
        {"idle_timeout_seconds": "600"},
    ],
)
async def test_what_is_no_change_of_a_harness_is_refused(
    ada: Person, harness: JsonObject, change: JsonObject
) -> None:
    refused(await ada.patch(f"/harnesses/{harness['harness_id']}", change), 400)


async def test_a_sandbox_is_kept_awake_and_let_sleep_by_any_member(
    site: Site, ada: Person, bob: Person, harness: JsonObject
) -> None:
    path = f"/harnesses/{harness['harness_id']}"
    await ada.post(f"/projects/{harness['project_id']}/members", {"username": "bob"})
    assert (await bob.post(f"{path}/lease", {"minutes": 240})).status_code == 204
    until = datetime.fromisoformat((await ada.get(path)).json()["awake_until"])
    assert until - utc_now() == pytest.approx(timedelta(hours=4), abs=timedelta(seconds=30))
    assert (await ada.delete(f"{path}/lease")).status_code == 204
    assert (await ada.delete(f"{path}/lease")).status_code == 204
    assert (await ada.get(path)).json()["awake_until"] is None
    assert await told(ada, harness) == [
        ("let_sleep", "ada", None),
        ("kept_awake", "bob", "For 4 hours."),
        ("created", "ada", None),
    ]
    for minutes in (0, -5, 7 * 24 * 60 + 1, "60", None):
        refused(await ada.post(f"{path}/lease", {"minutes": minutes}), 400)


async def test_a_prompt_a_session_and_a_start_wake_one_that_sleeps_and_the_timeline_says_whose(
    site: Site, ada: Person, bob: Person, harness: JsonObject
) -> None:
    path = f"/harnesses/{harness['harness_id']}"
    await ada.post(f"/projects/{harness['project_id']}/members", {"username": "bob"})
    session = await ada.make_session(harness)
    asleep = (
        "UPDATE harness SET status = 'idle', suspended_at = now(), stopped_reason = 'idle',"
        " used_at = now() - interval '1 day'"
    )
    await run_sql(site, "UPDATE session SET status = 'ready'")
    await run_sql(site, asleep)
    shown = (await ada.get(path)).json()
    assert (shown["sandbox_status"], shown["stopped_reason"]) == ("idle", "idle")
    assert shown["suspended_at"] is not None
    answer = await bob.post(f"/sessions/{session['session_id']}/prompts", {"text": "Hi"})
    assert answer.status_code == 202
    used = datetime.fromisoformat((await ada.get(path)).json()["used_at"])
    assert utc_now() - used < timedelta(seconds=30)
    await bob.make_session(harness)
    started = (await bob.post(f"{path}/sandbox")).json()
    assert (started["sandbox_status"], started["stopped_reason"]) == ("starting", "idle")
    assert await told(ada, harness) == [
        ("start_asked", "bob", None),
        ("woken", "bob", "By a new session."),
        ("woken", "bob", "By a prompt."),
        ("created", "ada", None),
    ]


async def test_a_stop_is_told_with_who_asked_for_it(
    site: Site, ada: Person, harness: JsonObject
) -> None:
    path = f"/harnesses/{harness['harness_id']}"
    await run_sql(site, "UPDATE harness SET status = 'ready'")
    assert (await ada.delete(f"{path}/sandbox")).status_code == 204
    assert (await told(ada, harness))[0] == ("stop_asked", "ada", None)


async def test_a_timeline_comes_in_pages(ada: Person, harness: JsonObject) -> None:
    path = f"/harnesses/{harness['harness_id']}"
    for number in range(5):
        await ada.patch(path, {"harness_name": f"Tom {number}"})
    page = (await ada.get(f"{path}/timeline?limit=4")).json()
    assert [e["detail"] for e in page["entries"]] == [f"To Tom {n}." for n in (4, 3, 2, 1)]
    rest = (await ada.get(f"{path}/timeline?limit=4&before={page['before']}")).json()
    assert [e["kind"] for e in rest["entries"]] == ["renamed", "created"]
    assert rest["before"] is None
    refused(await ada.get(f"{path}/timeline?limit=0"), 400)
    refused(await ada.get(f"{path}/timeline?before=x"), 400)


async def test_what_sleeping_saves_is_told_to_admins(
    site: Site, ada: Person, root: Person, harness: JsonObject
) -> None:
    refused(await ada.get("/admin/savings"), 403)
    await run_sql(
        site, "UPDATE harness SET status = 'idle', suspended_at = now() - interval '2 hours'"
    )
    saved = (await root.get("/admin/savings")).json()
    assert (saved["sleeping"], saved["idle_timeout_seconds"]) == (1, 0)
    assert saved["slept_seconds"] == pytest.approx(7_200, abs=30)


async def leases(site: Site) -> int:
    async with site.database.read() as session:
        return await session.scalar(text("SELECT count(*) FROM sandbox_lease")) or 0


async def test_an_attached_terminal_keeps_its_sandbox_awake_and_wakes_one_that_sleeps(
    site: Site, ada: Person
) -> None:
    harness = await ada.make_harness(await ada.make_project(), type="codex")
    session = await ada.make_session(harness)
    await run_sql(
        site,
        "UPDATE harness SET status = 'idle', suspended_at = now(),"
        " used_at = now() - interval '1 day'",
    )
    async with watching(site) as watchers:
        address = f"http://{watchers.host}{API}/sessions/{session['session_id']}/term"
        headers = {"Authorization": f"Bearer {ada.token}"}
        first = await watchers.http.ws_connect(address, headers=headers)
        second = await watchers.http.ws_connect(address, headers=headers)
        await eventually(partial(_counts, site, 2))
        await first.close()
        await eventually(partial(_counts, site, 1))
        await run_sql(site, "UPDATE harness SET used_at = now() - interval '1 day'")
        await second.close()
        await eventually(partial(_counts, site, 0))
    shown = (await ada.get(f"/harnesses/{harness['harness_id']}")).json()
    assert utc_now() - datetime.fromisoformat(shown["used_at"]) < timedelta(seconds=30)
    assert (await told(ada, harness))[0] == ("woken", "ada", "By opening its terminal.")
    assert ("open_session", session["session_id"]) in site.lifecycles.calls


async def _counts(site: Site, wanted: int) -> bool:
    return await leases(site) == wanted
