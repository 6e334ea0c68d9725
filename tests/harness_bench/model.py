"""The model of the conformance bench: on this machine, in all three APIs, doing what a prompt says.

The wire formats are those of the demo model, which the gateway's own tests hold against the
providers' documentation. The last line of the last prompt chooses what happens:

    hello · long · think · slow · ask · todo · delegate · three · unicode · line · ansi
    write PATH · edit PATH · run COMMAND · fail · skill NAME
    status CODE [once] · silent · stall · cut

Anything else is said back. Each request is kept, as is when its client went away.
"""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

import orjson
from aiohttp import web

from cattery.jsontypes import JsonObject
from gateway.demo import anthropic_messages, openai_chat, openai_responses
from gateway.demo.conversation import Conversation
from gateway.demo.parts import AnswerHead, Frame, Part, Text, Thinking, ToolUse, count_tokens
from gateway.demo.tools import Question, question_call, shell_call, todo_call, write_call
from tests.harness_bench.model_tools import delegate_call, edit_call, skill_call

LONG_WORDS = 2_500
LONG = " ".join(f"word-{number}" for number in range(LONG_WORDS))
SLOW_WORDS = 200
SLOW_PAUSE = 0.05
THOUGHT = "First I look at the cat. Then the cat looks at me."
CONCLUSION = "The cat has won."
UNICODE = "Grüße 猫 🐈\u200d⬛ e\u0301 — שלום، \u2028 next\n\n```python\nprint('héllo')\n```"
LINE = "x" * 100_000 + " end"
ANSI = "plain \x1b[31mred\x1b[0m \x1b]0;title\x07 end"
GREETING = "Hello! I am the scripted model."
QUESTION = Question("Which colour?", "Colour", (("Red", "warm"), ("Blue", "cold")))
CHILD_SAYS = "echo from-the-child"
WRITTEN = "written by the bench\n"
EDITED = "edited by the bench\n"
FAILING = "echo it is broken >&2; exit 3"
STEPS = ("First step", "Second step")
BROKEN_OFF = "the beginning and then"
TITLE = "A fitting title"


@dataclass(frozen=True, slots=True)
class _Api:
    """One wire format."""

    path: str
    read: Callable[[JsonObject], Conversation]
    whole: Callable[[Sequence[Part], AnswerHead], JsonObject]
    stream: Callable[[Sequence[Part], AnswerHead, JsonObject], Iterator[Frame]]


_APIS = (
    _Api(
        "/v1/messages",
        anthropic_messages.read_conversation,
        anthropic_messages.whole_answer,
        lambda parts, head, _: anthropic_messages.stream_answer(parts, head),
    ),
    _Api(
        "/v1/chat/completions",
        openai_chat.read_conversation,
        openai_chat.whole_answer,
        lambda parts, head, body: openai_chat.stream_answer(
            parts, head, with_usage=openai_chat.wants_usage(body)
        ),
    ),
    _Api(
        "/v1/responses",
        openai_responses.read_conversation,
        openai_responses.whole_answer,
        lambda parts, head, _: openai_responses.stream_answer(parts, head),
    ),
)


@dataclass
class ScriptedModel:
    """Serve it with `start`; `url` is without the API's version."""

    requests: list[JsonObject] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    """How often each prompt that asks for a refusal was refused."""
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1") -> Self:
        """Serve on an address of this machine; pods reach another one than loopback."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        for api in _APIS:
            app.router.add_post(api.path, self._handler(api))
        app.router.add_post("/v1/messages/count_tokens", _count)
        app.router.add_get("/v1/models", _models)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, 0).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def asked(self, words: str) -> list[JsonObject]:
        """Return the requests in which these words stand."""
        return [body for body in self.requests if words.encode() in orjson.dumps(body)]

    def _handler(self, api: _Api) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            body: JsonObject = orjson.loads(raw)
            self.requests.append(body)
            conversation = api.read(body)
            prompt = last_line(conversation)
            if refusal := self._refuse(prompt, conversation):
                return refusal
            parts = decide(conversation)
            key = hashlib.sha256(raw + str(len(self.requests)).encode()).hexdigest()
            tokens = count_tokens(raw.decode(errors="replace"))
            head = AnswerHead(str(body.get("model")), key, 0, tokens)
            if body.get("stream") is not True:
                return web.json_response(api.whole(parts, head))
            is_main = bool(conversation.tools) and not conversation.calls
            return await _stream(request, api.stream(parts, head, body), prompt if is_main else "")

        return answer

    def _refuse(self, prompt: str, conversation: Conversation) -> web.Response | None:
        found = re.match(r"status (\d+)( once)?\b", prompt)
        if found is None or not conversation.tools:
            return None
        count = self.refused.get(prompt, 0)
        if found[2] and count:
            return None
        self.refused[prompt] = count + 1
        error = {"type": "api_error", "message": f"The scripted model answers {found[1]}."}
        body = {"type": "error", "error": error}
        headers = {"Retry-After": "1"} if found[1] == "429" else {}
        return web.json_response(body, status=int(found[1]), headers=headers)


def last_line(conversation: Conversation) -> str:
    """Return the last prompt; one that was never answered may stand before it, as one with it."""
    return (conversation.prompt.strip().splitlines() or [""])[-1].strip()


def decide(conversation: Conversation) -> list[Part]:
    """Say what comes next."""
    prompt, done = last_line(conversation), conversation.calls
    if _wants_title(conversation):
        as_json = '"title"' in conversation.system
        return [Text(f'{{"title": "{TITLE}"}}' if as_json else TITLE)]
    if done:
        if prompt == "todo" and len(done) == 1:
            return _called(todo_call(conversation.tools, dict.fromkeys(STEPS, "completed")))
        return [Text(f"Done: {done[-1].result.strip()[:2_000]}")]
    plain = _PLAIN.get(prompt)
    return list(plain) if plain is not None else _act(prompt, conversation)


_PLAIN: dict[str, tuple[Part, ...]] = {
    "hello": (Text(GREETING),),
    "long": (Text(LONG),),
    "think": (Thinking(THOUGHT), Text(CONCLUSION)),
    "slow": (Text(" ".join(f"slow-{number}" for number in range(SLOW_WORDS))),),
    "unicode": (Text(UNICODE),),
    "line": (Text(LINE),),
    "ansi": (Text(ANSI),),
    "silent": (Text("never sent"),),
    "stall": (Text("the beginning and no end"),),
    "cut": (Text(BROKEN_OFF),),
}


def _act(prompt: str, conversation: Conversation) -> list[Part]:
    tools = conversation.tools
    if prompt == "ask":
        return [Text("One moment. "), *_called(question_call(tools, QUESTION))]
    if prompt == "todo":
        states = ("in_progress", "pending")
        return _called(todo_call(tools, dict(zip(STEPS, states, strict=True))))
    if prompt == "delegate":
        return [Text("Delegating. "), *_called(delegate_call(tools, f"run {CHILD_SAYS}"))]
    if prompt == "three":
        calls = [shell_call(tools, f"echo number-{n}", f"Say {n}") for n in (1, 2, 3)]
        return [part for call in calls for part in _called(call)]
    if prompt == "fail":
        return _called(shell_call(tools, FAILING, "A command that fails"))
    if found := re.match(r"run (.+)", prompt, re.DOTALL):
        return _called(shell_call(tools, found[1], "A command"))
    if found := re.match(r"write (\S+)", prompt):
        return _called(write_call(tools, conversation.locate(found[1]), WRITTEN))
    if found := re.match(r"edit (\S+)", prompt):
        return _called(edit_call(tools, conversation.locate(found[1]), WRITTEN, EDITED))
    if found := re.match(r"skill (\S+)", prompt):
        return _called(skill_call(tools, found[1]))
    return [Text(f"You said: {prompt}")]


def _called(call: ToolUse | None) -> list[Part]:
    return [call] if call else [Text("NO SUCH TOOL")]


def _wants_title(conversation: Conversation) -> bool:
    system = conversation.system.lower()
    return (
        "title generator" in system
        or conversation.prompt.lower().startswith("generate a title")
        or (not conversation.tools and "title" in system[:4_000])
    )


async def _stream(request: web.Request, frames: Iterator[Frame], prompt: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    if prompt == "silent":
        await asyncio.sleep(3_600)
    await response.prepare(request)
    deltas = 0
    with contextlib.suppress(ConnectionError):  # a turn that was stopped
        for frame in frames:
            if frame.is_delta:
                deltas += 1
                if prompt == "slow":
                    await asyncio.sleep(SLOW_PAUSE)
                if deltas > 2 and prompt == "stall":
                    await asyncio.sleep(3_600)
                if deltas > 2 and prompt == "cut" and request.transport is not None:
                    request.transport.abort()
                    break
            await response.write(frame.data)
    return response


async def _count(request: web.Request) -> web.Response:
    return web.json_response({"input_tokens": count_tokens(await request.text())})


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [], "has_more": False})
