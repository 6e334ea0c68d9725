"""The hub: every watcher sees every event once and in order, however it comes and falls behind."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import override
from uuid import UUID

import orjson
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from cattery.db.engine import Database
from cattery.db.event_log import EVENTS_CHANNEL, BatchRow, Head, append_batch, read_page
from cattery.db.feed import FEED_CHANNEL, FeedItem, announce
from cattery.db.fences import Fence
from cattery.events.appender import EventAppender
from cattery.events.channel import PAGE_BYTES, RING_BYTES, RING_FRAMES, TICK, Subscription
from cattery.events.frames import Frame
from cattery.events.hub import FEED_QUEUE, StreamHub
from cattery.events.model import EventType, LoggedEvent, NewEvent
from cattery.ids import SessionId, new_id
from cattery.jsontypes import JsonObject
from tests.db.written_log import (
    kill_connections,
    named,
    open_logs,
    own_connection,
    until,
    whole_log,
    word,
    words,
)

HUB = "cattery-test-hub"


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[StreamHub]:
    made = StreamHub(named(database.url, HUB))
    await made.start()
    await made._listening.wait()
    yield made
    await made.close()


@pytest.fixture
async def fence(database: Database) -> Fence:
    (made,) = await open_logs(database)
    return made


async def write(database: Database, fence: Fence, events: list[NewEvent]) -> None:
    async with own_connection(database) as connection:
        await write_by(connection, fence, events)


async def write_by(
    connection: AsyncConnection[TupleRow], fence: Fence, events: list[NewEvent]
) -> None:
    rows = [BatchRow(fence, event) for event in events]
    await append_batch(connection, random.getrandbits(60), rows)


async def take(subscription: Subscription, last: int) -> list[Frame]:
    """Take frames up to a number."""
    frames: list[Frame] = []
    async with asyncio.timeout(30):
        while subscription.cursor < last:
            frames += await subscription.next_frames()
    return frames


def numbers(frames: list[Frame]) -> list[int]:
    return [frame.seq for frame in frames]


async def follow(hub: StreamHub, session_id: SessionId, after: int, last: int) -> list[int]:
    async with hub.subscribe(session_id, after) as subscription:
        return numbers(await take(subscription, last))


def test_a_frame_is_the_events_json_with_and_without_its_number() -> None:
    frame = Frame.of(LoggedEvent(7, 2, "message.delta", {"partId": "p", "text": 'ü"\n'}))
    contract = {"type": "message.delta", "data": {"partId": "p", "text": 'ü"\n'}}
    assert orjson.loads(frame.contract) == contract
    assert orjson.loads(frame.full) == {"seq": 7, "turn_no": 2, **contract}
    assert b"\n" not in frame.contract + frame.full


async def test_a_watcher_begins_at_the_first_event_in_the_middle_or_at_the_end(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    await write(database, fence, words(1_200))
    for after in (0, 700, 1_199):
        assert await follow(hub, fence.session_id, after, 1_200) == list(range(after + 1, 1_201))
    async with hub.subscribe(fence.session_id, 1_200) as subscription:
        assert await subscription.next_frames(wait=0) == []


async def test_what_is_written_later_comes_live_with_its_data(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription:
        for number in range(1, 6):
            waiting = asyncio.create_task(subscription.next_frames())
            await write(database, fence, [word(number)])
            (frame,) = await asyncio.wait_for(waiting, 10)
            assert orjson.loads(frame.full) == {
                "seq": number,
                "turn_no": 1,
                "type": "message.delta",
                "data": word(number).data,
            }


async def test_live_and_read_again_an_event_is_the_same(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    data: JsonObject = {
        "b": 1,
        "a": [1.5, None, True, "ü\u2028\U0001f600"],
        "text": 'quote " and \\ slash',
    }
    async with hub.subscribe(fence.session_id, 0) as subscription:
        await write(database, fence, [NewEvent(EventType.TOOL_DONE, data)])
        (live,) = await subscription.next_frames()
    _, (read,) = await hub.read_frames(fence.session_id, 0)
    assert orjson.loads(live.full) == orjson.loads(read.full)
    assert orjson.loads(live.full)["data"] == data


async def test_waiting_ends_when_the_time_is_up(hub: StreamHub, fence: Fence) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription:
        assert await subscription.next_frames(wait=0.01) == []


async def test_events_that_are_too_long_for_a_notice_come_in_their_place(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    long = NewEvent(EventType.TOOL_DONE, {"output": "x" * 50_000})
    async with hub.subscribe(fence.session_id, 0) as subscription:
        frames: list[Frame] = []
        for number, event in enumerate([word(1), long, word(2), long, long, word(3)], 1):
            await write(database, fence, [event])
            frames += await take(subscription, number)
    assert numbers(frames) == [1, 2, 3, 4, 5, 6]
    assert len(frames[4].full) > 50_000


async def test_watchers_that_come_while_a_turn_is_written_at_full_speed_miss_nothing(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    tools = 1_500  # not merged: each an event
    appender = EventAppender(database.url)
    await appender.start()
    turn = appender.open_turn(fence)
    follows: list[asyncio.Task[list[int]]] = []
    afters: list[int] = []
    for number in range(tools):
        await turn.append([NewEvent(EventType.TURN_STATUS, {"n": number})])
        if number % 25 == 0:
            await asyncio.sleep(0)
            after = random.choice([0, number // 2])
            afters.append(after)
            follows.append(asyncio.create_task(follow(hub, fence.session_id, after, tools)))
    await turn.flush()
    seen = await asyncio.gather(*follows)
    await appender.close()
    assert len(await whole_log(database, fence.session_id)) == tools
    assert seen == [list(range(after + 1, tools + 1)) for after in afters]


class InterruptedHub(StreamHub):
    """A hub in which something happens just after a new watcher has read its session's head."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    @override
    async def _read_heads(self, session_ids: list[UUID]) -> dict[UUID, Head]:
        heads = await super()._read_heads(session_ids)
        if self.meanwhile:
            await self.meanwhile()
        return heads


async def test_an_event_that_comes_while_a_watcher_looks_up_the_head_is_not_lost(
    database: Database,
) -> None:
    fence, other = await open_logs(database, 2)
    hub = InterruptedHub(database.url)
    await hub.start()
    await hub._listening.wait()
    hub._tasks[1].cancel()  # nobody looks at the heads again
    try:
        async with hub.subscribe(other.session_id, 0) as witness:

            async def speak() -> None:
                await write(database, fence, words(1))
                await write(database, other, words(1))
                await take(witness, 1)  # so the notice before it was heard as well

            hub.meanwhile = speak
            async with hub.subscribe(fence.session_id, 0) as subscription:
                assert numbers(await subscription.next_frames(wait=0)) == [1]
    finally:
        await hub.close()


async def test_a_watcher_that_fell_behind_further_than_the_ring_catches_up_from_the_log(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with (
        hub.subscribe(fence.session_id, 0) as slow,
        hub.subscribe(fence.session_id, 0) as quick,
    ):
        await write(database, fence, words(1))
        assert len(await slow.next_frames()) == 1
        for _ in range(40):
            await write(database, fence, words(50))
        assert numbers(await take(quick, 2_001)) == list(range(1, 2_002))
        channel = hub._channels[fence.session_id]
        assert len(channel.ring) <= RING_FRAMES
        first = await slow.next_frames(wait=0)
        assert 0 < len(first) <= 500
        await write(database, fence, words(10))
        assert numbers(first + await take(slow, 2_011)) == list(range(2, 2_012))


async def test_the_ring_is_bounded_in_bytes_as_well(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    long = NewEvent(EventType.TOOL_DONE, {"output": "x" * 7_000})
    async with (
        hub.subscribe(fence.session_id, 0) as subscription,
        own_connection(database) as connection,
    ):
        for number in range(1, 121):
            await write_by(connection, fence, [long])
            await take(subscription, number)
        channel = hub._channels[fence.session_id]
        assert 0 < len(channel.ring) < 120
        assert channel.ring_bytes == sum(len(frame.full) for frame in channel.ring) <= RING_BYTES
        assert numbers(list(channel.ring)) == list(range(channel.ring[0].seq, 121))


async def test_a_page_of_large_events_is_bounded_in_bytes_and_nothing_is_left_out(
    database: Database, hub: StreamHub, fence: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = NewEvent(EventType.TOOL_DONE, {"output": "x" * 60_000})
    huge = NewEvent(EventType.TOOL_DONE, {"output": "x" * (PAGE_BYTES + 1)})
    small = words(30)
    async with own_connection(database) as connection:
        for events in ([large] * 40, small, [huge] * 2, small):
            await write_by(connection, fence, events)
    asked: list[int] = []
    read_frames = hub.read_frames

    async def count(session: SessionId, after: int, limit: int) -> tuple[int, list[Frame]]:
        asked.append(limit)
        return await read_frames(session, after, limit)

    monkeypatch.setattr(hub, "read_frames", count)
    seen: list[int] = []
    async with hub.subscribe(fence.session_id, 0) as subscription:
        while frames := await subscription.next_frames(wait=0):
            seen += numbers(frames)
            assert len(frames) == 1 or sum(len(f.full) for f in frames) <= PAGE_BYTES
    assert seen == list(range(1, 103))
    assert asked[0] == 500
    assert asked[1] < 25, "what would not be handed out is not read either"


async def test_two_hundred_watchers_of_one_session_see_the_same_frames_encoded_once(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async def watch(ready: asyncio.Semaphore) -> list[Frame]:
        async with hub.subscribe(fence.session_id, 0) as subscription:
            ready.release()
            return await take(subscription, 100)

    ready = asyncio.Semaphore(0)
    watching = [asyncio.create_task(watch(ready)) for _ in range(200)]
    for _ in range(200):
        await ready.acquire()
    await write(database, fence, words(100))
    seen = await asyncio.gather(*watching)
    assert [numbers(frames) for frames in seen] == [list(range(1, 101))] * 200
    assert len({id(frame) for frames in seen for frame in frames}) == 100
    assert hub._channels == {}


async def test_a_session_that_nobody_watches_any_more_costs_nothing(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0):
        async with hub.subscribe(fence.session_id, 0):
            pass
        assert list(hub._channels) == [fence.session_id]
    assert hub._channels == {}


async def test_sessions_are_told_apart(database: Database, hub: StreamHub) -> None:
    one, other = await open_logs(database, 2)
    async with hub.subscribe(one.session_id, 0) as mine, hub.subscribe(other.session_id, 0) as its:
        await write(database, one, [word(1)])
        await write(database, other, [word(2), word(3)])
        assert [f.full for f in await take(mine, 1)] == [Frame.of(_logged(1, 1)).full]
        assert numbers(await take(its, 2)) == [1, 2]


def _logged(seq: int, number: int) -> LoggedEvent:
    return LoggedEvent(seq, 1, "message.delta", word(number).data)


async def test_a_killed_connection_interrupts_nobody(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription:
        await write(database, fence, words(3))
        frames = await take(subscription, 3)
        hub._tasks[1].cancel()  # the look at the heads would hide what a reconnect forgets
        for last in (6, 9, 12):
            hub._listening.clear()
            assert await kill_connections(database, HUB) >= 1  # to listen, and to read
            await write(database, fence, words(3))
            frames += await take(subscription, last)
            await asyncio.wait_for(hub._listening.wait(), 10)
        await write(database, fence, words(3))
        frames += await take(subscription, 15)
    assert numbers(frames) == list(range(1, 16))


async def test_a_notice_that_never_came_costs_time_but_no_event(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription:
        hub._tasks[0].cancel()  # nobody listens any more
        await write(database, fence, words(3))
        assert numbers(await take(subscription, 3)) == [1, 2, 3]


async def test_a_notice_that_nobody_understands_does_not_end_the_listening(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription, hub.follow_feed() as feed:
        async with own_connection(database) as connection:
            for channel in (EVENTS_CHANNEL, FEED_CHANNEL):
                for payload in ("", "no JSON", "{}", "[]", '["x",1]', "7"):
                    await connection.execute("SELECT pg_notify(%s, %s)", (channel, payload))
        await write(database, fence, words(1))
        assert numbers(await take(subscription, 1)) == [1]
        await tell(database, "project")
        assert (await asyncio.wait_for(feed.get(), 5)).kind == "project"
        assert not hub._tasks[0].done()


async def test_streams_are_told_to_end_when_the_process_is_about_to(
    hub: StreamHub, fence: Fence
) -> None:
    async with hub.subscribe(fence.session_id, 0) as subscription:
        waiting = asyncio.create_task(subscription.next_frames())
        await asyncio.sleep(0)
        hub.end_streams()
        assert await asyncio.wait_for(waiting, 5) == []
        assert hub.closing


async def tell(database: Database, kind: str) -> FeedItem:
    item = FeedItem(kind, new_id(), new_id())  # type: ignore[arg-type]
    async with database.write() as rows:
        assert item.id is not None
        await announce(rows, kind, item.id, item.project_id)  # type: ignore[arg-type]
    return item


async def test_everybody_who_follows_the_feed_hears_of_each_change_in_order(
    database: Database, hub: StreamHub
) -> None:
    async with hub.follow_feed() as one, hub.follow_feed() as other:
        told = [await tell(database, kind) for kind in ("harness", "session", "project", "user")]
        for queue in (one, other):
            assert [await asyncio.wait_for(queue.get(), 10) for _ in told] == told
    assert hub._feeds == set()


async def test_only_changes_of_rights_make_streams_look_at_theirs_again(
    database: Database, hub: StreamHub
) -> None:
    async with hub.follow_feed() as feed:
        for kind, changes in (("harness", 0), ("session", 0), ("project", 1), ("user", 1)):
            before = hub.access_epoch
            await tell(database, kind)
            await asyncio.wait_for(feed.get(), 10)
            assert hub.access_epoch - before == changes, kind


async def test_watchers_that_come_back_at_once_read_each_page_once(
    database: Database, hub: StreamHub, fence: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(database, fence, words(1_200))
    pages: list[int] = []

    async def read(connection: object, session_id: SessionId, after: int, limit: int) -> object:
        pages.append(after)
        return await read_page(connection, session_id, after, limit)  # type: ignore[arg-type]

    monkeypatch.setattr("cattery.events.hub.read_page", read)
    found = await asyncio.gather(*(follow(hub, fence.session_id, 0, 1_200) for _ in range(50)))
    assert all(each == list(range(1, 1_201)) for each in found)
    assert len(pages) < 75, "hardly a page was shared: each alone reads three"
    assert not hub._reading


async def test_a_watcher_that_leaves_takes_a_page_from_no_other(
    database: Database, hub: StreamHub, fence: Fence
) -> None:
    await write(database, fence, words(10))
    leaving = asyncio.create_task(hub.read_frames(fence.session_id, 0))
    staying = asyncio.create_task(hub.read_frames(fence.session_id, 0))
    await asyncio.sleep(0)
    leaving.cancel()
    _, frames = await staying
    assert [frame.seq for frame in frames] == list(range(1, 11))
    assert leaving.cancelled()


async def test_a_change_of_rights_ends_every_wait_and_one_that_begins_after_it(
    hub: StreamHub, fence: Fence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cattery.events.channel.LOOK_AGAIN", 0.6)
    session_id = fence.session_id
    async with hub.subscribe(session_id, 0) as waiting, hub.subscribe(session_id, 0) as busy:
        for each in (waiting, busy):  # the first wait of a watcher is short: it has checked nothing
            assert await asyncio.wait_for(each.next_frames(wait=60), 10) == []
        wait = asyncio.create_task(waiting.next_frames(wait=60))
        endless = asyncio.create_task(busy.next_frames())
        await asyncio.sleep(0)
        hub.access_epoch += 1
        assert await asyncio.wait_for(wait, 10) == []
        assert await asyncio.wait_for(endless, 10) == []
        hub.access_epoch += 1  # while it is at what it was handed last
        await asyncio.sleep(2 * TICK)  # so that the hub has told those who waited
        assert await busy.next_frames(wait=0) == [], "a look, after which nobody checks"
        assert await asyncio.wait_for(busy.next_frames(wait=60), 10) == []
        with pytest.raises(TimeoutError):  # nothing has changed since
            await asyncio.wait_for(busy.next_frames(wait=60), 1)


async def test_after_a_reconnect_the_feed_says_that_something_may_have_been_lost(
    database: Database, hub: StreamHub
) -> None:
    async with hub.follow_feed() as feed:
        before = hub.access_epoch
        assert await kill_connections(database, HUB) >= 1
        assert await asyncio.wait_for(feed.get(), 10) == FeedItem.lost()
        assert hub.access_epoch > before
        told = await tell(database, "session")
        assert await asyncio.wait_for(feed.get(), 10) == told


async def test_a_reader_that_lets_the_feed_pile_up_is_told_that_it_lost_something(
    hub: StreamHub,
) -> None:
    async with hub.follow_feed() as lazy:
        for _ in range(FEED_QUEUE + 1):
            hub._offer_feed(FeedItem("session", new_id(), new_id()))
        assert lazy.qsize() == 2
        assert lazy.get_nowait() == FeedItem.lost()
        assert lazy.get_nowait().kind == "session"


async def test_a_watcher_that_comes_before_the_hub_listens_misses_nothing(
    database: Database, fence: Fence
) -> None:
    hub = StreamHub(database.url)
    await hub.start()
    try:
        async with hub.subscribe(fence.session_id, 0) as subscription:
            await write(database, fence, words(1))
            assert numbers(await take(subscription, 1)) == [1]

        async def listens() -> bool:
            return hub._listening.is_set()

        await until(listens, "the hub to listen")
    finally:
        await hub.close()
