"""Prompts: the queue of a session, and sending one prompt twice."""

import asyncio

import pytest
from sqlalchemy import text

from cattery.db.event_log import read_events
from cattery.ids import SessionId, parse_id
from tests.api.site import Person, Site, refused
from tests.api.test_sessions import a_session


async def prompts_path(person: Person) -> str:
    return f"/sessions/{(await a_session(person))['session_id']}/prompts"


def session_id_of(path: str) -> SessionId:
    parsed = parse_id(path.split("/")[2])
    assert parsed is not None
    return SessionId(parsed)


async def test_a_prompt_is_accepted_logged_and_handed_on(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    answer = await ada.post(path, {"text": "Name a cat"})
    assert answer.status_code == 202
    turn_id = answer.json()["turn_id"]
    assert answer.json() == {"turn_id": turn_id, "turn_no": 1, "after": 0}
    session_id = session_id_of(path)
    assert site.lifecycles.calls[-1] == ("submit_prompt", str(session_id), turn_id)
    [event] = await read_events(site.database, session_id)
    assert (event.seq, event.turn_no, event.type) == (1, 1, "prompt.accepted")
    assert event.data == {
        "turnId": turn_id,
        "messageId": f"usr_{turn_id}",
        "text": "Name a cat",
        "username": "ada",
    }
    session = (await ada.get(f"/sessions/{session_id}")).json()
    assert (session["working"], session["last_seq"]) == (True, 1)


async def test_the_queue_shows_what_runs_and_waits(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    for n in range(3):
        await ada.post(path, {"text": f"prompt {n}"})
    queue = (await ada.get(path)).json()
    assert [(p["turn_no"], p["text"], p["status"], p["username"]) for p in queue] == [
        (n + 1, f"prompt {n}", "queued", "ada") for n in range(3)
    ]
    async with site.database.write() as session:
        await session.execute(text("UPDATE prompt SET status = 'done' WHERE turn_no = 1"))
    assert [p["turn_no"] for p in (await ada.get(path)).json()] == [2, 3]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"text": None}, 400),
        ({"text": ""}, 400),
        ({"text": " \n\t"}, 400),
        ({"text": 5}, 400),
        ({"text": "nul\0"}, 400),
        ({"text": "x" * 200_001}, 413),
    ],
)
async def test_a_bad_prompt_is_refused_and_not_logged(
    site: Site, ada: Person, body: dict[str, object], status: int
) -> None:
    path = await prompts_path(ada)
    refused(await ada.post(path, body), status)
    assert await read_events(site.database, session_id_of(path)) == []


async def test_the_longest_prompt_is_taken_whole(ada: Person) -> None:
    path = await prompts_path(ada)
    assert (await ada.post(path, {"text": "ü" * 200_000})).status_code == 202
    assert len((await ada.get(path)).json()[0]["text"]) == 200_000


async def test_the_same_key_and_text_is_the_same_turn(ada: Person) -> None:
    path = await prompts_path(ada)
    key = {"Idempotency-Key": "click-1"}
    first = await ada.post(path, {"text": "Name a cat"}, headers=key)
    again = await ada.post(path, {"text": "Name a cat"}, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    refused(await ada.post(path, {"text": "Name a dog"}, headers=key), 409)
    assert len((await ada.get(path)).json()) == 1
    for bad in ("", "x" * 256):
        headers = {"Idempotency-Key": bad}
        refused(await ada.post(path, {"text": "Hi"}, headers=headers), 400)


async def test_without_a_key_the_same_text_is_another_turn(ada: Person) -> None:
    path = await prompts_path(ada)
    answers = await asyncio.gather(*(ada.post(path, {"text": "Hi"}) for _ in range(10)))
    assert sorted(a.json()["turn_no"] for a in answers) == list(range(1, 11))


async def test_a_waiting_prompt_can_be_taken_back(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    turns = [(await ada.post(path, {"text": f"{n}"})).json()["turn_id"] for n in range(2)]
    assert (await ada.delete(f"{path}/{turns[1]}")).status_code == 204
    assert [p["turn_id"] for p in (await ada.get(path)).json()] == [turns[0]]
    events = await read_events(site.database, session_id_of(path))
    assert [e.type for e in events] == ["prompt.accepted", "prompt.accepted", "prompt.removed"]
    assert events[-1].turn_no == 2
    refused(await ada.delete(f"{path}/{turns[1]}"), 409)
    history = (await ada.get(f"/sessions/{session_id_of(path)}/history")).json()
    assert [m["messageId"] for m in history] == [f"usr_{turns[0]}"]


async def test_a_running_prompt_cannot_be_taken_back(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    turn_id = (await ada.post(path, {"text": "Hi"})).json()["turn_id"]
    async with site.database.write() as session:
        await session.execute(text("UPDATE prompt SET status = 'running'"))
    refused(await ada.delete(f"{path}/{turn_id}"), 409)
    for unknown in ("00000000-0000-0000-0000-000000000000", "x"):
        refused(await ada.delete(f"{path}/{unknown}"), 404)


async def test_a_failed_session_takes_no_prompts(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    async with site.database.write() as session:
        await session.execute(text("UPDATE session SET status = 'failed'"))
    refused(await ada.post(path, {"text": "Hi"}), 409)
    refused(await ada.post(path.replace("prompts", "message"), {"text": "Hi"}), 409)


async def test_a_prompt_is_kept_though_the_orchestrator_is_away(site: Site, ada: Person) -> None:
    path = await prompts_path(ada)
    site.lifecycles.away = True
    assert (await ada.post(path, {"text": "Hi"})).status_code == 202
    assert len((await ada.get(path)).json()) == 1


@pytest.mark.parametrize("text_", [{}, {"text": "  "}, {"text": None}])
async def test_the_contracts_message_refuses_blank_text(ada: Person, text_: object) -> None:
    session = await a_session(ada)
    refused(await ada.post(f"/sessions/{session['session_id']}/message", text_), 400)
