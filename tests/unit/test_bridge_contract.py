"""The harness contract as bridges serve it, with an agent that does what its prompts say."""

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, override

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from bridges.contract import app as contract_app, events
from bridges.contract.agent import Agent, AgentError, Asked, Conversation, Outcome, Turn
from bridges.contract.app import USERNAME, create_app
from bridges.contract.errors import MalformedError
from bridges.contract.journal import prepare_folder
from bridges.contract.ring import BehindError, EventRing
from bridges.contract.sessions import Sessions
from cattery.errors import HarnessRejectedError, NotFoundError
from cattery.events.model import Answer, Question, QuestionAsked
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.harnesses.claude_code.translator import ClaudeCodeTranslator
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject

PASSWORD = "password-0123456789"


class ScriptedConversation(Conversation):
    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.closed = 0
        self.at_once = 0

    @property
    @override
    def at_rest(self) -> bool:
        return True

    @override
    async def run(self, turn: Turn) -> Outcome:
        self.at_once += 1
        assert self.at_once == 1, "one turn at a time"
        self.stopped.clear()
        try:
            return await self._follow(turn)
        finally:
            self.at_once -= 1

    async def _follow(self, turn: Turn) -> Outcome:
        turn.emit({"type": "heard", "text": turn.prompt.text}, keep=True)
        match turn.prompt.text.split():
            case ["ask"]:
                question = {"question": "Why?", "header": "W", "options": [], "multiSelect": False}
                answers = await turn.ask(Asked("question", [question]))
                turn.emit({"type": "answered", "answers": repr(answers)}, keep=True)
            case ["wait"]:
                await self.stopped.wait()
            case ["fail"]:
                raise AgentError("It failed.")
            case ["break"]:
                raise RuntimeError("a bug")
            case ["say", count]:
                for number in range(int(count)):
                    turn.emit({"type": "said", "number": number})
        turn.set_title(turn.prompt.text)
        return Outcome.COMPLETED

    @override
    async def abort(self) -> None:
        self.stopped.set()

    @override
    async def close(self) -> None:
        self.closed += 1


class ScriptedAgent(Agent):
    def __init__(self) -> None:
        self.conversations: dict[str, ScriptedConversation] = {}

    @override
    def new_session_id(self) -> str:
        return str(uuid.uuid4())

    @override
    def new_message_id(self) -> str:
        return str(uuid.uuid4())

    @override
    def check_message_id(self, message_id: str) -> None:
        if len(message_id) > 100:
            raise MalformedError("too long")

    @override
    def open(self, session_id: str) -> ScriptedConversation:
        return self.conversations.setdefault(session_id, ScriptedConversation())

    @override
    def read_history(
        self, session_id: str, prompts: Sequence[str]
    ) -> Sequence[tuple[float, str, Mapping[str, Any]]]:
        return []


@dataclass
class Site:
    """A bridge on a port; `restart` is what a kill leaves, taken up by another process."""

    home: Path
    idle: float = 60.0
    ring: EventRing = field(default_factory=EventRing)
    agent: ScriptedAgent = field(default_factory=ScriptedAgent)
    server: TestServer | None = None
    clients: list[ClaudeCodeClient] = field(default_factory=list)

    async def start(self) -> ClaudeCodeClient:
        sessions = Sessions(self.agent, prepare_folder(self.home), self.ring, idle=self.idle)
        sessions.load()
        self.server = TestServer(create_app(sessions, self.ring, password=PASSWORD))
        await self.server.start_server()
        client = ClaudeCodeClient(HarnessEndpoint(str(self.server.make_url("")), PASSWORD))
        self.clients.append(client)
        return client

    async def restart(self) -> ClaudeCodeClient:
        await self.stop()
        self.agent, self.ring = ScriptedAgent(), EventRing()
        return await self.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.close()
        for client in self.clients:
            await client.close()

    async def request(
        self, method: str, path: str, *, body: object = None, password: str | None = PASSWORD
    ) -> tuple[int, Any]:
        assert self.server is not None
        auth = aiohttp.encode_basic_auth(USERNAME, password) if password else ""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode() if body else b""
        data = io.BytesIO(encoded) if encoded else None
        async with (
            aiohttp.ClientSession(headers={"Authorization": auth} if auth else {}) as http,
            http.request(method, self.server.make_url(path), data=data) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if text else None

    @asynccontextmanager
    async def watch(self, last: str | None = None) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Open the stream by hand, for the ids that the platform's client reads over."""
        assert self.server is not None
        headers = {"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)}
        headers |= {"Last-Event-ID": last} if last else {}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.get(self.server.make_url("/event")) as response,
        ):

            async def read() -> AsyncIterator[tuple[str, Any]]:
                event_id = ""
                async for line in response.content:
                    if line.startswith(b"id: "):
                        event_id = line[4:].decode().strip()
                    elif line.startswith(b"data: "):
                        yield event_id, json.loads(line[6:])
                        event_id = ""

            yield read()


@pytest.fixture(name="site")
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    yield site
    await site.stop()


async def wait_idle(client: ClaudeCodeClient, session: HarnessSessionId) -> None:
    async with asyncio.timeout(5):
        while await client.is_busy(session):
            await asyncio.sleep(0.01)


def outcomes(history: Sequence[JsonObject]) -> list[object]:
    return [frame["outcome"] for frame in history if frame["type"] == "turn.ended"]


async def test_a_prompt_runs_once_however_often_it_is_posted(site: Site) -> None:
    client = await site.start()
    await client.check_health()
    session = await client.create_session(theme="dark")
    message = client.new_message_id()
    for _ in range(3):
        await client.post_prompt(session, message, "say 2")
    await wait_idle(client, session)
    await client.post_prompt(session, message, "say 2")

    history = await client.fetch_history(session)
    assert [frame["type"] for frame in history] == [
        "session.updated",
        "turn.taken",
        "agent.message",
        "turn.ended",
    ]
    assert await client.fetch_title(session) == "say 2"
    with pytest.raises(HarnessRejectedError, match="another prompt"):
        await client.post_prompt(session, message, "something else")
    assert not await client.session_exists(HarnessSessionId("unknown"))


async def test_prompts_of_a_session_wait_for_each_other_and_those_of_others_do_not(
    site: Site,
) -> None:
    client = await site.start()
    first, second = [await client.create_session(theme="dark") for _ in range(2)]
    await client.post_prompt(first, client.new_message_id(), "wait")
    await client.post_prompt(first, client.new_message_id(), "say 1")
    await client.post_prompt(second, client.new_message_id(), "say 1")
    await wait_idle(client, second)

    assert outcomes(await client.fetch_history(first)) == []
    assert await client.is_busy(first)
    assert (await site.request("GET", "/session/status"))[1] == {first: {"type": "busy"}}
    await client.abort(first)
    await wait_idle(client, first)
    await client.abort(first)
    assert outcomes(await client.fetch_history(first)) == ["aborted", "completed"]


@pytest.mark.parametrize(("prompt", "words"), [("fail", "It failed"), ("break", "Its log")])
async def test_a_turn_that_fails_ends_with_its_reason(site: Site, prompt: str, words: str) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    await client.post_prompt(session, client.new_message_id(), prompt)
    await wait_idle(client, session)

    ended = (await client.fetch_history(session))[-1]
    assert ended["outcome"] == "failed"
    assert words in str(ended["error"])


async def test_a_question_is_answered_once_and_withdrawn_by_an_abort(site: Site) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    answers = [Answer("Why?", ("Because",), "so")]
    for answered in (True, False):
        message = client.new_message_id()
        async with client.open_events() as frames:
            await client.post_prompt(session, message, "ask")
            translator = ClaudeCodeTranslator(session, message)
            asked = await anext(
                event
                async for frame in frames
                for event in translator.translate(frame)
                if isinstance(event, QuestionAsked)
            )
        if answered:
            await client.answer(session, asked, answers)
        else:
            await client.abort(session)
        await wait_idle(client, session)
        with pytest.raises(NotFoundError):
            await client.answer(session, asked, answers)

    history = await client.fetch_history(session)
    closed = [frame["answers"] for frame in history if frame["type"] == "question.closed"]
    assert closed == [[answer.data() for answer in answers], None]
    assert outcomes(history) == ["completed", "aborted"]


async def test_what_a_killed_bridge_had_taken_is_told_as_lost_and_never_run_again(
    site: Site,
) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    done, running, queued = [client.new_message_id() for _ in range(3)]
    await client.post_prompt(session, done, "say 1")
    await client.post_prompt(session, running, "wait")
    await client.post_prompt(session, queued, "say 1")
    await asyncio.sleep(0.05)
    with (site.home / ".cattery" / "bridge" / f"{session}.jsonl").open("ab") as journal:
        journal.write(b'{"cut off by a ki')

    client = await site.restart()
    assert await client.session_exists(session)
    assert not await client.is_busy(session)
    assert await client.fetch_title(session) == "say 1"
    for message in (done, running, queued):
        await client.post_prompt(
            session, message, {done: "say 1", running: "wait"}.get(message, "say 1")
        )
    assert not await client.is_busy(session), "taken once, by whichever process"
    await client.post_prompt(session, client.new_message_id(), "say 1")
    await wait_idle(client, session)

    assert outcomes(await client.fetch_history(session)) == [
        "completed",
        "lost",
        "lost",
        "completed",
    ]
    assert outcomes(await (await site.restart()).fetch_history(session))[1:3] == ["lost", "lost"]


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(site: Site) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    async with site.watch() as frames:
        assert (await anext(frames))[1] == {"type": "server.connected", "replayed": False}
        await client.post_prompt(session, client.new_message_id(), "say 20")
        seen = [await anext(frames) for _ in range(5)]
    await wait_idle(client, session)
    async with site.watch(seen[-1][0]) as frames:
        assert (await anext(frames))[1] == {"type": "server.connected", "replayed": True}
        missed = [await anext(frames) for _ in range(19)]
    numbers = [int(event_id.split("-")[1]) for event_id, _ in (*seen, *missed)]
    assert numbers == list(range(1, 25))
    assert missed[-1][1]["type"] == "turn.ended"
    async with site.watch("00000000-3") as frames:
        assert (await anext(frames))[1] == {"type": "server.connected", "replayed": False}


async def test_a_silent_stream_has_heartbeats(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events.HEARTBEAT_SECONDS <= 10
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.02)
    await site.start()
    async with site.watch() as frames:
        kinds = [(await anext(frames))[1]["type"] for _ in range(3)]
    assert kinds == ["server.connected", "server.heartbeat", "server.heartbeat"]


async def test_a_conversation_is_let_go_when_idle_and_taken_up_again(site: Site) -> None:
    site.idle = 0.05
    client = await site.start()
    session = await client.create_session(theme="dark")
    conversation = site.agent.conversations[session]
    for closed in (1, 2):
        await client.post_prompt(session, client.new_message_id(), "say 1")
        async with asyncio.timeout(5):
            while conversation.closed < closed:
                await asyncio.sleep(0.01)
    assert outcomes(await client.fetch_history(session)) == ["completed", "completed"]


async def test_a_ring_keeps_what_fits_and_tells_who_fell_behind() -> None:
    ring = EventRing(max_events=3, max_bytes=1000)
    for number in range(5):
        ring.append({"number": number})
    assert [json.loads(one)["number"] for one in await ring.read_after(2, limit=9, timeout=0)] == [
        2,
        3,
        4,
    ]
    assert await ring.read_after(5, limit=9, timeout=0.01) == []
    assert (ring.find(ring.name(2)), ring.find(ring.name(1)), ring.find("x-1")) == (2, None, None)
    with pytest.raises(BehindError):
        await ring.read_after(1, limit=9, timeout=0)
    ring.append({"large": "x" * 2000, "odd": "\ud800"})
    assert [json.loads(one)["odd"] for one in await ring.read_after(5, limit=9, timeout=0)] == [
        "\ud800"
    ]


MALFORMED = [
    b"no json",
    [1],
    {"parts": []},
    {"parts": [{"type": "image", "text": "x"}]},
    {"parts": [{"type": "text", "text": 1}]},
    {"parts": [{"type": "text", "text": "  "}]},
    {"parts": [{"type": "text", "text": "x"}], "messageID": 1},
    {"parts": [{"type": "text", "text": "x"}], "messageID": "x" * 101},
    {"parts": [{"type": "text", "text": "x" * (contract_app.MAX_PROMPT + 1)}]},
]


@pytest.mark.parametrize("body", MALFORMED)
async def test_a_malformed_prompt_is_refused_in_words(site: Site, body: object) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    status, answer = await site.request("POST", f"/session/{session}/prompt_async", body=body)
    assert (status, type(answer["message"])) == (400, str)
    assert not await client.is_busy(session)


async def test_other_mistakes_have_their_own_status(site: Site) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    cases: list[tuple[str, str, object, int]] = [
        ("GET", "/nowhere", None, 404),
        ("PUT", "/session", None, 405),
        ("GET", "/session/..%2f..%2fetc", None, 404),
        ("POST", "/session/unknown/prompt_async", {"parts": []}, 404),
        ("POST", "/session/unknown/abort", None, 404),
        ("POST", f"/session/{session}/answer", {"questionId": "x", "answers": []}, 404),
        ("POST", f"/session/{session}/answer", {"questionId": 1}, 400),
        ("POST", f"/session/{session}/answer", {"questionId": "x", "answers": [1]}, 400),
        ("POST", "/session", b"x" * (contract_app.MAX_BODY + 1), 413),
    ]
    for method, path, body, status in cases:
        assert (await site.request(method, path, body=body))[0] == status, path
    for password in (None, "wrong"):
        assert (await site.request("GET", "/session", password=password))[0] == 401


async def test_too_many_waiting_prompts_are_refused(site: Site) -> None:
    client = await site.start()
    session = await client.create_session(theme="dark")
    body = {"parts": [{"type": "text", "text": "wait"}]}
    path = f"/session/{session}/prompt_async"
    statuses = [(await site.request("POST", path, body=body))[0] for _ in range(103)]
    assert statuses.count(204) in (100, 101)
    assert statuses[-1] == 429


def test_asked_and_answered_have_the_contracts_form() -> None:
    translator = ClaudeCodeTranslator(HarnessSessionId("s"), HarnessMessageId("m"))
    frame: JsonObject = {
        "type": "question.asked",
        "sessionID": "s",
        "messageID": "m",
        "questionId": "ask_1",
        "kind": "permission",
        "questions": [{"question": "May it?", "header": "P", "options": [], "multiSelect": False}],
        "agent": None,
    }
    (asked,) = translator.translate(frame)
    assert isinstance(asked, QuestionAsked)
    assert asked.questions == (Question("May it?", "P", ()),)
    assert asked.data()["kind"] == "permission"
