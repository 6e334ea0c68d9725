"""One session of a terminal harness as the bench holds it: the screen that a person sees."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bridges.terminal.screen import Screen
from tests.harness_bench.scenario import Subject
from tests.terminal_viewer import Viewer

READY: Mapping[str, str] = {"codex": "OpenAI Codex", "hermes": "Welcome to Hermes"}
"""What each program shows once it takes prompts, and shows again whenever it is started."""
SIZE = (100, 30)


@dataclass(slots=True)
class Display:
    """A session, and everybody who looks at it."""

    subject: Subject
    session_id: str
    viewers: list[Viewer] = field(default_factory=list)

    @property
    def ready(self) -> str:
        return READY[self.subject.manifest.id]

    async def look(self, size: tuple[int, int] = SIZE) -> Viewer:
        """Open the terminal as a browser does."""
        client = self.subject.client
        url = f"{client.url}/sessions/{self.session_id}/term"
        socket = await client.http.ws_connect(url, headers=client.headers, max_msg_size=0)
        viewer = Viewer(socket, Screen(*size)).start()
        self.viewers.append(viewer)
        await viewer.resize(*size)
        return viewer

    async def look_when_ready(self, size: tuple[int, int] = SIZE) -> Viewer:
        viewer = await self.look(size)
        await viewer.wait_for(self.ready)
        return viewer

    async def settled(self) -> None:
        """Give the program the moment in which it asks its terminal and draws itself anew."""
        await asyncio.sleep(1.0)


@asynccontextmanager
async def displaying(subject: Subject) -> AsyncIterator[Display]:
    """Make a session whose program is started by the first look at it."""
    session_id = await subject.client.create_session(subject.harness_id)
    display = Display(subject, session_id)
    try:
        yield display
    finally:
        for viewer in display.viewers:
            await viewer.close()
        await subject.client.ask("DELETE", f"/sessions/{session_id}")


def flat(viewer: Viewer) -> str:
    """Return the screen's words without breaks, frames and gaps: programs wrap as they like."""
    return re.sub(r"[\s│┃|╎▏]+", " ", viewer.text)


async def wait_for_pattern(viewer: Viewer, pattern: str, seconds: float = 60.0) -> None:
    """Wait until a pattern is found in the screen's words.

    Raises:
        AssertionError: it does not come; the message shows the screen.
    """
    try:
        async with asyncio.timeout(seconds):
            while not re.search(pattern, flat(viewer)):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"no {pattern!r} on the screen:\n{viewer.text}") from None
