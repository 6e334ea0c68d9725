"""Folding in the database: which turns, how often, and what watchers see while it happens."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from sqlalchemy import text

from activities.folding import FoldSweep
from cattery.db.engine import Database
from cattery.db.event_log import append_in_transaction, read_events
from cattery.db.folding import EndedTurn, find_turns_to_fold, fold_turn
from cattery.events.channel import Subscription
from cattery.events.frames import STREAM_RESET, Frame
from cattery.events.history import fold_history
from cattery.events.hub import StreamHub
from cattery.events.model import EventType, LoggedEvent, NewEvent
from cattery.ids import PromptId, SessionId, new_id
from tests.db.written_log import open_session, own_connection, word

DAY = timedelta(days=1)


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[StreamHub]:
    made = StreamHub(database.url)
    await made.start()
    await made._listening.wait()
    yield made
    await made.close()


async def run_turn(
    database: Database, session_id: SessionId, turn_no: int, words: int, *, done: bool = True
) -> EndedTurn:
    """Write a turn of one part, and its prompt's row."""
    turn = EndedTurn(PromptId(new_id()), session_id, turn_no)
    accepted = {"turnId": str(turn.prompt_id), "messageId": f"m{turn_no}", "text": "Go"}
    events = [
        NewEvent(EventType.PROMPT_ACCEPTED, accepted),  # type: ignore[arg-type]
        *(word(number, f"p{turn_no}") for number in range(words)),
    ]
    if done:
        events.append(NewEvent(EventType.SESSION_IDLE, {"outcome": "completed"}, f"idle:{turn_no}"))
    async with database.write() as rows:
        await rows.execute(
            text(
                "INSERT INTO prompt (id, session_id, turn_no, body, status, accepted_seq)"
                " VALUES (:id, :session, :turn, 'Go', :status, 0)"
            ),
            {
                "id": turn.prompt_id,
                "session": session_id,
                "turn": turn_no,
                "status": "done" if done else "running",
            },
        )
        for event in events:
            await append_in_transaction(rows, session_id, turn_no, event)
    return turn


async def make_older(database: Database, turn: EndedTurn, *, ended: bool = True) -> None:
    """Let a turn have begun, and ended, two days ago."""
    async with database.write() as rows:
        await rows.execute(
            text("UPDATE prompt SET created_at = created_at - interval '2 days' WHERE id = :id"),
            {"id": turn.prompt_id},
        )
        if ended:
            await rows.execute(
                text(
                    "UPDATE session_event SET created_at = created_at - interval '2 days'"
                    " WHERE session_id = :id AND turn_no = :turn_no"
                ),
                {"id": turn.session_id, "turn_no": turn.turn_no},
            )


async def floor_of(database: Database, session_id: SessionId) -> int:
    async with database.read() as rows:
        floor = await rows.scalar(
            text("SELECT floor_seq FROM session_stream WHERE session_id = :id"), {"id": session_id}
        )
    return int(floor or 0)


def texts(events: list[LoggedEvent]) -> list[str]:
    return [str(e.data["text"]) for e in events if e.type == EventType.MESSAGE_DELTA]


async def take(subscription: Subscription, last: int) -> list[Frame]:
    frames: list[Frame] = []
    async with asyncio.timeout(30):
        while subscription.cursor < last:
            frames += await subscription.next_frames()
    return frames


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.seq for frame in frames]


async def test_only_turns_that_ended_long_ago_are_folded(database: Database) -> None:
    session_id = await open_session(database)
    old, late, fresh = [await run_turn(database, session_id, n, 3) for n in (1, 2, 3)]
    running = await run_turn(database, session_id, 4, 3, done=False)
    await make_older(database, old)
    await make_older(database, late, ended=False)  # it began long ago and has just ended
    await make_older(database, running)
    async with database.read() as rows:
        assert await find_turns_to_fold(rows, ended_before=DAY, limit=10) == [old]
    before = fold_history(await read_events(database, session_id))
    assert await FoldSweep(database, DAY).run() == 1
    assert await FoldSweep(database, DAY).run() == 0
    events = await read_events(database, session_id)
    assert fold_history(events) == before
    assert texts(events)[0] == "0 1 2 "
    assert len(texts(events)) == 1 + 3 + 3 + 3
    assert await floor_of(database, session_id) == 4
    assert fresh.turn_no == 3


async def test_a_sweep_that_may_never_fold_does_not(database: Database) -> None:
    turn = await run_turn(database, await open_session(database), 1, 3)
    await make_older(database, turn)
    assert await FoldSweep(database, timedelta(0)).run() == 0


async def test_two_that_fold_at_once_fold_once(database: Database) -> None:
    session_id = await open_session(database)
    turn = await run_turn(database, session_id, 1, 50)
    done = await asyncio.gather(*(fold_turn(database, turn) for _ in range(5)))
    assert sorted(done) == [False] * 4 + [True]
    assert [event.seq for event in await read_events(database, session_id)] == [1, 2, 52]


async def test_a_watcher_below_the_floor_is_reset_and_gets_the_whole(
    database: Database, hub: StreamHub
) -> None:
    session_id = await open_session(database)
    turn = await run_turn(database, session_id, 1, 50)
    await run_turn(database, session_id, 2, 3)
    assert await fold_turn(database, turn)
    for after in (0, 1, 20, 50):
        async with hub.subscribe(session_id, after) as subscription:
            frames = await take(subscription, 57)
        assert frames[0].type == STREAM_RESET
        assert frames[0].full == (
            b'{"seq":0,"turn_no":0,"type":"stream.reset","data":{"floorSeq":51}}'
        )
        assert numbers(frames[1:]) == [1, 2, *range(52, 58)]
    for after in (51, 52, 56):
        async with hub.subscribe(session_id, after) as subscription:
            assert numbers(await take(subscription, 57)) == list(range(after + 1, 58))


async def test_a_watcher_whose_pages_are_folded_while_it_reads_begins_again(
    database: Database, hub: StreamHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await open_session(database)
    turns = [await run_turn(database, session_id, n, 30) for n in (1, 2, 3)]
    whole = fold_history(await read_events(database, session_id))
    await _hear_everything(database, hub)  # late notices would be given instead of pages
    read_frames = hub.read_frames

    async def small_pages(session: SessionId, after: int, limit: int) -> tuple[int, list[Frame]]:
        floor, frames = await read_frames(session, after, limit)
        return floor, frames[:10]

    monkeypatch.setattr(hub, "read_frames", small_pages)
    got: dict[int, Frame] = {}
    resets = 0
    async with hub.subscribe(session_id, 0) as subscription:
        while frames := await subscription.next_frames(wait=0):
            if frames[0].type == STREAM_RESET:
                got.clear()
                resets += 1
            else:
                got |= {frame.seq: frame for frame in frames}
            if turns and subscription.cursor > 5:
                await fold_turn(database, turns.pop(0))
    assert resets == 3
    events = [_event(frame) for _, frame in sorted(got.items())]
    assert fold_history(events) == whole
    assert [e.seq for e in events] == [e.seq for e in await read_events(database, session_id)]


async def _hear_everything(database: Database, hub: StreamHub) -> None:
    """Wait until the hub has heard of all that was committed: notices come in their order."""
    session_id = await open_session(database)
    async with hub.subscribe(session_id, 0) as subscription:
        await run_turn(database, session_id, 1, 1)
        await take(subscription, 1)
        while session_id in hub._channels and not hub._channels[session_id].ring:
            await asyncio.sleep(0.02)


def _event(frame: Frame) -> LoggedEvent:
    parsed = orjson.loads(frame.full)
    return LoggedEvent(parsed["seq"], parsed["turn_no"], parsed["type"], parsed["data"])


async def test_who_follows_live_is_not_disturbed_and_the_ring_serves_nobody_below_the_floor(
    database: Database, hub: StreamHub
) -> None:
    session_id = await open_session(database)
    async with hub.subscribe(session_id, 0) as live:
        turn = await run_turn(database, session_id, 1, 20)
        assert numbers(await take(live, 22)) == list(range(1, 23))
        assert len(hub._channels[session_id].ring) == 22
        assert await fold_turn(database, turn)
        # One that stopped in the middle of the folded log comes back: the ring has the old pieces.
        async with hub.subscribe(session_id, 5) as late:
            frames = await take(late, 22)
        assert frames[0].type == STREAM_RESET
        assert numbers(frames[1:]) == [1, 2, 22]
        await run_turn(database, session_id, 2, 1)
        assert numbers(await take(live, 25)) == [23, 24, 25]


async def test_folding_waits_for_nobody_and_a_deleted_session_stays_gone(
    database: Database,
) -> None:
    session_id = await open_session(database)
    turn = await run_turn(database, session_id, 1, 20)
    async with own_connection(database) as connection:
        for table in ("session_stream", "session_event", "prompt"):
            await connection.execute(
                f"DELETE FROM {table} WHERE session_id = %s",
                (UUID(str(session_id)),),
            )
    assert not await fold_turn(database, turn)
    assert await read_events(database, session_id) == []
