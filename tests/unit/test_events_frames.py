"""Frames: what is sent of an event, and what one keeps while it is in a ring."""

import tracemalloc

import orjson

from cattery.events.frames import Frame
from cattery.events.model import EventType, LoggedEvent
from cattery.jsontypes import JsonObject

FRAMES = 1_000


def event(seq: int) -> LoggedEvent:
    data: JsonObject = {"partId": "part-1", "text": "word " * 10}
    return LoggedEvent(seq, 1, EventType.MESSAGE_DELTA, data)


def test_a_frame_says_the_same_to_every_reader() -> None:
    frame, made = Frame.of(event(7)), event(7)
    whole = {"seq": 7, "turn_no": 1, "type": "message.delta", "data": made.data}
    assert orjson.loads(frame.full) == whole
    assert orjson.loads(frame.contract) == {"type": "message.delta", "data": made.data}


def test_a_frame_keeps_little_more_than_what_it_sends() -> None:
    events = [event(seq) for seq in range(FRAMES)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        frames = [Frame.of(each) for each in events]
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    sent = sum(len(frame.full) for frame in frames)
    assert kept < sent + FRAMES * 200
