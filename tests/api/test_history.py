"""History and export, from the log alone."""

import pytest

from cattery.db.event_log import append_in_transaction
from cattery.events.model import EventType, NewEvent
from cattery.ids import SessionId, parse_id
from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site, refused
from tests.api.test_sessions import a_session


async def say(site: Site, session: JsonObject, *events: tuple[EventType, JsonObject]) -> None:
    parsed = parse_id(str(session["session_id"]))
    assert parsed is not None
    async with site.database.write() as rows:
        for kind, data in events:
            await append_in_transaction(rows, SessionId(parsed), 1, NewEvent(kind, data))


async def a_conversation(site: Site, person: Person, title: str | None) -> tuple[JsonObject, str]:
    session = await a_session(person)
    path = f"/sessions/{session['session_id']}"
    if title is not None:
        await person.patch(path, {"title": title})
    turn_id = (await person.post(f"{path}/prompts", {"text": "Name a cat"})).json()["turn_id"]
    await say(
        site,
        session,
        (EventType.MESSAGE_THINKING, {"partId": "p1", "text": "Hmm."}),
        (EventType.MESSAGE_DELTA, {"partId": "p2", "text": "Tom"}),
        (EventType.MESSAGE_DELTA, {"partId": "p2", "text": "cat"}),
        (EventType.TOOL_START, {"toolId": "t1", "tool": "bash", "input": '{"a":1}'}),
        (
            EventType.TOOL_DONE,
            {"toolId": "t1", "tool": "bash", "output": "has ``` in it", "ok": False},
        ),
        (EventType.SESSION_ERROR, {"message": "It broke."}),
        (EventType.HARNESS_UNKNOWN, {"frameType": "odd.frame", "preview": '{"n":1}'}),
        (EventType.SESSION_IDLE, {}),
    )
    return session, turn_id


async def test_history_has_whole_parts_in_their_order(site: Site, ada: Person) -> None:
    session, turn_id = await a_conversation(site, ada, None)
    history = (await ada.get(f"/sessions/{session['session_id']}/history")).json()
    assert history[0] == {
        "messageId": f"usr_{turn_id}",
        "role": "user",
        "events": [
            {"type": "message.delta", "data": {"partId": f"usr_{turn_id}", "text": "Name a cat"}}
        ],
    }
    assert history[1]["role"] == "assistant"
    assert [(e["type"], e["data"].get("text")) for e in history[1]["events"]] == [
        ("message.thinking", "Hmm."),
        ("message.delta", "Tomcat"),
        ("tool.start", None),
        ("tool.done", None),
        ("session.error", None),
        ("harness.unknown", None),
    ]


async def test_a_new_session_has_no_history(ada: Person) -> None:
    session = await a_session(ada)
    assert (await ada.get(f"/sessions/{session['session_id']}/history")).json() == []


async def test_the_transcript_reads_well(site: Site, ada: Person) -> None:
    session, _ = await a_conversation(site, ada, "Naming\ncats")
    answer = await ada.get(f"/sessions/{session['session_id']}/export")
    assert answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    head, _, rest = answer.text.partition("\n\n## You\n\n")
    assert head.startswith("# Naming cats\n")
    assert str(session["session_id"]) in head
    assert rest == (
        "Name a cat\n\n## Agent\n\n> Hmm.\n\nTomcat\n\n"
        '**Tool: bash**\n\n```json\n{"a":1}\n```\n\n'
        "Failed:\n\n````\nhas ``` in it\n````\n\n**Error:** It broke.\n\n"
        'Unknown event `odd.frame`:\n\n```json\n{"n":1}\n```\n'
    )


async def test_the_json_export_is_the_history(site: Site, ada: Person) -> None:
    session, _ = await a_conversation(site, ada, None)
    path = f"/sessions/{session['session_id']}"
    exported = await ada.get(f"{path}/export", params={"format": "json"})
    assert exported.json() == (await ada.get(f"{path}/history")).json()


@pytest.mark.parametrize(
    ("title", "name"),
    [
        (None, "session"),
        ("Naming cats", "Naming cats"),
        ('../../etc/"passwd"\r\nX: y', ".. .. etc passwd X y"),
        ("...", "session"),
        ("x" * 400, "x" * 80),
    ],
)
async def test_an_export_is_an_attachment_with_a_safe_name(
    ada: Person, title: str | None, name: str
) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}"
    if title is not None:
        await ada.patch(path, {"title": title})
    for kind in ("md", "json"):
        answer = await ada.get(f"{path}/export", params={"format": kind})
        disposition = answer.headers["Content-Disposition"]
        expected = name.strip(". ") if title and title.startswith("..") else name
        assert f'filename="{expected}-{session["session_id"]}.{kind}"' in disposition


async def test_a_title_in_any_language_names_the_file(ada: Person) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}"
    await ada.patch(path, {"title": "Катя 🐈"})
    disposition = (await ada.get(f"{path}/export")).headers["Content-Disposition"]
    assert disposition.startswith('attachment; filename="____ _-')
    assert "filename*=UTF-8''%D0%9A%D0%B0%D1%82%D1%8F%20%F0%9F%90%88-" in disposition


async def test_an_unknown_format_is_refused(ada: Person) -> None:
    session = await a_session(ada)
    path = f"/sessions/{session['session_id']}/export"
    refused(await ada.get(path, params={"format": "pdf"}), 400, "format")


async def test_a_terminal_sessions_transcript_is_its_head(ada: Person) -> None:
    session = await a_session(ada, type="hermes")
    exported = (await ada.get(f"/sessions/{session['session_id']}/export")).text
    assert exported.startswith("# Session\n")
    assert "## " not in exported.removeprefix("# ")
