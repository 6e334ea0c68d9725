"""A real Codex or Hermes behind the terminal bridge, with a scripted model, and viewers of it."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
from aiohttp import web

from bridges.terminal.screen import Screen
from bridges.terminal.terminal import find_marked
from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.harnesses.bridged.client import basic_auth
from cattery.harnesses.codex.launch import launch_codex
from cattery.harnesses.hermes.launch import launch_hermes
from cattery.harnesses.port import HarnessEndpoint, Launch, LaunchInput
from cattery.harnesses.terminal.client import TerminalClient
from cattery.ids import HarnessSessionId
from gateway.demo import openai_chat, openai_responses
from gateway.demo.conversation import Conversation
from gateway.demo.parts import AnswerHead, Part, Text
from tests.processes import free_port
from tests.terminal_viewer import PATIENCE, Viewer

REPOSITORY = Path(__file__).parents[2]
TOOLS = Path(os.environ.get("CATTERY_TOOLS", REPOSITORY / ".tools")).absolute()
PASSWORD = "viewing"
LAUNCHES: Mapping[str, Callable[[LaunchInput], Launch]] = {
    "codex": launch_codex,
    "hermes": launch_hermes,
}


class OpenAiModel:
    """A model on loopback, over Responses and Chat Completions, that repeats what it is told."""

    def __init__(self) -> None:
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/openai/v1/responses", self._answer_responses)
        app.router.add_post("/openai/v1/chat/completions", self._answer_chat)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer_responses(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw)
        parts = _repeat(openai_responses.read_conversation(body))
        head = AnswerHead(str(body["model"]), hashlib.sha256(raw).hexdigest(), 0, 10)
        if body.get("stream") is not True:
            return web.json_response(openai_responses.whole_answer(parts, head))
        return await _stream(request, [f.data for f in openai_responses.stream_answer(parts, head)])

    async def _answer_chat(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw)
        parts = _repeat(openai_chat.read_conversation(body))
        head = AnswerHead(str(body["model"]), hashlib.sha256(raw).hexdigest(), 0, 10)
        if body.get("stream") is not True:
            return web.json_response(openai_chat.whole_answer(parts, head))
        usage = openai_chat.wants_usage(body)
        frames = openai_chat.stream_answer(parts, head, with_usage=usage)
        return await _stream(request, [frame.data for frame in frames])


def _repeat(conversation: Conversation) -> list[Part]:
    words = conversation.prompt
    return [Text(f"Heard {len(words)} letters: {words[-40:]}")]


async def _stream(request: web.Request, frames: list[bytes]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for frame in frames:
            await response.write(frame)
    return response


@dataclass
class TerminalSite:
    """One bridge in folders of its own."""

    name: str
    root: Path
    model: OpenAiModel
    http: aiohttp.ClientSession
    client: TerminalClient
    port: int
    launch: Launch
    process: asyncio.subprocess.Process | None = None
    viewers: list[Viewer] = field(default_factory=list)

    async def start(self) -> None:
        """Start the bridge and wait until it answers."""
        with (self.root / "bridge.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.launch.argv,
                env={"PATH": os.environ["PATH"], **self.launch.env},
                cwd=self.root / "work",
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(CatteryError):
                    await self.client.check_health()
                    return
                await asyncio.sleep(0.1)

    async def stop(self, number: int = signal.SIGTERM) -> None:
        """End the bridge, kindly or not, and wait for it."""
        if self.process and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    async def view(
        self, session: HarnessSessionId, size: tuple[int, int] | None = (100, 30)
    ) -> Viewer:
        socket = await self.http.ws_connect(
            f"http://127.0.0.1:{self.port}/session/{session}/term",
            headers={"Authorization": basic_auth(PASSWORD)},
            max_msg_size=0,
        )
        viewer = Viewer(socket, Screen(*(size or (100, 30)))).start()
        self.viewers.append(viewer)
        if size:
            await viewer.resize(*size)
        return viewer

    def pids(self, session: HarnessSessionId) -> list[int]:
        return find_marked(session)


@contextlib.asynccontextmanager
async def make_site(name: str, root: Path) -> AsyncIterator[TerminalSite]:
    """Start a bridge and a model; ends both."""
    tools = root / "tools"
    for folder in ("tools", "home", "work", "skills"):
        (root / folder).mkdir()
    (tools / name).symlink_to(TOOLS / name)
    shutil.copytree(REPOSITORY / "bridges", tools / "bridges")
    model = OpenAiModel()
    await model.start()
    port = free_port()
    launch = LAUNCHES[name](
        LaunchInput(
            workspace=str(root / "work"),
            home=str(root / "home"),
            skills=str(root / "skills"),
            tools=str(tools),
            host="127.0.0.1",
            port=port,
            model="fake-model",
            family=ModelFamily.OPENAI,
            gateway_url=model.url,
            gateway_token="token",
            password=PASSWORD,
        )
    )
    for path, text in launch.files.items():
        (root / "home" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "home" / path).write_text(text)
    client = TerminalClient(HarnessEndpoint(f"http://127.0.0.1:{port}", PASSWORD))
    async with aiohttp.ClientSession() as http:
        site = TerminalSite(name, root, model, http, client, port, launch)
        await site.start()
        try:
            yield site
        finally:
            for viewer in site.viewers:
                await viewer.close()
            await site.stop()
            await client.close()
            await model.stop()
