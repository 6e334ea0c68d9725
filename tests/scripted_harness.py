"""A harness that does what the prompt says: contract/harness.md over HTTP, opencode's frames.

For benchmarks and fault tests, where a model and a real agent would be slow and never the same
twice. One process keeps up thousands of events a second. Words in the prompt choose the script:

    deltas=20     pieces of text in each part          parts=1    text parts, one after the other
    rate=0        pieces a second, 0 is at once        size=16    characters of a piece
    think         reasoning comes first                tools=0    tool calls between the parts
    output=n      letters that a tool gives out        tool-time=0  seconds that a tool takes
    stamp         each piece begins with `@<ns> `, the monotonic clock as it is sent
    ask           asks a question and waits            fail       ends with an error of the model
    garbled       between the pieces comes what no event stream should have
    silent        takes the prompt and says nothing    die-after=n       exits hard after n pieces
    drop-sse-after=n   closes all event streams after n pieces, and works on
    drop-sse-every=n   closes them after each n pieces

    python tests/scripted_harness.py --port 0 [--prompts FILE] [--state FILE] [--password WORD]

`listening on <port>` is printed once it serves. `--prompts` gets a JSON line for each prompt that
was posted; `--state` keeps the history over restarts, without what a dying turn had not finished.
"""

import argparse
import asyncio
import base64
import contextlib
import itertools
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from aiohttp import web

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None
type JsonObject = dict[str, Json]

MAX_UNSENT_BYTES = 64 * 1024 * 1024
TITLE = "Scripted session"


@dataclass(frozen=True)
class Script:
    """What one prompt asks for."""

    deltas: int = 20
    rate: float = 0
    size: int = 16
    parts: int = 1
    tools: int = 0
    tool_time: float = 0
    output: int = 0
    think: bool = False
    stamp: bool = False
    ask: bool = False
    fail: bool = False
    silent: bool = False
    garbled: bool = False
    die_after: int | None = None
    drop_sse_after: int | None = None
    drop_sse_every: int | None = None


def read_script(text: str) -> Script:
    """Read the words of a prompt; unknown ones say nothing."""
    words = dict(re.findall(r"(?<![\w-])([a-z][a-z-]*)=(\d+(?:\.\d+)?)", text))
    flags = set(re.findall(r"(?<![\w=-])([a-z]+)(?![\w=-])", text))
    die, drop = words.get("die-after"), words.get("drop-sse-after")
    every = words.get("drop-sse-every")
    return Script(
        deltas=int(words.get("deltas", "20")),
        rate=float(words.get("rate", "0")),
        size=int(words.get("size", "16")),
        parts=int(words.get("parts", "1")),
        tools=int(words.get("tools", "0")),
        tool_time=float(words.get("tool-time", "0")),
        output=int(words.get("output", "0")),
        think="think" in flags,
        stamp="stamp" in flags,
        ask="ask" in flags,
        fail="fail" in flags,
        silent="silent" in flags,
        garbled="garbled" in flags,
        die_after=int(die) if die else None,
        drop_sse_after=int(drop) if drop else None,
        drop_sse_every=int(every) if every else None,
    )


@dataclass
class Session:
    """One session: its messages, and the turns that wait for their time."""

    id: str
    title: str = "New session - scripted"
    messages: list[JsonObject] = field(default_factory=list)
    busy: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    turns: set[asyncio.Task[None]] = field(default_factory=set)
    sent: int = 0
    """Pieces of the running turn."""


class Listener:
    """One open `/event`. What is said in one go of the loop is sent in one write."""

    def __init__(self) -> None:
        self._unsent: list[bytes] = []
        self._size = 0
        self._wake = asyncio.Event()
        self.closed = False

    def say(self, event: bytes) -> None:
        self._unsent.append(event)
        self._size += len(event)
        self.closed = self.closed or self._size > MAX_UNSENT_BYTES
        self._wake.set()

    def close(self) -> None:
        self.closed = True
        self._wake.set()

    async def send_to(self, response: web.StreamResponse) -> None:
        while not self.closed:
            await self._wake.wait()
            self._wake.clear()
            data, self._unsent, self._size = b"".join(self._unsent), [], 0
            await response.write(data)


_COUNTER = itertools.count()


def new_id(prefix: str) -> str:
    """Make an id that sorts by time, in opencode's form."""
    tick = time.time_ns() // 1_000_000 * 0x1000 + next(_COUNTER) % 0x1000
    return f"{prefix}_{tick & ((1 << 48) - 1):012x}{secrets.token_hex(7)}"


class Harness:
    """All sessions of the process and their listeners."""

    def __init__(self, prompts: Path | None, state: Path | None) -> None:
        self.sessions: dict[str, Session] = {}
        self.listeners: set[Listener] = set()
        self.questions: dict[str, JsonObject] = {}
        self.answers: dict[str, asyncio.Future[Json]] = {}
        self._prompts = prompts
        self._state = state
        if state and state.exists():
            for kept in orjson.loads(state.read_bytes()):
                self.sessions[kept["id"]] = Session(kept["id"], kept["title"], kept["messages"])

    def say(self, kind: str, properties: JsonObject) -> None:
        """Send an event to everybody who listens."""
        if self.listeners:
            frame = {"id": new_id("evt"), "type": kind, "properties": properties}
            self.say_bytes(b"data: " + orjson.dumps(frame) + b"\n\n")

    def say_bytes(self, event: bytes) -> None:
        for listener in self.listeners:
            listener.say(event)

    def save(self) -> None:
        if self._state:
            kept = [
                {"id": s.id, "title": s.title, "messages": s.messages}
                for s in self.sessions.values()
            ]
            fresh = self._state.with_suffix(".new")
            fresh.write_bytes(orjson.dumps(kept))
            fresh.replace(self._state)

    def prompt(self, session: Session, message: str, text: str) -> None:
        """Take a prompt and start its turn, after those that are before it."""
        if self._prompts:
            line = {
                "messageID": message,
                "session": session.id,
                "text": text,
                "at": time.monotonic_ns(),
            }
            with self._prompts.open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        session.busy += 1
        turn = asyncio.create_task(self._run_turn(session, message, text))
        session.turns.add(turn)
        turn.add_done_callback(session.turns.discard)

    async def _run_turn(self, session: Session, message: str, text: str) -> None:
        async with session.lock:
            await Turn(self, session, message, text).run()


class Turn:
    """One turn as opencode would tell it."""

    def __init__(self, harness: Harness, session: Session, prompt: str, text: str) -> None:
        self.harness = harness
        self.session = session
        self.prompt = prompt
        self.text = text
        self.script = read_script(text)
        self.message = ""
        self.parts: list[Json] = []
        self.info: JsonObject = {}
        self._began_at = _now()

    async def run(self) -> None:
        self.session.sent = 0
        self._tell_prompt()
        self._status("busy")
        try:
            if self.script.silent:
                await asyncio.Event().wait()
            self._begin_answer()
            await self._play()
        except asyncio.CancelledError:
            self._error("MessageAbortedError", "Aborted")
            self._status("idle")
            self._finish(error={"name": "MessageAbortedError", "data": {"message": "Aborted"}})
        except ScriptedFailureError as error:
            self._error("APIError", str(error))
            self._status("idle")
            self._finish(error={"name": "APIError", "data": {"message": str(error)}})
        else:
            self._finish(error=None)

    async def _play(self) -> None:
        script = self.script
        if script.fail:
            raise ScriptedFailureError("scripted failure")
        if script.think:
            await self._stream_part("reasoning")
        if script.ask:
            await self._ask()
        for number in range(script.parts):
            await self._stream_part("text")
            if number < script.tools:
                await self._call_tool(number)
        for number in range(script.parts, script.tools):
            await self._call_tool(number)

    async def _stream_part(self, kind: str) -> None:
        part: JsonObject = {
            "id": new_id("prt"),
            "type": kind,
            "text": "",
            "messageID": self.message,
            "sessionID": self.session.id,
            "time": {"start": _now()},
        }
        self.parts.append(part)
        self._tell_part(part)
        said: list[str] = []
        head, tail = self._delta_frame(str(part["id"]))
        async for piece in self._pieces():
            said.append(piece)
            frame = head + orjson.dumps(piece) + tail
            self.harness.say_bytes(garble(frame, len(said)) if self.script.garbled else frame)
            self.session.sent += 1
            self._maybe_fault()
        # As in opencode, the history has the text only once the part is whole.
        part["text"] = "".join(said)
        part["time"] = {"start": _now(), "end": _now()}
        self._tell_part(part)

    async def _pieces(self) -> AsyncIterator[str]:
        script = self.script
        interval = 1 / script.rate if script.rate else 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in range(script.deltas):
            if interval:
                due += interval
                await asyncio.sleep(max(0, due - loop.time()))
            elif number % 64 == 63:
                await asyncio.sleep(0)
            text = f"@{time.monotonic_ns()} " if script.stamp else f"word{number} "
            yield text.ljust(script.size, ".")

    def _delta_frame(self, part_id: str) -> tuple[bytes, bytes]:
        """Return the bytes around a piece's JSON: building each frame anew costs too much."""
        frame = {
            "id": new_id("evt"),
            "type": "message.part.delta",
            "properties": {
                "sessionID": self.session.id,
                "messageID": self.message,
                "partID": part_id,
                "field": "text",
                "delta": "\0",
            },
        }
        head, tail = orjson.dumps(frame).split(orjson.dumps("\0"))
        return b"data: " + head, tail + b"\n\n"

    async def _call_tool(self, number: int) -> None:
        part: JsonObject = {
            "id": new_id("prt"),
            "type": "tool",
            "tool": "bash",
            "callID": f"call_{number}",
            "messageID": self.message,
            "sessionID": self.session.id,
            "state": {"status": "pending", "input": {}},
        }
        self.parts.append(part)
        self._tell_part(part)
        given: JsonObject = {"command": f"echo {number}"}
        part["state"] = {"status": "running", "input": given, "time": {"start": _now()}}
        self._tell_part(part)
        await asyncio.sleep(self.script.tool_time)
        part["state"] = {
            "status": "completed",
            "input": given,
            "output": f"{number}\n".ljust(self.script.output, "."),
            "title": given["command"],
            "metadata": {},
            "time": {"start": _now(), "end": _now()},
        }
        self._tell_part(part)

    async def _ask(self) -> None:
        call = new_id("call")
        questions: list[Json] = [
            {
                "question": "Which colour should I use?",
                "header": "Colour",
                "options": [
                    {"label": "Red", "description": "A warm colour"},
                    {"label": "Blue", "description": "A cool colour"},
                ],
            }
        ]
        given: JsonObject = {"questions": questions}
        part: JsonObject = {
            "id": new_id("prt"),
            "type": "tool",
            "tool": "question",
            "callID": call,
            "messageID": self.message,
            "sessionID": self.session.id,
            "state": {"status": "running", "input": given, "time": {"start": _now()}},
        }
        self.parts.append(part)
        request: JsonObject = {
            "id": new_id("que"),
            "sessionID": self.session.id,
            "questions": questions,
            "tool": {"messageID": self.message, "callID": call},
        }
        answer = asyncio.get_running_loop().create_future()
        key = str(request["id"])
        self.harness.questions[key] = request
        self.harness.answers[key] = answer
        self.harness.say("question.asked", request)
        self._tell_part(part)
        try:
            answers: Json = await answer
        except asyncio.CancelledError:
            part["state"] = {"status": "error", "input": given, "error": "Tool execution aborted"}
            raise
        finally:
            del self.harness.questions[key], self.harness.answers[key]
            self._tell_part(part)
        self.harness.say(
            "question.replied",
            {"sessionID": self.session.id, "requestID": key, "answers": answers},
        )
        part["state"] = {
            "status": "completed",
            "input": given,
            "output": "User has answered your questions.",
            "metadata": {"answers": answers},
            "time": {"start": _now(), "end": _now()},
        }
        self._tell_part(part)

    def _maybe_fault(self) -> None:
        sent = self.session.sent
        if sent == self.script.die_after:
            os._exit(9)
        every = self.script.drop_sse_every
        if sent == self.script.drop_sse_after or (every and sent % every == 0):
            for listener in list(self.harness.listeners):
                listener.close()

    def _tell_prompt(self) -> None:
        info: JsonObject = {
            "id": self.prompt,
            "role": "user",
            "sessionID": self.session.id,
            "time": {"created": _now()},
        }
        part: JsonObject = {
            "id": new_id("prt"),
            "type": "text",
            "text": self.text,
            "messageID": self.prompt,
            "sessionID": self.session.id,
        }
        self.session.messages.append({"info": info, "parts": [part]})
        self.harness.save()
        self._tell_session()
        self.harness.say("message.updated", {"sessionID": self.session.id, "info": info})
        self._tell_part(part)

    def _begin_answer(self) -> None:
        self.message = new_id("msg")
        self.info = {
            "id": self.message,
            "parentID": self.prompt,
            "role": "assistant",
            "sessionID": self.session.id,
            "cost": 0,
            "tokens": _tokens(0),
            "time": {"created": self._began_at},
        }
        self.session.messages.append({"info": self.info, "parts": self.parts})
        self._tell_info()
        if self.session.title != TITLE:
            self.session.title = TITLE
            self._tell_session()

    def _finish(self, *, error: JsonObject | None) -> None:
        self.session.busy -= 1
        if self.info:
            created = self.info["time"]
            self.info["time"] = (
                {**created, "completed": _now()} if isinstance(created, dict) else {}
            )
            self.info["tokens"] = _tokens(self.session.sent)
            if error is None:
                self.info["finish"] = "stop"
            else:
                self.info["error"] = error
            self._tell_info()
        self.harness.save()
        if not self.session.busy:
            self._status("idle")

    def _tell_session(self) -> None:
        info: JsonObject = {
            "id": self.session.id,
            "title": self.session.title,
            "tokens": _tokens(0),
            "cost": 0,
        }
        self.harness.say("session.updated", {"sessionID": self.session.id, "info": info})

    def _tell_info(self) -> None:
        self.harness.say("message.updated", {"sessionID": self.session.id, "info": self.info})

    def _tell_part(self, part: JsonObject) -> None:
        self.harness.say("message.part.updated", {"sessionID": self.session.id, "part": part})

    def _status(self, status: str) -> None:
        properties: JsonObject = {"sessionID": self.session.id, "status": {"type": status}}
        self.harness.say("session.status", properties)
        if status == "idle":
            self.harness.say("session.idle", {"sessionID": self.session.id})

    def _error(self, name: str, message: str) -> None:
        error: JsonObject = {"name": name, "data": {"message": message}}
        self.harness.say("session.error", {"sessionID": self.session.id, "error": error})


RUBBISH = (
    b": " + b"comment " * 500 + b"\n\n",
    b"\xef\xbb\xbfdata: {}\n\n",
    b"data: {not json\n\n",
    b"data: \xff\xfe\x00\n\n",
    b"event: \x00\r\nid: 3\r\nretry: soon\r\ndata: []\r\n\r\n",
    b"data\n\n",
    b"data:\rdata:\r\r",
    b"\n\n\n",
    b'data: {"type":\ndata: "something.else"}\n\n',
)


def garble(frame: bytes, number: int) -> bytes:
    """Write a frame in another of its legal forms, after something that is none."""
    line_end = (b"\n", b"\r\n", b"\r")[number % 3]
    body = frame.removesuffix(b"\n\n")
    if number % 2:
        body = b"data:{" + line_end + b"data: " + body.removeprefix(b"data: {")
    return RUBBISH[number % len(RUBBISH)] + body + line_end * 2


class ScriptedFailureError(Exception):
    """The prompt asked for it."""


def _tokens(written: int) -> JsonObject:
    return {"input": 10, "output": written, "reasoning": 0, "cache": {"read": 0, "write": 0}}


def _now() -> int:
    return time.time_ns() // 1_000_000


class Surface:
    """The HTTP side."""

    def __init__(self, harness: Harness, *, password: str | None, heartbeat: float) -> None:
        self._harness = harness
        self._heartbeat = heartbeat
        credential = base64.b64encode(f"opencode:{password}".encode()).decode()
        self._authorization = f"Basic {credential}" if password else None

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._check_password])
        app.add_routes(
            [
                web.get("/global/health", self.health),
                web.get("/event", self.events),
                web.get("/session", self.list_sessions),
                web.post("/session", self.create),
                web.get("/session/status", self.statuses),
                web.get("/session/{id}", self.get),
                web.post("/session/{id}/prompt_async", self.prompt),
                web.get("/session/{id}/message", self.history),
                web.post("/session/{id}/abort", self.abort),
                web.post("/session/{id}/answer", self.answer),
                web.get("/question", self.questions),
                web.post("/question/{id}/reply", self.reply),
                web.get("/permission", self.permissions),
            ]
        )
        return app

    @web.middleware
    async def _check_password(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        if self._authorization and request.headers.get("Authorization") != self._authorization:
            return web.json_response({"message": "Wrong password."}, status=401)
        return await handler(request)

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"healthy": True, "version": "scripted"})

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        listener = Listener()
        listener.say(b'data: {"type":"server.connected","properties":{}}\n\n')
        self._harness.listeners.add(listener)
        beating = asyncio.create_task(self._beat(listener))
        try:
            with contextlib.suppress(ConnectionError):
                await listener.send_to(response)
        finally:
            beating.cancel()
            self._harness.listeners.discard(listener)
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _beat(self, listener: Listener) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            listener.say(b'data: {"type":"server.heartbeat","properties":{}}\n\n')

    async def list_sessions(self, _: web.Request) -> web.Response:
        return web.json_response([_shown(session) for session in self._harness.sessions.values()])

    async def create(self, _: web.Request) -> web.Response:
        session = Session(new_id("ses"))
        self._harness.sessions[session.id] = session
        self._harness.save()
        self._harness.say("session.created", {"sessionID": session.id, "info": _shown(session)})
        return web.json_response(_shown(session))

    async def statuses(self, _: web.Request) -> web.Response:
        sessions = self._harness.sessions.values()
        return web.json_response({s.id: {"type": "busy"} for s in sessions if s.busy})

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._find(request)))

    async def prompt(self, request: web.Request) -> web.Response:
        session = self._find(request)
        body = await request.json()
        text = " ".join(part["text"] for part in body["parts"])
        self._harness.prompt(session, body.get("messageID") or new_id("msg"), text)
        return web.Response(status=204)

    async def history(self, request: web.Request) -> web.Response:
        body = orjson.dumps(self._find(request).messages)
        return web.Response(body=body, content_type="application/json")

    async def abort(self, request: web.Request) -> web.Response:
        found = self._harness.sessions.get(request.match_info["id"])
        turns = list(found.turns) if found else []
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        return web.json_response(True)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        labels: list[Json] = [answer["selectedLabels"] for answer in body["answers"]]
        return self._give(str(body["questionId"]), labels)

    async def questions(self, _: web.Request) -> web.Response:
        return web.json_response(list(self._harness.questions.values()))

    async def reply(self, request: web.Request) -> web.Response:
        body = await request.json()
        return self._give(request.match_info["id"], body["answers"])

    async def permissions(self, _: web.Request) -> web.Response:
        return web.json_response([])

    def _give(self, question: str, labels: Json) -> web.Response:
        waiting = self._harness.answers.get(question)
        if waiting is None or waiting.done():
            return web.json_response({"message": "No such question."}, status=404)
        waiting.set_result(labels)
        return web.json_response(True)

    def _find(self, request: web.Request) -> Session:
        session = self._harness.sessions.get(request.match_info["id"])
        if session is None:
            raise web.HTTPNotFound(text='{"message": "No such session."}')
        return session


def _shown(session: Session) -> JsonObject:
    return {"id": session.id, "title": session.title, "busy": session.busy > 0}


async def serve(given: argparse.Namespace) -> None:
    harness = Harness(given.prompts, given.state)
    surface = Surface(harness, password=given.password, heartbeat=given.heartbeat)
    runner = web.AppRunner(surface.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, given.host, given.port)
    await site.start()
    print(f"listening on {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A harness that does what the prompt says.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--password")
    parser.add_argument("--heartbeat", type=float, default=10.0, help="seconds")
    parser.add_argument("--prompts", type=Path, help="gets a line for each posted prompt")
    parser.add_argument("--state", type=Path, help="keeps the history over restarts")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
