"""The scripted harness fails when it is told to, and only then: fault tests stand on it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cattery.errors import SandboxError
from cattery.events.model import TextPiece, Translated, TurnEnded
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.translator import OpencodeTranslator
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessMessageId, HarnessSessionId

SCRIPT = Path(__file__).parent.parent / "scripted_harness.py"


@contextlib.asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[OpencodeClient]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        *("--state", str(folder / "state.json"), "--prompts", str(folder / "prompts.jsonl")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    port = int((await process.stdout.readline()).split()[-1])
    client = OpencodeClient(HarnessEndpoint(f"http://127.0.0.1:{port}"))
    try:
        yield client
    finally:
        await client.close()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def follow(
    client: OpencodeClient, session: HarnessSessionId, message: HarnessMessageId, text: str
) -> list[Translated]:
    """Post a prompt and follow it until its end, or until the stream is closed."""
    translator = OpencodeTranslator(session, message)
    events: list[Translated] = []
    async with client.open_events() as frames:
        await client.post_prompt(session, message, text)
        async for frame in frames:
            events += translator.translate(frame)
            if TurnEnded() in events:
                break
    return events


async def test_it_dies_after_so_many_pieces_and_keeps_what_was_whole(tmp_path: Path) -> None:
    async with scripted(tmp_path) as client:
        session = await client.create_session(theme="dark")
        first, second = client.new_message_id(), client.new_message_id()
        await follow(client, session, first, "deltas=2")
        # The stream may end cleanly or break, as the system has it.
        with contextlib.suppress(SandboxError):
            await follow(client, session, second, "deltas=100 rate=200 die-after=3")
        with pytest.raises(SandboxError):
            await client.check_health()

    async with scripted(tmp_path) as client:
        history = await client.fetch_history(session)
        translator = OpencodeTranslator(session, second)

        assert OpencodeTranslator(session, first).reconcile(history)[-1] == TurnEnded()
        assert translator.prompt_is_in(history)
        assert TurnEnded() not in translator.reconcile(history)
        assert not await client.is_busy(session)
    posted = (tmp_path / "prompts.jsonl").read_text().splitlines()
    assert [json.loads(line)["messageID"] for line in posted] == [first, second]


async def test_it_drops_its_streams_and_works_on(tmp_path: Path) -> None:
    async with scripted(tmp_path) as client:
        session = await client.create_session(theme="dark")
        message = client.new_message_id()
        try:
            events = await follow(client, session, message, "deltas=20 rate=400 drop-sse-after=3")
        except SandboxError:
            events = []
        translator = OpencodeTranslator(session, message)
        async with client.open_events() as frames, asyncio.timeout(5):
            looked_up = translator.reconcile(await client.fetch_history(session))
            while TurnEnded() not in looked_up:
                looked_up += translator.translate(await anext(frames))

    assert TurnEnded() not in events
    wholes = [event for event in looked_up if isinstance(event, TextPiece) and event.complete]
    assert wholes[-1].text.split(".")[0] == "word0 "
    assert len(wholes[-1].text) == 20 * 16


async def test_it_falls_silent_and_is_still_busy(tmp_path: Path) -> None:
    async with scripted(tmp_path) as client:
        session = await client.create_session(theme="dark")
        message = client.new_message_id()
        await client.post_prompt(session, message, "silent")
        history = await client.fetch_history(session)

        assert await client.is_busy(session)
        assert OpencodeTranslator(session, message).prompt_is_in(history)


async def test_it_stamps_each_piece_with_the_clock(tmp_path: Path) -> None:
    async with scripted(tmp_path) as client:
        session = await client.create_session(theme="dark")
        events = await follow(client, session, client.new_message_id(), "deltas=5 size=40 stamp")

    pieces = [e.text for e in events if isinstance(e, TextPiece) and not e.complete]
    stamps = [int(piece.removeprefix("@").split()[0]) for piece in pieces]
    assert len(stamps) == 5
    assert stamps == sorted(stamps)
    assert {len(piece) for piece in pieces} == {40}
