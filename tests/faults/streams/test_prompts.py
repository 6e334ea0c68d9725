"""Prompts that are sent again and at once are neither lost nor doubled."""

import asyncio
from itertools import groupby

import orjson
import pytest

from tests.faults.streams.installation import Installation
from tests.faults.streams.people import People, Turn
from tests.faults.streams.scenes import scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHORT = "stamp deltas=10 rate=20 size=24"


async def test_f20_fifty_requests_with_one_key_are_one_turn_whatever_becomes_of_their_answers(
    people: People, installation: Installation, harness: str
) -> None:
    key = {"Idempotency-Key": "the only one"}
    links = installation.database_links()
    async with scene(people, harness, sessions=1, text=None) as played:
        path = f"/sessions/{played.sessions[0]}/prompts"
        for link in links:
            link.lose_replies(3)
        answers = await asyncio.gather(
            *(people.ask("POST", path, {"text": SHORT}, key) for _ in range(50))
        )
        assert all(answer == answers[0] for answer in answers)
        url = f"{installation.urls[0]}/api/v1{path}"
        async with people.http.post(url, json={"text": "another"}, headers=key) as answer:
            assert answer.status == 409
        turn = Turn(played.sessions[0], str(answers[0]["turn_id"]), 1, SHORT)
        played.turns.append(turn)
        for link in links:
            await link.heal()
        await played.finish()


async def test_f21_prompts_of_many_tabs_at_once_run_one_after_the_other(
    people: People, harness: str
) -> None:
    async with scene(people, harness, sessions=1, text=None) as played:
        session = played.sessions[0]
        played.turns += await asyncio.gather(*(people.prompt(session, SHORT) for _ in range(10)))
        await played.finish()
        events = [orjson.loads(each.body) for each in played.watchers[0].events]
    speaking = [event["turn_no"] for event in events if event["type"] == "message.delta"]
    # None speaks into another, and they speak in the order in which they were accepted.
    assert [turn for turn, _ in groupby(speaking)] == list(range(1, 11))
    assert sorted(turn.turn_no for turn in played.turns) == list(range(1, 11))
