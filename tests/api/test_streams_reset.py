"""Logs that were folded: who comes from below the floor is told to begin anew, in both streams."""

from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from cattery.db.folding import EndedTurn, fold_turn
from cattery.ids import PromptId, SessionId
from cattery.jsontypes import JsonObject
from tests.api.site import Person, Site
from tests.api.watching import Watchers, idle, tell, word, words


async def fold(site: Site, session_id: str, turn_id: str) -> None:
    async with site.database.write() as rows:
        await rows.execute(
            text("UPDATE prompt SET status = 'done' WHERE id = :id"), {"id": UUID(turn_id)}
        )
    turn = EndedTurn(PromptId(UUID(turn_id)), SessionId(UUID(session_id)), 1)
    assert await fold_turn(site.database, turn)


async def ended_turn(site: Site, ada: Person, session_id: str) -> str:
    """Let turn 1 say five words in pieces and end: events 1 to 7."""
    answer = await ada.post(f"/sessions/{session_id}/prompts", {"text": "Go"})
    await tell(site, session_id, 1, *words(5), idle(1))
    return str(answer.json()["turn_id"])


WHOLE: JsonObject = {"partId": "p", "text": "1 2 3 4 5 ", "offset": 0}
RESET: JsonObject = {"seq": 0, "turn_no": 0, "type": "stream.reset", "data": {"floorSeq": 6}}


@pytest.mark.parametrize("after", [0, 2, 4])
async def test_an_event_stream_from_below_the_floor_begins_with_a_reset_without_an_id(
    site: Site, ada: Person, watchers: Watchers, session_id: str, after: int
) -> None:
    await fold(site, session_id, await ended_turn(site, ada, session_id))
    async with watchers.stream(ada, f"/sessions/{session_id}/events?after={after}") as stream:
        assert await stream.block() == b"retry: 1000\n\n"
        block = await stream.block()
        while block == b": ping\n\n":
            block = await stream.block()
        assert block is not None
        reset, rest = block.split(b"\n", 1)
        assert rest == b"\n"
        assert orjson.loads(reset.removeprefix(b"data: ")) == RESET
        events = await stream.take(3)
        assert [number for number, _ in events] == [1, 2, 7]
        assert events[1][1]["data"] == WHOLE
        await tell(site, session_id, 2, word(1, "q"))
        assert [number for number, _ in await stream.take(1)] == [8]


async def test_from_the_floor_on_nothing_is_different(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    await fold(site, session_id, await ended_turn(site, ada, session_id))
    async with watchers.stream(ada, f"/sessions/{session_id}/events?after=6") as stream:
        await tell(site, session_id, 2, word(1, "q"))
        assert [number for number, _ in await stream.take(2)] == [7, 8]


async def test_a_tab_from_below_the_floor_is_reset_and_then_live(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    await fold(site, session_id, await ended_turn(site, ada, session_id))
    async with watchers.tab(ada) as tab:
        await tab.say("subscribe", session_id=session_id, after=3)
        assert await tab.next() == {"op": "reset", "session_id": session_id, "floor_seq": 6}
        frame = await tab.next()
        assert isinstance(frame["events"], list)
        assert [event["seq"] for event in frame["events"] if isinstance(event, dict)] == [1, 2, 7]
        assert await tab.next() == {"op": "live", "session_id": session_id, "seq": 7}


async def test_history_and_export_are_the_same_before_and_after(
    site: Site, ada: Person, session_id: str
) -> None:
    turn_id = await ended_turn(site, ada, session_id)
    ways = [f"/sessions/{session_id}/{way}" for way in ("history", "export", "export?format=json")]
    before = [(await ada.get(way)).content for way in ways]
    await fold(site, session_id, turn_id)
    assert [(await ada.get(way)).content for way in ways] == before


async def test_the_contracts_stream_of_a_turn_is_the_same_after_another_was_folded(
    site: Site, ada: Person, watchers: Watchers, session_id: str
) -> None:
    turn_id = await ended_turn(site, ada, session_id)
    path = f"/sessions/{session_id}/message"
    async with watchers.stream(ada, path, json={"text": "On"}) as stream:
        await tell(site, session_id, 2, word(1, "q"))
        assert [event["type"] for _, event in await stream.take(1)] == ["message.delta"]
        await fold(site, session_id, turn_id)
        await tell(site, session_id, 2, word(2, "q"), idle(2))
        rest = await stream.rest()
    assert [event["type"] for _, event in rest] == ["message.delta", "session.idle"]
