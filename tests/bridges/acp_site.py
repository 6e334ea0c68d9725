"""A real ACP agent behind its bridge, as the platform starts it, in folders of its own."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.events.model import Answer, QuestionAsked, TextPiece, Translated, TurnEnded
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.client import BridgeClient
from cattery.harnesses.port import HarnessEndpoint, Launch, LaunchInput
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject
from tests.processes import free_port

REPOSITORY = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("CATTERY_TOOLS", REPOSITORY / ".tools")).absolute()
PASSWORD = "recording"
TURN_SECONDS = 60

type Reaction = Callable[[Translated], object]


@dataclass
class AcpSite:
    """One bridge. `tools` has `bridges` and the agent's installation."""

    launch: Callable[[LaunchInput], Launch]
    tools: Path
    root: Path
    gateway: str
    family: ModelFamily = ModelFamily.OPENAI
    model: str = "gpt-5.4"
    more_env: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        return self.root / "home"

    async def start(self) -> BridgeClient:
        launch = self.launch(self._given())
        for folder in (self.workspace, self.home, self.root / "skills"):
            folder.mkdir(parents=True, exist_ok=True)
        for name, text in launch.files.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).write_text(text)
        for name, target in launch.links.items():
            (self.home / name).parent.mkdir(parents=True, exist_ok=True)
            (self.home / name).unlink(missing_ok=True)
            (self.home / name).symlink_to(target)
        with (self.root / "bridge.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *launch.argv,
                env={"PATH": os.environ["PATH"], **launch.env, **self.more_env},
                cwd=self.workspace,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        client = BridgeClient(HarnessEndpoint(f"http://127.0.0.1:{self.port}", PASSWORD))
        async with asyncio.timeout(30):
            while True:
                try:
                    await client.check_health()
                except CatteryError:
                    assert self.process.returncode is None, self.log()
                    await asyncio.sleep(0.1)
                else:
                    return client

    async def stop(self) -> None:
        """Stop the bridge as the runtime does: it ends its agents."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            async with asyncio.timeout(15):
                await self.process.wait()

    async def kill(self) -> None:
        """Kill the bridge and its agents, which have process groups of their own."""
        if self.process is None or self.process.returncode is not None:
            return
        for pid in (*self.agents(), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        await self.process.wait()

    def agents(self) -> list[int]:
        """Return the agents' process ids."""
        assert self.process is not None
        pid = self.process.pid
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]

    def log(self) -> str:
        return (self.root / "bridge.log").read_text(errors="replace")

    def mask(self, line: bytes) -> bytes:
        for found, shown in (
            (str(self.workspace), "/workspace"),
            (str(self.home), "/home/agent"),
            (str(self.root), "/sandbox"),
            (self.gateway, "http://gateway"),
            (str(self.tools), "/tools"),
        ):
            line = line.replace(found.encode(), shown.encode())
        return line

    def _given(self) -> LaunchInput:
        return LaunchInput(
            workspace=str(self.workspace),
            home=str(self.home),
            skills=str(self.root / "skills"),
            tools=str(self.tools),
            host="127.0.0.1",
            port=self.port,
            model=self.model,
            family=self.family,
            gateway_url=self.gateway,
            gateway_token="token",
            password=PASSWORD,
        )


@dataclass
class Said:
    """What came of one prompt."""

    message: HarnessMessageId
    frames: list[JsonObject] = field(default_factory=list)
    events: list[Translated] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(e.text for e in self.of(TextPiece) if not e.thinking)

    def of[T](self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


async def say(
    client: BridgeClient, session: HarnessSessionId, prompt: str, react: Reaction | None = None
) -> Said:
    """Run one turn; `react` is told each event and may return something to await."""
    message = client.new_message_id()
    said = Said(message)
    translator = AcpTranslator(session, message)
    async with asyncio.timeout(TURN_SECONDS), client.open_events() as frames:
        await client.post_prompt(session, message, prompt)
        async for frame in frames:
            said.frames.append(frame)
            for event in translator.translate(frame):
                said.events.append(event)
                reaction = react(event) if react else None
                if asyncio.iscoroutine(reaction):
                    await reaction
            if said.of(TurnEnded):
                return said
    raise AssertionError("the stream ended before the turn")


async def answer(
    client: BridgeClient, session: HarnessSessionId, asked: QuestionAsked, label: str
) -> None:
    await client.answer(session, asked, [Answer(asked.questions[0].question, (label,))])
