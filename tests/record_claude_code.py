"""Records what the real Claude Code says through its bridge, for the replay tests.

Run it by hand when the pinned release changes. It starts the bridge as the platform does, against a
scripted model gateway, and writes one JSONL file a scenario as `record_opencode` does: a head, then
frames and marks in their order, then the final histories.

    python tests/record_claude_code.py --tools <folder> --gateway <its file> --out <folder>
"""

import argparse
import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvicorn

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.events.model import Answer, Question, QuestionAsked
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.harnesses.claude_code.launch import launch_claude_code
from cattery.harnesses.port import HarnessEndpoint, LaunchInput
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import Json, JsonObject
from tests.harness_types import clone_registry
from tests.record_opencode import Scenario, free_port, load_gateway

QUIET_SECONDS = 1.0
PASSWORD = "recording"
TEXT_DELTA = r'"text_delta"'
RUNNING = r'"type":"assistant".*"type":"tool_use"'
WAIT = "run `python3 -c 'import time; time.sleep(20)'`"
NOISE = {"init", "ui_invalidate"}
SCENARIOS = (
    Scenario("hello", ("say hello",)),
    Scenario("think", ("think",)),
    Scenario("create_file", ("create file notes.txt",)),
    Scenario("read_file", ("read file notes.txt",)),
    Scenario("edit_file", ("edit file notes.txt",)),
    Scenario("failing_tool", ("edit file missing.txt",)),
    Scenario("failing_command", ("run `ls /nowhere`",)),
    Scenario("unknown_tool", ("badtool",)),
    Scenario("bad_arguments", ("badargs",)),
    Scenario("parallel", ("parallel",)),
    Scenario("chain", ("chain 3",)),
    Scenario("delegate", ("delegate", "say hello")),
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
        r'"type":"question.asked"',
        "answer",
        (("Allow once",),),
    ),
    Scenario(
        "permission_rejected",
        ("create file ../outside2.txt", "say hello"),
        r'"type":"question.asked"',
        "answer",
        (("Reject",),),
    ),
    Scenario("abort_text", ("slow", "say hello"), TEXT_DELTA, "abort", after=4),
    Scenario("abort_tool", (WAIT, "say hello"), RUNNING, "abort"),
    Scenario("abort_early", ("slow", "say hello"), r'"type":"turn.started"', "abort"),
    Scenario("fail_400", ("fail400", "say hello")),
    Scenario("fail_401", ("fail401",)),
    Scenario("fail_429", ("fail429",)),
    Scenario("fail_500", ("fail500",), r'"subtype":"api_retry"', "abort", after=2),
    Scenario("cut_stream", ("cutstream",)),
    Scenario("empty_reply", ("emptyreply",)),
    Scenario("unicode", ("unicode",)),
    Scenario("two_prompts", ("say hello", "create file second.txt")),
    Scenario("two_sessions", ("think", "create file third.txt"), at_once=True),
    Scenario("killed", ("slow", "say hello"), TEXT_DELTA, "kill", after=4),
    Scenario("killed_in_tool", (WAIT, "say hello"), RUNNING, "kill"),
)


@dataclass
class Bridge:
    """The process under recording, in folders of its own."""

    tools: Path
    root: Path
    port: int
    gateway: str
    process: asyncio.subprocess.Process | None = None
    more_env: Mapping[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        return self.root / "home"

    async def start(self) -> ClaudeCodeClient:
        launch = launch_claude_code(
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
            )
        )
        for folder in (self.workspace, self.home / ".claude", self.root / "skills"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, target in launch.links.items():
            (self.home / name).unlink(missing_ok=True)
            (self.home / name).symlink_to(target)
        with (self.root / "bridge.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env={"PATH": os.environ["PATH"], **self.more_env, **launch.env},
                cwd=self.workspace,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        client = ClaudeCodeClient(HarnessEndpoint(f"http://127.0.0.1:{self.port}", PASSWORD))
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.check_health()
                except CatteryError:
                    if self.process.returncode is not None:
                        await client.close()
                        msg = f"the bridge ended with exit code {self.process.returncode}"
                        raise RuntimeError(msg) from None
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
            (str(self.root).replace("/", "-"), "-sandbox"),
            (self.gateway, "http://gateway"),
            (str(self.tools), "/tools"),
        ):
            line = line.replace(found.encode(), shown.encode())
        return line


class Recorder:
    """Runs one scenario and keeps its lines."""

    def __init__(self, bridge: Bridge, client: ClaudeCodeClient, scenario: Scenario) -> None:
        self.bridge = bridge
        self.client = client
        self.scenario = scenario
        self.lines: list[JsonObject] = []
        self.turns: list[tuple[HarnessSessionId, HarnessMessageId, str]] = []
        self._matches = 0
        self._noise: set[str] = set()

    async def record(self) -> ClaudeCodeClient:
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
            "claude-agent-sdk": clone_registry()["claude-code"].version,
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


async def record_all(tools: Path, gateway: Path, out: Path, only: Sequence[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(load_gateway(gateway), host="127.0.0.1", port=port, log_level="error")
    )
    serving = asyncio.create_task(server.serve())
    with tempfile.TemporaryDirectory() as root:
        bridge = Bridge(tools, Path(root).resolve(), free_port(), f"http://127.0.0.1:{port}")
        client = await bridge.start()
        try:
            for scenario in SCENARIOS:
                if only and scenario.name not in only:
                    continue
                recorder = Recorder(bridge, client, scenario)
                client = await recorder.record()
                recorder.write(out)
                print(f"{scenario.name}: {len(recorder.lines)} lines", flush=True)
        finally:
            await client.close()
            await bridge.kill()
    server.should_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tools", type=Path, required=True, help="has claude-code/venv, bridges")
    parser.add_argument("--gateway", type=Path, required=True, help="the scripted model gateway")
    parser.add_argument("--out", type=Path, required=True, help="folder for the recordings")
    parser.add_argument("only", nargs="*", help="names of scenarios; all by default")
    given = parser.parse_args()
    asyncio.run(record_all(given.tools.absolute(), given.gateway, given.out, given.only))


if __name__ == "__main__":
    main()
