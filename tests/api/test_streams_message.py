"""`POST /sessions/{id}/message`: the contract's events of one turn, and nothing else."""

import asyncio

import pytest
from sqlalchemy import text

from cattery.db.event_log import read_head
from cattery.events.model import EventType, NewEvent
from cattery.ids import SessionId, parse_id
from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site, refused
from tests.api.watching import (
    EventStream,
    Watchers,
    idle,
    share,
    tell,
    until,
    word,
)

CONTRACT = {
    "message.delta",
    "message.thinking",
    "tool.start",
    "tool.done",
    "question.asked",
    "question.answered",
    "session.title",
    "session.error",
    "session.idle",
}


def shown(events: list[tuple[int, JsonObject]]) -> list[tuple[object, object]]:
    """Take what a contract client reads: the types that it knows, and the words."""
    found: list[tuple[object, object]] = []
    for _, event in events:
        assert set(event) == {"type", "data"}
        data = event["data"]
        assert isinstance(data, dict)
        if event["type"] in CONTRACT:
            found.append((event["type"], data.get("text") or data.get("output") or ""))
    return found


async def test_a_prompt_streams_its_turn_from_the_first_event_to_its_idle(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "Name a cat"}) as stream:
        assert site.lifecycles.calls[-1][:2] == ("submit_prompt", session_id)
        await tell(
            site,
            session_id,
            1,
            NewEvent(EventType.TURN_STARTED, {"turnId": "t"}),
            NewEvent(EventType.MESSAGE_THINKING, {"partId": "a", "text": "Hm"}),
            word(1),
            NewEvent(EventType.TOOL_START, {"toolId": "t", "tool": "bash", "input": "{}"}),
            NewEvent(EventType.TOOL_DONE, {"toolId": "t", "tool": "bash", "output": "out"}),
            NewEvent(EventType.USAGE_UPDATED, {"inputTokens": 1}),
            NewEvent(EventType.SESSION_TITLE, {"title": "Cats"}),
            NewEvent(EventType.SESSION_ERROR, {"message": "It rains."}),
            idle(1),
        )
        events = await stream.rest()
    assert shown(events) == [
        ("message.thinking", "Hm"),
        ("message.delta", "1 "),
        ("tool.start", ""),
        ("tool.done", "out"),
        ("session.title", ""),
        ("session.error", ""),
        ("session.idle", ""),
    ]
    assert not {event["type"] for _, event in events} & {"prompt.accepted", "prompt.removed"}
    numbers = [number for number, _ in events]
    assert numbers == sorted(set(numbers))


async def test_while_another_turn_runs_the_stream_waits_and_then_carries_only_its_own(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    path = f"/sessions/{session_id}/message"
    async with (
        watchers.stream(ada, path, json={"text": "first"}) as first,
        watchers.stream(ada, path, json={"text": "second"}) as second,
    ):
        await tell(site, session_id, 1, word(1), word(2))
        assert shown(await first.take(2)) == [("message.delta", "1 "), ("message.delta", "2 ")]
        reading = asyncio.create_task(second.next())
        await until(lambda: second.comments >= 2, "comment lines while the stream waits")
        assert not reading.done()
        await tell(site, session_id, 1, idle(1))
        await tell(site, session_id, 2, word(3))
        assert shown(await first.rest()) == [("session.idle", "")]
        own = await reading
        assert own is not None
        await tell(site, session_id, 3, word(9))  # a third, though none should run yet
        await tell(site, session_id, 2, idle(2))
        await tell(site, session_id, 3, idle(3))
        assert shown([own, *await second.rest()]) == [("message.delta", "3 "), ("session.idle", "")]


async def test_a_turn_that_was_over_before_the_stream_was_read_comes_whole(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    """All of it, and the turn behind it, may be in one page that the reader takes."""
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "first"}) as stream:
        await tell(site, session_id, 1, word(1), idle(1))
        await tell(site, session_id, 2, word(2), idle(2))
        assert shown(await stream.rest()) == [("message.delta", "1 "), ("session.idle", "")]


async def test_a_prompt_that_is_removed_from_the_queue_ends_its_stream(
    ada: Person, watchers: Watchers, session_id: str
) -> None:
    path = f"/sessions/{session_id}/message"
    async with (
        watchers.stream(ada, path, json={"text": "first"}),
        watchers.stream(ada, path, json={"text": "second"}) as second,
    ):
        (_, waiting) = (await ada.get(f"/sessions/{session_id}/prompts")).json()
        removed = await ada.delete(f"/sessions/{session_id}/prompts/{waiting['turn_id']}")
        assert removed.status_code == 204
        assert await second.rest() == []


async def test_a_reader_that_leaves_does_not_stop_the_turn(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    hub = site.app.state.parts.hub
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "first"}) as stream:
        await tell(site, session_id, 1, word(1))
        assert await stream.next() is not None
    await until(lambda: not hub._channels, "the stream to end")
    assert [call[0] for call in site.lifecycles.calls if session_id in call] == [
        "open_session",
        "submit_prompt",
    ]


async def test_the_stream_ends_when_its_reader_loses_the_right_to_see_it(
    site: Site,
    ada: Person,
    bob: Person,
    watchers: Watchers,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cattery.events.channel.LOOK_AGAIN", 0.1)
    project_id = await share(ada, session_id, bob)
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(bob, path, json={"text": "Name a cat"}) as stream:
        await ada.delete(f"/projects/{project_id}/members/{bob.user_id}")
        assert await stream.rest() == []


async def test_a_silent_turn_is_kept_alive_by_comment_lines(
    site: Site,
    ada: Person,
    watchers: Watchers,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.streams.PING_EVERY", 0.05)
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "Name a cat"}) as stream:
        assert [await stream.block() for _ in range(4)] == [b": ping\n\n"] * 4
        await finish(site, session_id, stream)


async def finish(site: Site, session_id: str, stream: EventStream) -> None:
    await tell(site, session_id, 1, idle(1))
    assert shown(await stream.rest()) == [("session.idle", "")]


@pytest.mark.parametrize("body", [{"text": ""}, {"text": " \n\t\u2003"}, {"text": None}, {}, [], 1])
async def test_a_blank_or_missing_text_is_refused_and_nothing_is_written(
    site: Site, ada: Person, session_id: str, body: object
) -> None:
    refused(await ada.post(f"/sessions/{session_id}/message", body), 400)
    assert await head(site, session_id) == 0
    assert site.lifecycles.calls[-1][0] == "open_session"


async def head(site: Site, session_id: str) -> int:
    parsed = parse_id(session_id)
    assert parsed is not None
    return await read_head(site.database, SessionId(parsed))


async def test_a_session_that_failed_takes_no_prompt(
    site: Site, ada: Person, session_id: str
) -> None:
    async with site.database.write() as rows:
        await rows.execute(text("UPDATE session SET status = 'failed'"))
    refused(await ada.post(f"/sessions/{session_id}/message", {"text": "Hi"}), 409)
    assert await head(site, session_id) == 0


async def test_only_who_may_see_the_session_may_prompt_it(
    site: Site, ada: Person, bob: Person, session_id: str
) -> None:
    path = f"/sessions/{session_id}/message"
    refused(await bob.post(path, {"text": "Hi"}), 404)
    async with site.client() as anonymous:
        refused(await anonymous.post(f"/api/v1{path}", json={"text": "Hi"}), 401)
    assert await head(site, session_id) == 0


async def test_a_prompt_that_the_orchestrator_could_not_be_told_of_waits_for_its_turn(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    site.lifecycles.away = True
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "Name a cat"}) as stream:
        await finish(site, session_id, stream)  # by the sweep, a little later
