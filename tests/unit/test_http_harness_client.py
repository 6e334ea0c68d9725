"""The HTTP client against harnesses that work, and against servers that misbehave."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.errors import (
    CatteryError,
    HarnessError,
    HarnessRejectedError,
    HarnessSessionGoneError,
    NotFoundError,
    SandboxError,
)
from cattery.events.model import (
    Answer,
    QuestionAnswered,
    QuestionAsked,
    TextPiece,
    TitleChanged,
    Translated,
    TurnEnded,
    UsageUpdated,
)
from cattery.harnesses.http_client import MALFORMED_FRAME, HttpHarnessClient
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.translator import OpencodeTranslator
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessSessionId

SCRIPT = Path(__file__).parent.parent / "scripted_harness.py"
PASSWORD = "a-password"
SESSION = HarnessSessionId("ses_1")
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
async def scripted() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        "--password",
        PASSWORD,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = int((await process.stdout.readline()).split()[-1])
    yield f"http://127.0.0.1:{port}"
    process.kill()
    await process.wait()


@pytest.fixture
async def client(scripted: str) -> AsyncIterator[OpencodeClient]:
    client = OpencodeClient(HarnessEndpoint(scripted, PASSWORD))
    yield client
    await client.close()


async def run_turn(
    client: OpencodeClient,
    text: str,
    answer: Callable[[HarnessSessionId, QuestionAsked], Awaitable[None]] | None = None,
) -> list[Translated]:
    session = await client.create_session(theme="dark")
    message = client.new_message_id()
    translator = OpencodeTranslator(session, message)
    events: list[Translated] = []
    async with client.open_events() as frames:
        await client.post_prompt(session, message, text)
        async for frame in frames:
            for event in translator.translate(frame):
                is_new = event not in events
                events.append(event)
                if isinstance(event, QuestionAsked) and answer and is_new:
                    await answer(session, event)
            if TurnEnded() in events:
                break
    history = await client.fetch_history(session)
    assert translator.prompt_is_in(history)
    assert not await client.is_busy(session)
    return events


async def test_a_turn_streams_its_text(client: OpencodeClient) -> None:
    events = await run_turn(client, "deltas=5 size=6")

    pieces = [e.text for e in events if isinstance(e, TextPiece) and not e.complete]
    assert pieces == ["word0 ", "word1 ", "word2 ", "word3 ", "word4 "]
    assert events[-1] == TurnEnded()


async def test_a_question_is_answered_by_its_labels_and_notes(client: OpencodeClient) -> None:
    async def answer(session: HarnessSessionId, asked: QuestionAsked) -> None:
        given = Answer(asked.questions[0].question, ("Blue",), notes=" dark, please ")
        await client.answer(session, asked, [given])

    events = await run_turn(client, "ask", answer)

    answered = [e for e in events if isinstance(e, QuestionAnswered)]
    assert answered[0].answers[0].selected_labels == ("Blue", "dark, please")


async def test_an_answered_question_is_no_longer_open(client: OpencodeClient) -> None:
    async def answer_twice(session: HarnessSessionId, asked: QuestionAsked) -> None:
        given = [Answer(asked.questions[0].question, ("Red",))]
        await client.answer(session, asked, given)
        with pytest.raises(NotFoundError):
            await client.answer(session, asked, given)

    await run_turn(client, "ask", answer_twice)


async def test_an_aborted_turn_ends_and_is_no_error(client: OpencodeClient) -> None:
    session = await client.create_session(theme="light")
    message = client.new_message_id()
    translator = OpencodeTranslator(session, message)
    events: list[Translated] = []
    async with client.open_events() as frames:
        await client.post_prompt(session, message, "deltas=1000 rate=100")
        async for frame in frames:
            new = translator.translate(frame)
            if new and len(events) < 3 <= len(events) + len(new):
                assert await client.is_busy(session)
                await client.abort(session)
            events += new
            if TurnEnded() in events:
                break

    assert {type(event) for event in events} == {TitleChanged, TextPiece, UsageUpdated, TurnEnded}


async def test_sessions_are_known_or_gone(client: OpencodeClient) -> None:
    session = await client.create_session(theme="dark")

    await client.check_health()
    assert await client.session_exists(session)
    assert not await client.session_exists(SESSION)
    assert await client.fetch_title(session) is None
    with pytest.raises(HarnessSessionGoneError):
        await client.fetch_history(SESSION)
    with pytest.raises(HarnessSessionGoneError):
        await client.post_prompt(SESSION, client.new_message_id(), "hello")


async def test_a_wrong_password_is_a_rejection(scripted: str) -> None:
    client = OpencodeClient(HarnessEndpoint(scripted, "wrong"))
    with pytest.raises(HarnessRejectedError, match="password"):
        await client.check_health()
    with pytest.raises(HarnessRejectedError, match="password"):
        async with client.open_events():
            pass
    await client.close()


def test_message_ids_sort_in_the_order_of_their_making() -> None:
    client = OpencodeClient(HarnessEndpoint("http://127.0.0.1:1"))
    ids = [client.new_message_id() for _ in range(10_000)]

    assert ids == sorted(ids)
    assert {len(message) for message in ids} == {len("msg_") + 26}


async def test_the_plain_surface_serves_a_harness_without_opencodes_extras(scripted: str) -> None:
    client = HttpHarnessClient(HarnessEndpoint(scripted))
    client._headers = lambda: OpencodeClient(  # type: ignore[method-assign]
        HarnessEndpoint(scripted, PASSWORD)
    )._headers()
    session = await client.create_session(theme="dark")

    await client.check_health()
    await client.post_prompt(session, client.new_message_id(), "silent")
    assert await client.is_busy(session)
    await client.abort(session)
    assert not await client.is_busy(session)
    with pytest.raises(NotFoundError):
        await client.answer(session, QuestionAsked("none", ()), [])
    await client.close()


@asynccontextmanager
async def misbehaving(*answer: bytes, hang: bool = False) -> AsyncIterator[HttpHarnessClient]:
    """Serve the same bytes to every request, then close or hang."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in answer:
            writer.write(piece)
            await writer.drain()
        if hang:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    short = timedelta(milliseconds=150)
    client = HttpHarnessClient(
        HarnessEndpoint(f"http://127.0.0.1:{port}"), first_frame=short, silence=short
    )
    try:
        yield client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


def response(status: str, *headers: str, body: bytes = b"") -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
A_FRAME = b'data: {"type":"a"}\n\n'


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (response("404 Not Found"), HarnessSessionGoneError, "no longer knows .* ses_1"),
        (
            response("400 Bad", body=b"no\n such  key"),
            HarnessRejectedError,
            r"\(400\): no such key",
        ),
        (response("500 Oops", body=b"x" * 5000), HarnessError, r"\(500\): x{200}$"),
        (response("302 Found", "Location: http://127.0.0.1:1/"), HarnessError, r"\(302\)"),
        (response("200 OK", JSON, body=b"<html>"), HarnessError, "other than JSON"),
        (response("200 OK", JSON, body=b"{}"), HarnessError, "not a list"),
        (b"", SandboxError, "was lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n[]", SandboxError, "was lost"),
        (b"garbage\r\n\r\n", SandboxError, "was lost"),
    ],
)
async def test_a_bad_answer_becomes_the_error_that_says_what_it_is(
    answer: bytes, error: type[CatteryError], words: str
) -> None:
    async with misbehaving(answer) as client:
        with pytest.raises(error, match=words):
            await client.fetch_history(SESSION)


async def test_a_harness_that_does_not_run_is_said_to_be_so() -> None:
    client = HttpHarnessClient(HarnessEndpoint("http://127.0.0.1:1"))
    with pytest.raises(SandboxError, match="is not running"):
        await client.check_health()
    with pytest.raises(SandboxError, match="is not running"):
        async with client.open_events():
            pass
    await client.close()


@pytest.mark.parametrize("opening", [b"", STREAM, STREAM + b": only a comment\n\n"])
async def test_a_stream_without_a_first_frame_is_given_up(opening: bytes) -> None:
    async with misbehaving(opening, hang=True) as client:
        with pytest.raises(SandboxError, match=r"silent for 0\.15 seconds"):
            async with client.open_events():
                pass


async def test_a_stream_that_falls_silent_is_lost() -> None:
    async with misbehaving(STREAM + A_FRAME, hang=True) as client, client.open_events() as frames:
        assert await anext(frames) == {"type": "a"}
        with pytest.raises(SandboxError, match="silent"):
            await anext(frames)


async def test_a_stream_that_ends_ends_the_iteration() -> None:
    body = b'data: {"type":"a"}\n\ndata: {"type":"b"}\n\n'
    async with misbehaving(STREAM + body) as client, client.open_events() as frames:
        assert [frame async for frame in frames] == [{"type": "a"}, {"type": "b"}]


async def test_a_cancelled_read_does_not_end_the_stream() -> None:
    async with misbehaving(STREAM + A_FRAME, hang=True) as client, client.open_events() as frames:
        await anext(frames)
        waiting = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        with pytest.raises(SandboxError, match="silent"):
            await anext(frames)


async def test_what_is_no_json_object_becomes_a_frame_of_our_own() -> None:
    body = b'data: nonsense\n\ndata: [1]\n\ndata: {"a":"caf\xe9","b":"\\ud800"}\n\n'
    async with misbehaving(STREAM + body) as client, client.open_events() as frames:
        assert [frame async for frame in frames] == [
            {"type": MALFORMED_FRAME, "properties": {"preview": "nonsense"}},
            {"type": MALFORMED_FRAME, "properties": {"preview": "[1]"}},
            {"a": "caf\ufffd", "b": "\ud800"},
        ]


async def test_a_page_in_place_of_a_stream_is_an_error() -> None:
    async with misbehaving(response("200 OK", "Content-Type: text/html", body=b"<p>")) as client:
        with pytest.raises(HarnessError, match="no event stream"):
            async with client.open_events():
                pass
