"""A real Claude Code behind its bridge, with a scripted model, and turns run to their end."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cattery.events.model import Answer, QuestionAsked, TextPiece, Translated, TurnEnded
from cattery.harnesses.claude_code.client import ClaudeCodeClient
from cattery.harnesses.claude_code.translator import ClaudeCodeTranslator
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject
from tests.bridges.scripted_model import ScriptedModel
from tests.processes import free_port
from tests.record_claude_code import Bridge

REPOSITORY = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("CATTERY_TOOLS", REPOSITORY / ".tools")).absolute()
PROGRAM = TOOLS / "claude-code" / "venv" / "bin" / "python"
NEEDS_CLAUDE = pytest.mark.skipif(
    not PROGRAM.exists(), reason=f"needs Claude Code in {TOOLS}: run `make install`"
)
TURN_SECONDS = 60

type Reaction = Callable[[Translated], object]


@dataclass
class ClaudeSite:
    """One bridge in folders of its own."""

    bridge: Bridge
    model: ScriptedModel
    client: ClaudeCodeClient
    sessions: list[HarnessSessionId] = field(default_factory=list)

    async def open(self) -> HarnessSessionId:
        session = await self.client.create_session(theme="dark")
        self.sessions.append(session)
        return session

    async def say(
        self, session: HarnessSessionId, prompt: str, react: Reaction | None = None
    ) -> "Said":
        return await say(self.client, session, prompt, react)

    async def answer(self, session: HarnessSessionId, asked: QuestionAsked, label: str) -> None:
        await self.client.answer(session, asked, [Answer(asked.questions[0].question, (label,))])

    async def kill(self) -> None:
        await self.bridge.kill()

    async def restart(self) -> None:
        """Start the bridge again after a kill, in the same HOME."""
        await self.client.close()
        self.client = await self.bridge.start()

    def log(self) -> str:
        return (self.bridge.root / "bridge.log").read_text(errors="replace")


@dataclass
class Said:
    """What came of one prompt."""

    message: HarnessMessageId
    frames: list[JsonObject] = field(default_factory=list)
    events: list[Translated] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The whole answer, from its finished parts."""
        return "\n".join(
            event.text
            for event in self.events
            if isinstance(event, TextPiece) and event.complete and event.child is None
        )


async def say(
    client: ClaudeCodeClient,
    session: HarnessSessionId,
    prompt: str,
    react: Reaction | None = None,
) -> Said:
    """Run one turn; `react` is told each event and may return something to await."""
    message = client.new_message_id()
    said = Said(message)
    translator = ClaudeCodeTranslator(session, message)
    async with asyncio.timeout(TURN_SECONDS), client.open_events() as frames:
        await client.post_prompt(session, message, prompt)
        async for frame in frames:
            said.frames.append(frame)
            for event in translator.translate(frame):
                said.events.append(event)
                reaction = react(event) if react else None
                if asyncio.iscoroutine(reaction):
                    await reaction
            if any(isinstance(event, TurnEnded) for event in said.events):
                return said
    raise AssertionError("the stream ended before the turn")


async def make_site(root: Path, **more_env: str) -> AsyncIterator[ClaudeSite]:
    """Start a bridge and a model; ends both."""
    tools = root / "tools"
    tools.mkdir(parents=True)
    (tools / "claude-code").symlink_to(TOOLS / "claude-code")
    shutil.copytree(REPOSITORY / "bridges", tools / "bridges")
    model = ScriptedModel()
    await model.start()
    bridge = Bridge(tools, root.resolve(), free_port(), model.url, more_env=more_env)
    site = ClaudeSite(bridge, model, await bridge.start())
    try:
        yield site
    finally:
        await site.client.close()
        await bridge.kill()
        await model.stop()
