"""Records what the real opencode says, for the replay tests: event streams and final histories.

Run it by hand when the pinned release changes. It starts opencode as the platform does, against a
scripted model gateway (a FastAPI application that answers by words in the prompt), and writes one
JSONL file a scenario: a head, then frames and marks in their order, then the final histories.
Paths, ports and tokens of the machine are replaced, and of each kind of start-up noise
(`plugin.added`, …) only the first frame is kept.

    python tests/record_opencode.py --tools <folder> --gateway <its file> --out <folder>
"""

import argparse
import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import orjson
import uvicorn
from fastapi import FastAPI

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.events.model import Answer, QuestionAsked
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.launch import launch_opencode
from cattery.harnesses.opencode.translator import OpencodeTranslator
from cattery.harnesses.port import HarnessEndpoint, LaunchInput
from cattery.harnesses.registry import load_registry
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject
from cattery.settings import HarnessSettings

QUIET_SECONDS = 1.2
NOISE = {
    "catalog.updated",
    "file.watcher.updated",
    "integration.updated",
    "plugin.added",
    "reference.updated",
    "server.heartbeat",
}
PASSWORD = "recording"


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


TEXT_DELTA = r'"type":"message.part.delta"'
SCENARIOS = (
    Scenario("hello", ("say hello",)),
    Scenario("think", ("think",)),
    Scenario("create_file", ("create file notes.txt",)),
    Scenario("read_file", ("read file notes.txt",)),
    Scenario("read_folder", ("read file .",)),
    Scenario("glob", ("glob *.txt", "glob *.nothing")),
    Scenario("edit_file", ("edit file notes.txt",)),
    Scenario("failing_tool", ("edit file missing.txt",)),
    Scenario("unknown_tool", ("badtool",)),
    Scenario("bad_arguments", ("badargs",)),
    Scenario("parallel", ("parallel",)),
    Scenario("delegate", ("delegate",)),
    Scenario("todo", ("todo",)),
    Scenario(
        "ask_answered",
        ("ask me",),
        r'"type":"question.asked"',
        "answer",
        (("Blue",), ("Tests", "Docs")),
    ),
    Scenario("ask_aborted", ("ask me", "say hello"), r'"type":"question.asked"', "abort"),
    Scenario(
        "permission_granted",
        ("create file ../outside.txt",),
        r'"type":"permission.asked"',
        "answer",
        (("Allow once",),),
    ),
    Scenario(
        "permission_rejected",
        ("create file ../outside2.txt", "say hello"),
        r'"type":"permission.asked"',
        "answer",
        (("Reject",),),
    ),
    Scenario("abort_text", ("slow", "say hello"), TEXT_DELTA, "abort", after=4),
    Scenario(
        "abort_tool", ("run `sleep 20`", "say hello"), r'"status":"running"', "abort", after=1
    ),
    Scenario("fail_400", ("fail400", "say hello")),
    Scenario("fail_401", ("fail401",)),
    Scenario("fail_429", ("fail429",), r'"type":"retry"', "abort", after=2),
    Scenario("fail_500", ("fail500",), r'"type":"retry"', "abort", after=5),
    Scenario("cut_stream", ("cutstream",), r'"type":"retry"', "abort", after=1),
    Scenario("empty_reply", ("emptyreply",)),
    Scenario("unicode", ("unicode",)),
    Scenario("two_prompts", ("say hello", "create file second.txt")),
    Scenario("two_sessions", ("think", "create file third.txt"), at_once=True),
    Scenario("killed", ("slow", "say hello"), TEXT_DELTA, "kill", after=4),
    Scenario("killed_in_tool", ("run `sleep 20`", "say hello"), r'"status":"running"', "kill"),
)


@dataclass
class Opencode:
    """The process under recording, in folders of its own."""

    tools: Path
    root: Path
    port: int
    gateway: str
    process: asyncio.subprocess.Process | None = None

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def version(self) -> str:
        return load_registry(HarnessSettings())["opencode"].version

    @property
    def home(self) -> Path:
        return self.root / "home"

    async def start(self) -> OpencodeClient:
        launch = launch_opencode(
            LaunchInput(
                workspace=str(self.workspace),
                home=str(self.home),
                skills=str(self.root / "skills"),
                tools=str(self.tools),
                host="127.0.0.1",
                port=self.port,
                model="claude-sonnet-4-6",
                family=ModelFamily.ANTHROPIC,
                gateway_url=self.gateway,
                gateway_token="token",
                password=PASSWORD,
            ),
            version=self.version,
        )
        for folder in (self.workspace, self.home, self.root / "skills"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, content in launch.files.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(content)
        self.process = await asyncio.create_subprocess_exec(
            *launch.argv,
            env={"PATH": os.environ["PATH"], **launch.env},
            cwd=self.workspace,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        client = OpencodeClient(HarnessEndpoint(f"http://127.0.0.1:{self.port}", PASSWORD))
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.check_health()
                except CatteryError:
                    await asyncio.sleep(0.1)
                else:
                    return client

    async def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    def mask(self, line: bytes) -> bytes:
        for found, shown in (
            (str(self.workspace), "/workspace"),
            (str(self.home), "/home/agent"),
            (str(self.root), "/sandbox"),
            (self.gateway, "http://gateway"),
            (f"127.0.0.1:{self.port}", "harness"),
        ):
            line = line.replace(found.encode(), shown.encode())
        return line


class Recorder:
    """Runs one scenario and keeps its lines."""

    def __init__(self, opencode: Opencode, client: OpencodeClient, scenario: Scenario) -> None:
        self.opencode = opencode
        self.client = client
        self.scenario = scenario
        self.lines: list[JsonObject] = []
        self.turns: list[tuple[HarnessSessionId, HarnessMessageId, str]] = []
        self._matches = 0
        self._noise: set[str] = set()

    async def record(self) -> OpencodeClient:
        if self.scenario.at_once:
            await self._run_turns(self.scenario.prompts)
        else:
            for prompt in self.scenario.prompts:
                await self._run_turns([prompt])
        for session in dict.fromkeys(turn[0] for turn in self.turns):
            history: list[Json] = [*await self.client.fetch_history(session)]
            self.lines.append({"history": history, "session": session})
        return self.client

    def write(self, folder: Path) -> None:
        head: JsonObject = {
            "scenario": self.scenario.name,
            "opencode": self.opencode.version,
            "turns": [{"session": s, "message": m, "text": t} for s, m, t in self.turns],
        }
        lines = [self.opencode.mask(orjson.dumps(line)) for line in [head, *self.lines]]
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
            await self.opencode.kill()
            self.client = await self.opencode.start()
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
            if frame.get("type") != "server.heartbeat":
                self._keep(frame)
            if await self._react(frame, sessions[0]):
                await _cancel(pending)
                return True
            pending = asyncio.ensure_future(anext(frames))

    def _keep(self, frame: JsonObject) -> None:
        kind = str(frame.get("type"))
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
        translator = OpencodeTranslator(session, self.turns[-1][1])
        seen = [event for line in self.lines for event in translator.translate(_frame_of(line))]
        asked = next(event for event in reversed(seen) if isinstance(event, QuestionAsked))
        answers = [
            Answer(question.question, labels)
            for question, labels in zip(asked.questions, self.scenario.labels, strict=True)
        ]
        await self.client.answer(session, asked, answers)


async def _cancel(pending: asyncio.Future[JsonObject]) -> None:
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)


def _frame_of(line: JsonObject) -> JsonObject:
    frame = line.get("frame")
    return frame if isinstance(frame, dict) else {"type": "server.connected"}


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def record_all(tools: Path, gateway: Path, out: Path, only: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(load_gateway(gateway), host="127.0.0.1", port=port, log_level="error")
    )
    serving = asyncio.create_task(server.serve())
    with tempfile.TemporaryDirectory() as root:
        opencode = Opencode(tools, Path(root).resolve(), free_port(), f"http://127.0.0.1:{port}")
        client = await opencode.start()
        try:
            for scenario in SCENARIOS:
                if only and scenario.name not in only:
                    continue
                recorder = Recorder(opencode, client, scenario)
                client = await recorder.record()
                recorder.write(out)
                print(f"{scenario.name}: {len(recorder.lines)} lines")
        finally:
            await client.close()
            await opencode.kill()
    server.should_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path, required=True, help="has opencode/node_modules")
    parser.add_argument("--gateway", type=Path, required=True, help="the scripted model gateway")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("only", nargs="*", help="names of scenarios; all by default")
    given = parser.parse_args()
    asyncio.run(record_all(given.tools.resolve(), given.gateway, given.out, given.only))


if __name__ == "__main__":
    main()
