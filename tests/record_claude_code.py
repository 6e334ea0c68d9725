"""Records what the real Claude Code says through its bridge, for the replay tests.

Run it by hand when the pinned release changes. It starts the bridge as the platform does, against a
scripted model gateway; `recorder` does the rest.

    python tests/record_claude_code.py --tools <folder> --gateway <its file> --out <folder>
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.harnesses.claude_code.launch import launch_claude_code
from cattery.harnesses.port import HarnessEndpoint, LaunchInput
from cattery.jsontypes import JsonObject
from tests.harness_types import clone_registry
from tests.processes import free_port
from tests.recorder import Recording, Scenario, make_parser, record_all

PASSWORD = "recording"
NOISE = {"init", "ui_invalidate"}
TEXT_DELTA = r'"text_delta"'
RUNNING = r'"type":"assistant".*"type":"tool_use"'
WAIT = "run `python3 -c 'import time; time.sleep(20)'`"
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


def noise(frame: JsonObject) -> str | None:
    """Name the kind of a frame that Claude Code sends at each start of a turn."""
    message = frame.get("message")
    kind = message.get("subtype") if isinstance(message, dict) else None
    return str(kind) if kind in NOISE else None


def main() -> None:
    given = make_parser(__doc__ or "").parse_args()
    version = clone_registry()["claude-code"].version
    recording = Recording("claude-agent-sdk", version, SCENARIOS, noise)
    tools = given.tools.absolute()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(
            record_all(
                recording,
                lambda folder, gateway: Bridge(tools, folder, free_port(), gateway),
                given,
                Path(root).resolve(),
            )
        )


if __name__ == "__main__":
    main()
