"""What of a terminal's output reaches a viewer, whatever the chunks that it comes in."""

import random

import pytest

from api.terminal_output import MAX_UNFINISHED, OutputFilter

KEPT = [
    b"plain text \xe2\x82\xac \xc2\xb5 \xf0\x9f\x90\x88\r\n",
    b"\x1b[1;38;2;1;2;3mcolour\x1b[m\x1b[?1049h\x1b[?2004h\x1b[2;10r\x1b[4 q\x1b[>7u\x1b[<1u",
    b"\x1b7\x1b8\x1bM\x1b(0qqq\x1b(B\x1b=",
]
DROPPED = [
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b]52;c;ZXZpbA==\x1b\\",
    b"\x1b]9;notify\x07\x1b]777;notify;a;b\x07\x1b]1337;File=x\x07\x1b]7;file:///\x07",
    b"\x1b]10;?\x07\x1b]11;?\x1b\\\x1b]4;1;?\x07",
    b"\x1b[c\x1b[>c\x1b[6n\x1b[?996n\x1b[?u\x1b[>q\x1b[21t\x1b[?2026$p\x1b[5i\x05",
    b"\x1bP$qm\x1b\\\x1b_payload\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\\x1bZ",
    b"\xc2\x9d\xc2\x9b\xc2\x90",
]
CLEANED = [
    (b"\x1b]0;a\xe2\x80\xaeb\xc2\x9cc\x07", b"\x1b]2;abc\x07"),
    (b"\x1b]2;" + b"x" * 500 + b"\x1b\\", b"\x1b]2;" + b"x" * 200 + b"\x07"),
    (
        b"\x1b]8;id=1;https://example.org/a\x07text\x1b]8;;\x07",
        b"\x1b]8;;https://example.org/a\x1b\\text\x1b]8;;\x1b\\",
    ),
    (b"\x1b]8;;javascript:alert(1)\x07text", b"\x1b]8;;\x1b\\text"),
    (b"\x1b]8;;file:///etc/passwd\x07", b"\x1b]8;;\x1b\\"),
]


def cut(stream: bytes, seed: int) -> bytes:
    """Filter a stream in chunks of random sizes."""
    choose = random.Random(seed)
    output = OutputFilter()
    shown = b""
    while stream:
        size = choose.randint(1, 7)
        shown += output.feed(stream[:size])
        stream = stream[size:]
    return shown


@pytest.mark.parametrize("stream", KEPT)
def test_what_draws_passes_unchanged(stream: bytes) -> None:
    assert OutputFilter().feed(stream) == stream


@pytest.mark.parametrize("stream", DROPPED)
def test_what_acts_elsewhere_or_is_answered_is_left_out(stream: bytes) -> None:
    # The letters of `ESC Z` that is no sequence of ours pass as text; nothing else does.
    assert OutputFilter().feed(stream).replace(b"Z", b"") == b""


@pytest.mark.parametrize(("stream", "shown"), CLEANED)
def test_titles_and_links_are_cleaned(stream: bytes, shown: bytes) -> None:
    assert OutputFilter().feed(stream) == shown


@pytest.mark.parametrize("seed", range(20))
def test_chunks_change_nothing(seed: int) -> None:
    streams = [*KEPT, *DROPPED, *(stream for stream, _ in CLEANED)]
    random.Random(seed).shuffle(streams)
    whole = b"".join(streams)
    assert cut(whole, seed) == OutputFilter().feed(whole)


def test_a_sequence_within_another_does_not_hide_it() -> None:
    assert b"\x1b]52" not in OutputFilter().feed(
        b"\x1b[12\x1b]52;c;eA==\x07\x1b]2;\x1b]52;c;eA==\x07"
    )


def test_a_sequence_without_end_becomes_text_and_holds_nothing_up() -> None:
    output = OutputFilter()
    shown = output.feed(b"\x1b]52;c;" + b"A" * MAX_UNFINISHED)
    shown += output.feed(b"after")
    assert shown.endswith(b"Aafter")
    assert b"\x1b" not in shown
