"""A model on loopback, in Anthropic's format, that does what the last prompt says.

`hello`, `slow`, `ask`, `delegate`, `run COMMAND`, `write PATH`, `skill NAME`; anything else is
repeated. It keeps what it was asked.
"""

import asyncio
import contextlib
import hashlib
import re
from dataclasses import dataclass, field

import orjson
from aiohttp import web

from cattery.jsontypes import JsonObject
from gateway.demo.anthropic_messages import read_conversation, stream_answer, whole_answer
from gateway.demo.conversation import Conversation
from gateway.demo.parts import AnswerHead, Part, Text, ToolUse
from gateway.demo.tools import Question, question_call

QUESTION = Question("Which colour?", "Colour", (("Red", "warm"), ("Blue", "cold")))
SLOW_WORDS = 200


@dataclass
class ScriptedModel:
    """Serve it with `start`."""

    requests: list[JsonObject] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/anthropic/v1/messages", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = site.name
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def asked(self) -> str:
        """Return all that it was ever asked, as text."""
        return orjson.dumps(self.requests).decode()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body: JsonObject = orjson.loads(raw)
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        conversation = read_conversation(body)
        parts = decide(conversation)
        key = hashlib.sha256(raw + str(len(self.requests)).encode()).hexdigest()
        head = AnswerHead(str(body.get("model")), key, 0, 10)
        if body.get("stream") is not True:
            return web.json_response(whole_answer(parts, head))
        pause = 0.05 if conversation.prompt == "slow" else 0.0
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):  # a turn that was stopped
            for frame in stream_answer(parts, head):
                if frame.is_delta:
                    await asyncio.sleep(pause)
                await response.write(frame.data)
        return response


def decide(conversation: Conversation) -> list[Part]:
    """Say what comes next."""
    prompt, done = conversation.prompt, conversation.calls
    if not conversation.tools and '"title"' in conversation.system:
        return [Text('{"title": "A fitting title"}')]
    if done:
        return [Text(f"Done: {done[-1].result}")]
    if prompt == "slow":
        return [Text(" ".join(f"word{number}" for number in range(SLOW_WORDS)))]
    if prompt == "ask" and (call := question_call(conversation.tools, QUESTION)):
        return [Text("One moment."), call]
    if prompt == "delegate":
        task: JsonObject = {
            "description": "a task",
            "prompt": "run echo from-the-child",
            "subagent_type": "general-purpose",
        }
        return [Text("Delegating."), ToolUse("Agent", task)]
    if found := re.fullmatch(r"run (.+)", prompt, re.DOTALL):
        return [ToolUse("Bash", {"command": found[1], "description": "a command"})]
    if found := re.fullmatch(r"write (\S+)", prompt):
        return [ToolUse("Write", {"file_path": found[1], "content": "written\n"})]
    if found := re.fullmatch(r"skill (\S+)", prompt):
        return [ToolUse("Skill", {"skill": found[1]})]
    return [Text(f"You said: {prompt}")]
