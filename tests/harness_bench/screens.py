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
COMPOSERS: Mapping[str, str] = {"codex": r"Ask Codex to", "hermes": r"(?m)^\u276f\s*$"}
"""Where each takes keys, while it is empty: what is typed before that is there may be lost."""
SIZE = (100, 30)
QUIET_LOOKS = 5
"""Looks, a tenth of a second apart, after which a program has drawn itself. Hermes's clock ticks
every second."""


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

    async def settled(self, seconds: float = 60.0) -> None:
        """Wait until everybody sees where keys are taken, and nothing is drawn for a moment.

        Raises:
            AssertionError: that does not come; the message shows the screens.
        """
        composer = COMPOSERS[self.subject.manifest.id]
        watching = [viewer for viewer in self.viewers if not viewer.socket.closed]
        quiet, seen = 0, [-1 for _ in watching]
        try:
            async with asyncio.timeout(seconds):
                while quiet < QUIET_LOOKS:
                    await asyncio.sleep(0.1)
                    now = [len(viewer.raw) for viewer in watching]
                    is_there = all(re.search(composer, viewer.text) for viewer in watching)
                    quiet, seen = (quiet + 1 if is_there and now == seen else 0), now
        except TimeoutError:
            screens = "\n---\n".join(viewer.text for viewer in watching)
            raise AssertionError(f"it does not settle to take keys:\n{screens}") from None


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
