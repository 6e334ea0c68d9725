"""The Python client against the real site: live, after a fold, over a sign-out."""

import asyncio
from itertools import islice
from uuid import UUID

import pytest
from sqlalchemy import text

from cattery.db.folding import EndedTurn, fold_turn
from cattery.ids import PromptId, SessionId
from clients.cattery_client import Event, NoAccessError, SessionLog, follow
from tests.api.site import Person, Site
from tests.api.watching import idle, listening, open_session, tell, word, words


async def take(
    host: str, person: Person, session_id: str, count: int, log: SessionLog
) -> list[Event]:
    """Let the client, which blocks, take so many events on a thread of its own."""

    def read() -> list[Event]:
        return list(islice(follow(f"http://{host}", person.token, session_id, log=log), count))

    async with asyncio.timeout(30):
        return await asyncio.to_thread(read)


async def test_it_follows_live_comes_back_and_takes_a_folded_log(site: Site, ada: Person) -> None:
    session_id = await open_session(ada)
    answer = await ada.post(f"/sessions/{session_id}/prompts", {"text": "Go"})
    log = SessionLog()
    async with listening(site.app) as host:
        first = asyncio.create_task(take(host, ada, session_id, 4, log))
        await tell(site, session_id, 1, *words(3))
        assert [event["seq"] for event in await first] == [1, 2, 3, 4]
        half = SessionLog(after=log.after, texts=dict(log.texts))
        await tell(site, session_id, 1, word(4), idle(1))
        assert [event["seq"] for event in await take(host, ada, session_id, 2, log)] == [5, 6]
        turn_id = UUID(answer.json()["turn_id"])
        async with site.database.write() as rows:
            await rows.execute(text("UPDATE prompt SET status = 'done'"))
        assert await fold_turn(
            site.database, EndedTurn(PromptId(turn_id), SessionId(UUID(session_id)), 1)
        )
        events = await take(host, ada, session_id, 4, half)
        assert [event["seq"] for event in events] == [0, 1, 2, 6]
        assert half == SessionLog(after=6, floor=5, texts=log.texts)
        assert half.texts == {"p": "1 2 3 4 "}


async def test_it_says_that_it_may_not(site: Site, ada: Person, bob: Person) -> None:
    session_id = await open_session(ada)
    async with listening(site.app) as host:
        with pytest.raises(NoAccessError) as refused:
            await take(host, bob, session_id, 1, SessionLog())
    assert refused.value.status == 404
