"""The real codex-acp and Hermes through the ACP bridge, with a scripted model."""

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from cattery.catalog import ModelFamily
from cattery.events.model import (
    ErrorRaised,
    QuestionAsked,
    TextPiece,
    ToolFinished,
    Translated,
    UnknownFrame,
)
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.client import BridgeClient
from gateway.demo import openai_chat, openai_responses
from gateway.demo.conversation import Conversation
from gateway.demo.parts import AnswerHead, Part, Text, Thinking, ToolUse
from tests.bridges.acp_site import REPOSITORY, TOOLS, AcpSite, Said, answer, say
from tests.harness_types import clone_registry
from tests.unit.recorded_turns import fold

LONG = "".join(f"{number} Grüße 猫🐈 " for number in range(1000))
SLOW = " ".join(f"word{number}" for number in range(400))


class ScriptedOpenAi:
    """A model on loopback, over Responses and Chat Completions; it does what the prompt says."""

    url = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/openai/v1/responses", self._answer)
        app.router.add_post("/openai/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw)
        chat = request.path.endswith("completions")
        module = openai_chat if chat else openai_responses
        conversation = module.read_conversation(body)
        parts = decide(conversation)
        head = AnswerHead(str(body["model"]), hashlib.sha256(os.urandom(8)).hexdigest(), 0, 10)
        if body.get("stream") is not True:
            return web.json_response(module.whole_answer(parts, head))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        frames = (
            openai_chat.stream_answer(parts, head, with_usage=openai_chat.wants_usage(body))
            if chat
            else openai_responses.stream_answer(parts, head)
        )
        try:
            for frame in frames:
                if frame.is_delta and conversation.prompt == "slow":
                    await asyncio.sleep(0.05)
                await response.write(frame.data)
        except ConnectionError:
            pass  # a turn that was stopped
        return response


def decide(conversation: Conversation) -> list[Part]:
    prompt, tools = conversation.prompt, conversation.tools
    if conversation.calls:
        return [Text(f"Done: {conversation.calls[-1].result}")]
    match prompt.split():
        case ["write", path] if "write_file" in tools:
            return [ToolUse("write_file", {"path": path, "content": "written\n"})]
        case ["write", path]:
            return [ToolUse("exec_command", {"cmd": f"echo written > {path}"})]
        case ["think"]:
            return [Thinking("Let me see."), Text("Seen.")]
        case ["long"]:
            return [Text(LONG)]
        case ["slow"]:
            return [Text(SLOW)]
        case _:
            return [Text(f"You said: {prompt}")]


@dataclass
class Agent:
    name: str
    site: AcpSite
    client: BridgeClient

    async def same(self, session: str, said: Said) -> None:
        history = await self.client.fetch_history(session)  # type: ignore[arg-type]
        told = AcpTranslator(session, said.message).reconcile(history)  # type: ignore[arg-type]
        assert fold(told).lines == fold(said.events).lines


@pytest.fixture(name="agent", scope="module", params=["codex-acp", "hermes-acp"])
async def start_agent(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Agent]:
    name = str(request.param)
    installation = name if name == "codex-acp" else "hermes"
    if not (TOOLS / installation / "venv").exists():
        pytest.skip(f"needs {name} in {TOOLS}: run `make install`")
    root = tmp_path_factory.mktemp(name)
    (root / "tools").mkdir()
    (root / "tools" / installation).symlink_to((TOOLS / installation).resolve())
    shutil.copytree(REPOSITORY / "bridges", root / "tools" / "bridges")
    model = ScriptedOpenAi()
    await model.start()
    launch = clone_registry()[name].launch
    site = AcpSite(launch, root / "tools", root, model.url, ModelFamily.OPENAI)
    agent = Agent(name, site, await site.start())
    yield agent
    await agent.client.close()
    await site.kill()
    await model.stop()


async def test_a_conversation_thinks_writes_is_stopped_killed_and_goes_on(agent: Agent) -> None:
    client = agent.client
    session = await client.create_session(theme="dark")

    async def turn(prompt: str, react: object = None) -> Said:
        said = await say(agent.client, session, prompt, react)  # type: ignore[arg-type]
        assert not said.of(UnknownFrame)
        await agent.same(session, said)
        return said

    assert (await turn("say Grüße 猫🐈")).text == "You said: say Grüße 猫🐈"

    thought = await turn("think")
    assert "Let me see." in "".join(p.text for p in thought.of(TextPiece) if p.thinking)

    assert (await turn("long")).text == LONG

    def allow(event: Translated) -> object:
        if isinstance(event, QuestionAsked):
            return answer(agent.client, session, event, event.questions[0].options[0].label)
        return None

    wrote = await turn("write a.txt", allow)
    assert (agent.site.workspace / "a.txt").read_text() == "written\n"
    if agent.name != "hermes-acp":  # it never says that an edit that it asked about is done
        assert wrote.of(ToolFinished)[-1].ok

    def stop(event: Translated) -> object:
        return agent.client.abort(session) if isinstance(event, TextPiece) else None

    stopped = await turn("slow", stop)
    assert "word399" not in stopped.text
    assert not stopped.of(ErrorRaised)

    def kill(event: Translated) -> None:
        if isinstance(event, TextPiece):
            for pid in agent.site.agents():
                os.killpg(pid, signal.SIGKILL)

    killed = await turn("slow", kill)
    assert [error.message[:25] for error in killed.of(ErrorRaised)] == ["The agent ended: signal 9"]

    await client.close()
    await agent.site.kill()
    agent.client = await agent.site.start()
    # Hermes puts a prompt that was cut off by its death before the next one.
    prompt = "slow\n\nagain" if agent.name == "hermes-acp" else "again"
    assert (await turn("again")).text == f"You said: {prompt}"
    history = await agent.client.fetch_history(session)
    texts = [frame["text"] for frame in history if frame["type"] == "turn.taken"]
    assert len(texts) == 7


@pytest.mark.parametrize("agent", ["hermes-acp"], indirect=True)  # codex-acp never asks
async def test_leave_that_is_denied_changes_nothing(agent: Agent) -> None:
    session = await agent.client.create_session(theme="dark")

    def deny(event: Translated) -> object:
        if isinstance(event, QuestionAsked):
            return answer(agent.client, session, event, event.questions[0].options[-1].label)
        return None

    said = await say(agent.client, session, "write denied.txt", deny)

    assert len(said.of(QuestionAsked)) == 1
    assert not Path(agent.site.workspace / "denied.txt").exists()
    await agent.same(session, said)
