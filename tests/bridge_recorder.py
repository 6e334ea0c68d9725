"""Records what the real agent behind one of our bridges says, for the replay tests.

`record_claude_code` and `record_acp` say which agent and which scenarios. Each scenario becomes a
JSONL file, as `record_opencode` makes them: a head, then frames and marks in their order, then the
final histories.
"""

import argparse
import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson
import uvicorn

from cattery.events.model import Answer, Question, QuestionAsked
from cattery.harnesses.bridged.client import BridgeClient
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject
from tests.record_opencode import Scenario, free_port, load_gateway

QUIET_SECONDS = 1.0
NOISE = {"init", "ui_invalidate"}


class Bridge(Protocol):
    """The process under recording, in folders of its own."""

    async def start(self) -> BridgeClient:
        """Start it, also again, and wait until it answers."""

    async def kill(self) -> None:
        """Kill it and all that it started."""

    def mask(self, line: bytes) -> bytes:
        """Replace what is of this machine."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded: the program as heads name it, and what it is put through."""

    program: str
    version: str
    scenarios: Sequence[Scenario]


async def record_all(
    recording: Recording,
    make_bridge: Callable[[Path, str], Bridge],
    given: argparse.Namespace,
    root: Path,
) -> None:
    """Record into `given.out`; `make_bridge` gets a folder and the gateway's address."""
    given.out.mkdir(parents=True, exist_ok=True)
    async with _serving(given.gateway) as gateway:
        bridge = make_bridge(root, gateway)
        client = await bridge.start()
        try:
            for scenario in recording.scenarios:
                if given.only and scenario.name not in given.only:
                    continue
                recorder = Recorder(bridge, client, scenario)
                client = await recorder.record()
                recorder.write(given.out, recording.program, recording.version)
                print(f"{scenario.name}: {len(recorder.lines)} lines", flush=True)
        finally:
            await client.close()
            await bridge.kill()


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

    def __init__(self, bridge: Bridge, client: BridgeClient, scenario: Scenario) -> None:
        self.bridge = bridge
        self.client = client
        self.scenario = scenario
        self.lines: list[JsonObject] = []
        self.turns: list[tuple[HarnessSessionId, HarnessMessageId, str]] = []
        self._matches = 0
        self._noise: set[str] = set()

    async def record(self) -> BridgeClient:
        if self.scenario.at_once:
            await self._run_turns(self.scenario.prompts)
        else:
            for prompt in self.scenario.prompts:
                await self._run_turns([prompt])
        for session in dict.fromkeys(turn[0] for turn in self.turns):
            history: list[Json] = [*await self.client.fetch_history(session)]
            self.lines.append({"history": history, "session": session})
        return self.client

    def write(self, folder: Path, program: str, version: str) -> None:
        head: JsonObject = {
            "scenario": self.scenario.name,
            program: version,
            "turns": [{"session": s, "message": m, "text": t} for s, m, t in self.turns],
        }
        lines = [self.bridge.mask(orjson.dumps(line)) for line in [head, *self.lines]]
        (folder / f"{self.scenario.name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")

    async def _run_turns(self, prompts: Sequence[str]) -> None:
        async with self.client.open_events() as frames:
            sessions = [await self._next_session() for _ in prompts]
            for session, prompt in zip(sessions, prompts, strict=True):
                message = self.client.new_message_id()
                self.turns.append((session, message, prompt))
                self.lines.append({"posted": message, "session": session})
                await self.client.post_prompt(session, message, prompt)
            killed = await self._follow(frames, sessions)
        if killed:
            await self.client.close()
            await self.bridge.kill()
            self.client = await self.bridge.start()
            history: list[Json] = [*await self.client.fetch_history(sessions[0])]
            self.lines.append({"mark": "killed", "session": sessions[0], "history": history})

    async def _next_session(self) -> HarnessSessionId:
        if self.turns and not self.scenario.at_once:
            return self.turns[0][0]
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
            self._keep(frame)
            if await self._react(frame, sessions[0]):
                await _cancel(pending)
                return True
            pending = asyncio.ensure_future(anext(frames))

    def _keep(self, frame: JsonObject) -> None:
        if frame.get("type") == "server.heartbeat":
            return
        message = frame.get("message")
        kind = str(message.get("subtype")) if isinstance(message, dict) else ""
        if kind in NOISE and kind in self._noise:
            return
        self._noise.add(kind)
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
            await self._answer(frame, session)
        return self.scenario.act == "kill"

    async def _answer(self, frame: JsonObject, session: HarnessSessionId) -> None:
        questions = frame["questions"]
        assert isinstance(questions, list)
        texts = [str(q["question"]) for q in questions if isinstance(q, dict)]
        asked = QuestionAsked(
            str(frame["questionId"]), tuple(Question(text, "", ()) for text in texts)
        )
        answers = [
            Answer(text, labels) for text, labels in zip(texts, self.scenario.labels, strict=True)
        ]
        await self.client.answer(session, asked, answers)


async def _cancel(pending: asyncio.Future[JsonObject]) -> None:
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
