"""Records what the real opencode says, for the replay tests.

Run it by hand when the pinned release changes; `recorder` does most of it.

    python tests/record_opencode.py --tools <folder> --gateway <its file> --out <folder>
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.events.model import QuestionAsked
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.launch import launch_opencode
from cattery.harnesses.opencode.translator import OpencodeTranslator
from cattery.harnesses.port import HarnessEndpoint, LaunchInput
from cattery.jsontypes import JsonObject
from tests.harness_types import clone_registry
from tests.processes import free_port
from tests.recorder import Recording, Scenario, Turn, make_parser, record_all

NOISE = {
    "catalog.updated",
    "file.watcher.updated",
    "integration.updated",
    "plugin.added",
    "reference.updated",
    "server.heartbeat",
}
PASSWORD = "recording"

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
        return clone_registry()["opencode"].version

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


def noise(frame: JsonObject) -> str | None:
    """Name the kind of a frame that opencode sends again and again as it starts."""
    kind = str(frame.get("type"))
    return kind if kind in NOISE else None


def question_in(frames: Sequence[JsonObject], turn: Turn) -> QuestionAsked:
    """Find the last question, as the platform understands it."""
    translator = OpencodeTranslator(turn.session, turn.message)
    seen = [event for frame in frames for event in translator.translate(frame)]
    return next(event for event in reversed(seen) if isinstance(event, QuestionAsked))


def main() -> None:
    given = make_parser(__doc__ or "").parse_args()
    version = clone_registry()["opencode"].version
    tools = given.tools.resolve()
    with tempfile.TemporaryDirectory() as root:
        asyncio.run(
            record_all(
                Recording("opencode", version, SCENARIOS, noise, question_in),
                lambda folder, gateway: Opencode(tools, folder, free_port(), gateway),
                given,
                Path(root).resolve(),
            )
        )


if __name__ == "__main__":
    main()
