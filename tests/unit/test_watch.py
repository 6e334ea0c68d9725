"""The frames of one session between the reader of a harness and a turn."""

import asyncio

import pytest

from activities.connections import QUEUE_FRAMES, StreamLostError, Watch
from cattery.ids import HarnessSessionId

LOST = StreamLostError("The event stream of the harness was lost: test")
SOON = 0.05
LONG = 30.0


async def test_what_has_come_is_taken_at_once_and_in_order() -> None:
    watch = Watch()
    for number in range(3):
        await watch.put({"number": number})
    assert await watch.take(LONG) == [{"number": 0}, {"number": 1}, {"number": 2}]


async def test_who_waits_gets_the_next_frame() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.take(LONG))
    await asyncio.sleep(0)
    await watch.put({"number": 1})
    assert await asyncio.wait_for(waiting, 1) == [{"number": 1}]


async def test_nothing_is_given_when_the_time_is_up_also_where_it_moved() -> None:
    watch = Watch()
    loop = asyncio.get_running_loop()
    for timeout in (SOON, 4 * SOON, SOON):  # earlier than the timer that is set, and later
        began = loop.time()
        assert await asyncio.wait_for(watch.take(timeout), 5) == []
        assert loop.time() - began >= timeout * 0.9
    waiting = asyncio.create_task(watch.take(LONG))
    await asyncio.sleep(0)
    await watch.put({})
    assert await waiting == [{}]
    assert await asyncio.wait_for(watch.take(SOON), 5) == [], "the timer was set for later"


async def test_a_loss_comes_after_all_that_was_before_it_and_nothing_after_it() -> None:
    watch = Watch()
    await watch.put({"number": 1})
    watch.lose(LOST)
    await watch.put({"number": 2})
    assert await watch.take(LONG) == [{"number": 1}]
    with pytest.raises(StreamLostError):
        await watch.take(LONG)


async def test_a_loss_wakes_who_waits() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.take(LONG))
    await asyncio.sleep(0)
    watch.lose(LOST)
    with pytest.raises(StreamLostError):
        await asyncio.wait_for(waiting, 1)


async def test_the_reader_waits_for_a_turn_that_is_far_behind() -> None:
    watch = Watch()
    for number in range(QUEUE_FRAMES):
        await watch.put({"number": number})
    putting = asyncio.create_task(watch.put({"number": QUEUE_FRAMES}))
    await asyncio.sleep(SOON)
    assert not putting.done()
    assert len(await watch.take(LONG)) == QUEUE_FRAMES
    await asyncio.wait_for(putting, 1)
    assert await watch.take(LONG) == [{"number": QUEUE_FRAMES}]


async def test_the_reader_does_not_wait_for_a_turn_that_is_gone() -> None:
    watch = Watch()
    for number in range(QUEUE_FRAMES):
        await watch.put({"number": number})
    putting = asyncio.create_task(watch.put({"number": QUEUE_FRAMES}))
    await asyncio.sleep(0)
    watch.end()
    await asyncio.wait_for(putting, 1)


async def test_a_take_that_was_given_up_takes_nothing_away() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.take(LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await watch.put({"number": 1})
    assert await watch.take(LONG) == [{"number": 1}]


async def test_a_piece_of_another_session_is_left_out_only_by_a_turn_that_waits() -> None:
    watch, other = Watch(), HarnessSessionId("ses_other")
    watch.follows = lambda session: session == "ses_child"
    assert not watch.is_no_news(other), "before its turn has looked at anything"
    waiting = asyncio.create_task(watch.take(LONG))
    await asyncio.sleep(0)
    assert watch.is_no_news(other)
    assert not watch.is_no_news(HarnessSessionId("ses_child"))
    await watch.put({"number": 1})
    assert not watch.is_no_news(other), "the frame that it has yet to read may name it"
    assert await waiting == [{"number": 1}]
    assert not watch.is_no_news(other), "it is at that frame"


async def test_a_turn_that_says_nothing_of_what_it_follows_gets_every_piece() -> None:
    watch = Watch()
    waiting = asyncio.create_task(watch.take(SOON))
    await asyncio.sleep(0)
    assert not watch.is_no_news(HarnessSessionId("ses_other"))
    assert await waiting == []
