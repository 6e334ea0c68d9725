"""The event-stream parser, against the rules of the WHATWG and against its limits."""

from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from cattery.harnesses.sse import Payload, SkippedEvent, SseParser


def parse(*chunks: bytes, limit: int = 1000) -> list[Payload]:
    parser = SseParser(max_event_bytes=limit)
    return [payload for chunk in chunks for payload in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "payloads"),
    [
        (b"data: one\n\n", [b"one"]),
        (b"data: one\r\n\r\ndata: two\r\rdata: three\n\n", [b"one", b"two", b"three"]),
        (b"\xef\xbb\xbfdata: after a mark\n\n", [b"after a mark"]),
        (b"data: a\ndata: b\ndata\ndata:\n\n", [b"a\nb\n\n"]),
        (b"data:no blank\n\ndata:  two blanks\n\n", [b"no blank", b" two blanks"]),
        (b": a comment\n\ndata: x\n: another\n\n", [b"x"]),
        (b"event: kind\nid: 7\nretry: 5\ndata: x\nunknown\n\n", [b"x"]),
        (b"event: no data\n\n", []),
        (b"data:\n\n", [b""]),
        (b"data : x\nDATA: x\ndatax: y\n\n", []),
        (b"data: cut off", []),
        (b"data: no blank line\n", []),
        (b"data: caf\xe9 \xff\n\n", [b"caf\xe9 \xff"]),  # decoding is the reader's
        (b"\n\n\n", []),
    ],
)
def test_a_stream_gives_its_payloads_however_it_is_cut(
    stream: bytes, payloads: list[Payload]
) -> None:
    assert parse(stream) == payloads
    assert parse(*(stream[n : n + 1] for n in range(len(stream)))) == payloads


@given(
    texts=st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))),
    end=st.sampled_from([b"\n", b"\r", b"\r\n"]),
    cuts=st.lists(st.integers(0, 400), max_size=8),
)
def test_any_cutting_gives_the_same(texts: list[bytes], end: bytes, cuts: list[int]) -> None:
    stream = b"".join(b"data: " + text + end + end for text in texts)
    places = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    chunks = [stream[a:b] for a, b in pairwise(places)]

    assert parse(*chunks) == texts


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_over_the_limit_is_skipped_and_the_next_one_comes(size: int) -> None:
    stream = b"data: fits\n\ndata: " + b"x" * 101 + b"\n\ndata: " + b"y" * 100 + b"\n\n"
    chunks = [stream[n : n + size] for n in range(0, len(stream), size)]

    assert parse(*chunks, limit=100) == [b"fits", SkippedEvent(100), b"y" * 100]


def test_many_short_lines_count_together() -> None:
    assert parse(b"data: 12345\n" * 30 + b"\ndata: x\n\n", limit=100) == [SkippedEvent(100), b"x"]


def test_an_endless_line_is_not_kept() -> None:
    parser = SseParser(max_event_bytes=100)
    for _ in range(1000):
        assert parser.feed(b"x" * 1000) == []

    assert parser._pieces == []
    assert parser.feed(b"\n\ndata: x\n\n") == [SkippedEvent(100), b"x"]
