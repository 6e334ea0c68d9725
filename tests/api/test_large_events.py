"""Large events as clients get them: the contract's ways whole, the live streams their beginning."""

from uuid import UUID

import orjson

from cattery.db.fences import Fence, claim_fence
from cattery.events.appender import EventAppender
from cattery.events.large import PREVIEW
from cattery.events.model import EventType, NewEvent
from cattery.ids import SessionId
from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site, refused
from tests.api.watching import Watchers, idle, word

LONG = "".join(f"line {number}\n" for number in range(60_000))
DONE: JsonObject = {"toolId": "t", "tool": "bash", "output": LONG, "ok": True}
START: JsonObject = {"toolId": "t", "tool": "bash", "input": "{}"}


async def run_turn(site: Site, session_id: str) -> None:
    """Write turn 1 as a worker does: a word, a tool with a large output, a word, the end."""
    fence = Fence(SessionId(UUID(session_id)), 1, 1_000)
    async with site.database.write() as rows:
        assert await claim_fence(rows, fence, "test")
    appender = EventAppender(site.database.url)
    await appender.start()
    turn = appender.open_turn(fence)
    tool = [NewEvent(EventType.TOOL_START, START), NewEvent(EventType.TOOL_DONE, DONE, "tool:t")]
    await turn.append([word(1), *tool, word(2, "q"), idle(1)])
    await turn.flush()
    await appender.close()


async def test_the_live_stream_has_its_beginning_and_the_route_the_whole(
    site: Site, ada: Person, bob: Person, watchers: Watchers, session_id: str
) -> None:
    await run_turn(site, session_id)
    async with watchers.stream(ada, f"/sessions/{session_id}/events") as stream:
        events = await stream.take(5)
    data = events[2][1]["data"]
    assert isinstance(data, dict)
    assert data["output"] == LONG[:PREVIEW]
    assert set(data) == {*DONE, "large"}
    async with watchers.tab(ada) as tab:
        await tab.say("subscribe", session_id=session_id, after=0)
        assert (await tab.events(session_id, 5))[2] == events[2][1]
    answer = await ada.get(f"/sessions/{session_id}/events/3")
    assert answer.json() == {"seq": 3, "turn_no": 1, "type": "tool.done", "data": DONE}
    small = await ada.get(f"/sessions/{session_id}/events/1")
    assert small.json() == events[0][1]
    refused(await bob.get(f"/sessions/{session_id}/events/3"), 404)
    for number in ("0", "6", "-1", "x", "9" * 30, "٣"):
        refused(await ada.get(f"/sessions/{session_id}/events/{number}"), 404)


async def test_the_contracts_stream_of_a_turn_has_it_whole(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "Go"}) as stream:
        await run_turn(site, session_id)
        events = [event for _, event in await stream.rest()]
    assert [event["type"] for event in events] == [
        "message.delta",
        "tool.start",
        "tool.done",
        "message.delta",
        "session.idle",
    ]
    assert events[2] == {"type": "tool.done", "data": DONE}


async def test_history_and_export_have_it_whole(site: Site, ada: Person, session_id: str) -> None:
    await ada.post(f"/sessions/{session_id}/prompts", {"text": "Go"})
    await run_turn(site, session_id)
    history = (await ada.get(f"/sessions/{session_id}/history")).json()
    assert history[1]["events"][2] == {"type": "tool.done", "data": DONE}
    exported = await ada.get(f"/sessions/{session_id}/export", params={"format": "json"})
    assert orjson.loads(exported.content) == history
