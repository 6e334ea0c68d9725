"""Records what a real agent says, for the replay tests: event streams and final histories.

`record_opencode`, `record_claude_code` and `record_acp` say which agent and which scenarios. The
agent is started as the platform does, against a scripted model gateway (a FastAPI application that
answers by words in the prompt). Each scenario becomes a JSONL file: a head, then frames and marks
in their order, then the final histories. Of each kind of noise only the first frame is kept.
"""

import argparse
import asyncio
import importlib.util
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import orjson
import uvicorn
from fastapi import FastAPI

from cattery.events.model import Answer, Question, QuestionAsked
from cattery.harnesses.port import HarnessClient
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject
from tests.processes import free_port

QUIET_SECONDS = 1.2
"""Without a frame and with no session busy: the scenario is over."""


@dataclass(frozen=True)
class Scenario:
    """One recording. `act` is done once, when `when` (a regular expression) matches a frame."""

    name: str
    prompts: tuple[str, ...]
    when: str = ""
    act: str = ""
    labels: tuple[tuple[str, ...], ...] = ()
    after: int = 1
    """At which match to act."""
    at_once: bool = False
    """Each prompt in a session of its own, all at the same time."""


class Program(Protocol):
    """The process under recording, in folders of its own."""

    async def start(self) -> HarnessClient:
        """Start it, also again, and wait until it answers."""

    async def kill(self) -> None:
        """Kill it and all that it started."""

    def mask(self, line: bytes) -> bytes:
        """Replace what is of this machine."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt, and the ids under which it was posted."""

    session: HarnessSessionId
    message: HarnessMessageId
    text: str


def question_in(frames: Sequence[JsonObject], _: Turn) -> QuestionAsked:
    """Read the question that the last frame asks, as our bridges put it."""
    questions = frames[-1]["questions"]
    assert isinstance(questions, list)
    texts = [str(each["question"]) for each in questions if isinstance(each, dict)]
    asked = tuple(Question(text, "", ()) for text in texts)
    return QuestionAsked(str(frames[-1]["questionId"]), asked)


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded: the program as heads name it, and what it is put through."""

    program: str
    version: str
    scenarios: Sequence[Scenario]
    noise: Callable[[JsonObject], str | None]
    """Names the kind of a frame of which the first is enough; `None` for all others."""
    find_question: Callable[[Sequence[JsonObject], Turn], QuestionAsked] = question_in
    """Finds the question that the last of a scenario's frames asks in a turn."""


async def record_all(
    recording: Recording,
    make_program: Callable[[Path, str], Program],
    given: argparse.Namespace,
    root: Path,
) -> None:
    """Record into `given.out`; `make_program` gets a folder and the gateway's address."""
    given.out.mkdir(parents=True, exist_ok=True)
    async with _serving(given.gateway) as gateway:
        program = make_program(root, gateway)
        client = await program.start()
        try:
            for scenario in recording.scenarios:
                if given.only and scenario.name not in given.only:
                    continue
                recorder = Recorder(recording, program, client, scenario)
                client = await recorder.record()
                recorder.write(given.out)
                print(f"{scenario.name}: {len(recorder.lines)} lines", flush=True)
        finally:
            await client.close()
            await program.kill()


def make_parser(description: str) -> argparse.ArgumentParser:
    """Return the arguments that all recorders have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--tools", type=Path, required=True, help="has the agent, and bridges")
    parser.add_argument("--gateway", type=Path, required=True, help="the scripted model gateway")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("--only", nargs="*", default=[], help="names of scenarios; all by default")
    return parser


@asynccontextmanager
async def _serving(gateway: Path) -> AsyncIterator[str]:
    port = free_port()
    config = uvicorn.Config(load_gateway(gateway), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


class Recorder:
    """Runs one scenario and keeps its lines."""

    def __init__(
        self, recording: Recording, program: Program, client: HarnessClient, scenario: Scenario
    ) -> None:
        self.recording = recording
        self.program = program
        self.client = client
        self.scenario = scenario
        self.lines: list[JsonObject] = []
        self.turns: list[Turn] = []
        self._frames: list[JsonObject] = []
        self._matches = 0
        self._noise: set[str] = set()

    async def record(self) -> HarnessClient:
        if self.scenario.at_once:
            await self._run_turns(self.scenario.prompts)
        else:
            for prompt in self.scenario.prompts:
                await self._run_turns([prompt])
        for session in dict.fromkeys(turn.session for turn in self.turns):
            history: list[Json] = [*await self.client.fetch_history(session)]
            self.lines.append({"history": history, "session": session})
        return self.client

    def write(self, folder: Path) -> None:
        head: JsonObject = {
            "scenario": self.scenario.name,
            self.recording.program: self.recording.version,
            "turns": [asdict(turn) for turn in self.turns],
        }
        lines = [self.program.mask(orjson.dumps(line)) for line in [head, *self.lines]]
        (folder / f"{self.scenario.name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    async def _run_turns(self, prompts: Sequence[str]) -> None:
        async with self.client.open_events() as frames:
            sessions = [await self._next_session() for _ in prompts]
            for session, prompt in zip(sessions, prompts, strict=True):
                message = self.client.new_message_id()
                self.turns.append(Turn(session, message, prompt))
                self.lines.append({"posted": message, "session": session})
                await self.client.post_prompt(session, message, prompt)
            killed = await self._follow(frames, sessions)
        if killed:
            await self.client.close()
            await self.program.kill()
            self.client = await self.program.start()
            history: list[Json] = [*await self.client.fetch_history(sessions[0])]
            self.lines.append({"mark": "killed", "session": sessions[0], "history": history})

    async def _next_session(self) -> HarnessSessionId:
        if self.turns and not self.scenario.at_once:
            return self.turns[0].session
        return await self.client.create_session(theme="dark")

    async def _follow(
        self, frames: AsyncIterator[JsonObject], sessions: Sequence[HarnessSessionId]
    ) -> bool:
        """Keep frames until the sessions have been quiet for a while; tell whether to kill."""
        pending = asyncio.ensure_future(anext(frames))
        while True:
            done, _ = await asyncio.wait([pending], timeout=QUIET_SECONDS)
            if not done:
                if not any([await self.client.is_busy(session) for session in sessions]):
                    await _cancel(pending)
                    return False
                continue
            frame = pending.result()
            if frame.get("type") != "server.heartbeat":
                self._keep(frame)
            if await self._react(frame, sessions[0]):
                await _cancel(pending)
                return True
            pending = asyncio.ensure_future(anext(frames))

    def _keep(self, frame: JsonObject) -> None:
        kind = self.recording.noise(frame)
        if kind in self._noise:
            return
        if kind:
            self._noise.add(kind)
        self._frames.append(frame)
        self.lines.append({"frame": frame})

    async def _react(self, frame: JsonObject, session: HarnessSessionId) -> bool:
        if not self.scenario.when or not re.search(
            self.scenario.when, orjson.dumps(frame).decode()
        ):
            return False
        self._matches += 1
        if self._matches != self.scenario.after:
            return False
        self.lines.append({"mark": self.scenario.act})
        if self.scenario.act == "abort":
            await self.client.abort(session)
        elif self.scenario.act == "answer":
            await self._answer(session)
        return self.scenario.act == "kill"

    async def _answer(self, session: HarnessSessionId) -> None:
        asked = self.recording.find_question(self._frames, self.turns[-1])
        answers = [
            Answer(question.question, labels)
            for question, labels in zip(asked.questions, self.scenario.labels, strict=True)
        ]
        await self.client.answer(session, asked, answers)


async def _cancel(pending: asyncio.Future[JsonObject]) -> None:
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)


def load_gateway(path: Path) -> FastAPI:
    """Load the scripted gateway, teach it `glob X`, and mount it as our own gateway serves."""
    spec = importlib.util.spec_from_file_location("scripted_gateway", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["scripted_gateway"] = module
    spec.loader.exec_module(module)
    _teach_glob(module)
    app = FastAPI()
    app.mount("/anthropic", module.app)
    app.mount("/openai", module.app)
    return app


def _teach_glob(module: ModuleType) -> None:
    plan = module.plan

    def plan_with_glob(request: object) -> object:
        user = str(getattr(request, "user", ""))
        found = re.search(r"glob (\S+)", user)
        titles = "title generator" in str(getattr(request, "system", "")).lower()
        if found and not getattr(request, "results", None) and not titles:
            return [module.tool(("glob", {"pattern": found[1]}))]
        return plan(request)

    module.plan = plan_with_glob  # type: ignore[attr-defined]
