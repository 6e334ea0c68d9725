"""Sessions: opening, reading, renaming, deleting, stopping and answering."""

import pytest
from sqlalchemy import text

from cattery.events.model import Answer
from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site, made, refused


async def a_session(person: Person, **harness: object) -> JsonObject:
    return await person.make_session(
        await person.make_harness(await person.make_project(), **harness)
    )


async def test_a_session_is_made_and_begins_to_open(site: Site, ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    session = await ada.make_session(harness)
    assert session == {
        "session_id": session["session_id"],
        "harness_id": harness["harness_id"],
        "status": "creating",
        "phase": None,
        "title": None,
        "harness_session_id": None,
        "created_at": session["created_at"],
        "last_seen_at": None,
        "stopped_at": None,
        "failure": None,
        "working": False,
        "last_seq": 0,
    }
    assert site.lifecycles.calls[-1] == ("open_session", session["session_id"])
    listed = (await ada.get(f"/harnesses/{harness['harness_id']}/sessions")).json()
    assert listed == [session]


async def test_sessions_are_listed_newest_first(ada: Person) -> None:
    harness = await ada.make_harness(await ada.make_project())
    made_ids = [(await ada.make_session(harness))["session_id"] for _ in range(3)]
    listed = (await ada.get(f"/harnesses/{harness['harness_id']}/sessions")).json()
    assert [s["session_id"] for s in listed] == made_ids[::-1]


async def test_a_theme_is_light_or_dark_and_dark_by_default(site: Site, ada: Person) -> None:
    path = f"/harnesses/{(await ada.make_harness(await ada.make_project()))['harness_id']}/sessions"
    themes = {}
    for body in ({"theme": "light"}, {"theme": "dark"}, {}, {"theme": None}, None):
        themes[str(made(await ada.post(path, body))["session_id"])] = body
    async with site.database.read() as session:
        stored = await session.execute(text("SELECT id::text, theme FROM session"))
        for session_id, theme in stored:
            assert theme == ((themes[session_id] or {}).get("theme") or "dark")
    refused(await ada.post(path, {"theme": "pink"}), 400, "theme")
    refused(await ada.post(path, ["light"]), 400)


async def test_reading_a_session_notes_that_it_was_seen_once_a_minute(
    site: Site, ada: Person
) -> None:
    path = f"/sessions/{(await a_session(ada))['session_id']}"
    first = (await ada.get(path)).json()["last_seen_at"]
    assert first is not None
    assert (await ada.get(path)).json()["last_seen_at"] == first
    async with site.database.write() as session:
        await session.execute(
            text("UPDATE session SET last_seen_at = now() - interval '61 seconds'")
        )
    assert (await ada.get(path)).json()["last_seen_at"] > first


async def test_a_title_is_changed_by_any_member(ada: Person, bob: Person) -> None:
    project = await ada.make_project()
    await ada.post(f"/projects/{project['project_id']}/members", {"username": "bob"})
    session = await ada.make_session(await ada.make_harness(project))
    path = f"/sessions/{session['session_id']}"
    assert (await bob.patch(path, {"title": "Naming cats"})).json()["title"] == "Naming cats"
    assert (await ada.get(path)).json()["title"] == "Naming cats"
    for body in ({}, {"title": None}, {"title": 5}, {"title": "x" * 10_000}, {"title": "\0"}):
        refused(await ada.patch(path, body), 400, "title")


async def test_a_deleted_session_is_gone(site: Site, ada: Person) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}"
    assert (await ada.delete(path)).status_code == 204
    assert site.lifecycles.calls[-1] == ("delete_session", session["session_id"])
    for gone in (path, f"{path}/history", f"{path}/export", f"{path}/prompts"):
        refused(await ada.get(gone), 404)
    refused(await ada.delete(path), 404)
    assert (await ada.get(f"/harnesses/{session['harness_id']}/sessions")).json() == []


async def test_a_failed_session_says_why(site: Site, ada: Person) -> None:
    session = await a_session(ada)
    async with site.database.write() as rows:
        await rows.execute(
            text("UPDATE session SET status='failed', phase='sandbox_error', failure='no disk'")
        )
    answer = (await ada.get(f"/sessions/{session['session_id']}")).json()
    assert (answer["status"], answer["phase"], answer["failure"]) == (
        "failed",
        "sandbox_error",
        "no disk",
    )


async def test_abort_is_always_204(site: Site, ada: Person) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}/abort"
    assert (await ada.post(path)).status_code == 204
    assert site.lifecycles.calls[-1] == ("abort_turn", session["session_id"], "ada")


async def test_an_answer_reaches_its_question(site: Site, ada: Person) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}/answer"
    site.lifecycles.open_questions.add("que_1")
    body = {
        "questionId": "que_1",
        "answers": [
            {"question": "Which cat?", "selectedLabels": ["Tom", "Felix"], "notes": "both"},
            {"question": "Why?", "selectedLabels": []},
        ],
    }
    assert (await ada.post(path, body)).status_code == 204
    answers = (Answer("Which cat?", ("Tom", "Felix"), "both"), Answer("Why?", ()))
    assert site.lifecycles.calls[-1] == (
        "answer_question",
        session["session_id"],
        "que_1",
        answers,
    )
    refused(await ada.post(path, {**body, "questionId": "que_2"}), 404)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"questionId": "que_1"},
        {"questionId": "", "answers": [{"question": "?", "selectedLabels": []}]},
        {"questionId": "que_1", "answers": []},
        {"questionId": "que_1", "answers": "yes"},
        {"questionId": "que_1", "answers": [{}]},
        {"questionId": "que_1", "answers": [{"question": "?"}]},
        {"questionId": "que_1", "answers": [{"question": "?", "selectedLabels": "a"}]},
        {"questionId": "que_1", "answers": [{"question": "?", "selectedLabels": [1]}]},
        {"questionId": 1, "answers": [{"question": "?", "selectedLabels": []}]},
    ],
)
async def test_a_malformed_answer_is_refused(ada: Person, body: object) -> None:
    session = await a_session(ada)
    refused(await ada.post(f"/sessions/{session['session_id']}/answer", body), 400)


async def test_a_terminal_session_has_no_messages(ada: Person) -> None:
    session = await a_session(ada, type="codex")
    path = f"/sessions/{session['session_id']}"
    answer = {"questionId": "q", "answers": [{"question": "?", "selectedLabels": []}]}
    refused(await ada.post(f"{path}/message", {"text": "hi"}), 400)
    refused(await ada.post(f"{path}/prompts", {"text": "hi"}), 400)
    refused(await ada.post(f"{path}/abort"), 400)
    refused(await ada.post(f"{path}/answer", answer), 400)
    assert (await ada.get(f"{path}/history")).json() == []
    assert (await ada.get(f"{path}/export", params={"format": "json"})).json() == []


async def test_a_chat_session_has_no_terminal(ada: Person) -> None:
    session = await a_session(ada)
    refused(await ada.get(f"/sessions/{session['session_id']}/term"), 400)
