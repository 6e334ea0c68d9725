"""One session: a program that is kept running, its screen, and those who look at it.

The program is started when somebody first looks, and from then on until the session is deleted:
whenever it ends it is started again, in the conversation that it was in.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from bridges.terminal import queries
from bridges.terminal.programs import Program
from bridges.terminal.screen import Screen
from bridges.terminal.sequences import Tokenizer
from bridges.terminal.store import Record, Store
from bridges.terminal.terminal import Terminal
from bridges.terminal.viewer import Viewer

log = logging.getLogger(__name__)

SIZE = (100, 30)
MIN_SIZE, MAX_SIZE = (20, 5), (500, 200)
PAUSES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds before the program is started again, after it has failed so often in a row."""
STEADY_SECONDS = 15.0
"""A program that ran so long did not fail at its start."""
RESUME_TRIES = 3
"""Quick failures in a row after which the conversation is left and a new one begun."""
LOOK_SECONDS = 2.0
"""Between looks at which conversation the program is in, while it does something."""
FIRST_LOOK_SECONDS = 0.2
"""The same while none is known: a program that is killed before the first look has none."""
SETTLE_SECONDS = 0.3
"""After a resize, for the program to draw itself anew before viewers get the whole screen."""


class Session:
    """Owns a pseudo-terminal."""

    def __init__(
        self,
        session_id: str,
        record: Record,
        program: Program,
        store: Store,
        env: Mapping[str, str],
    ) -> None:
        self.id = session_id
        self._record = record
        self._program = program
        self._store = store
        self._env = dict(env)
        self._screen = Screen(*SIZE)
        self._tokens = Tokenizer()
        self._terminal = Terminal(session_id, self._take)
        self._viewers: set[Viewer] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._looker: asyncio.Task[None] | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._is_active = True

    def start(self) -> None:
        """Have the program run; nothing where it does."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.id}")
            self._looker = asyncio.create_task(self._look(), name=f"look-{self.id}")

    async def close(self) -> None:
        """End the program; the session can be opened again by another bridge."""
        for task in (self._keeper, self._looker):
            if task:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._remember()
        await self._terminal.end()
        if self._settling:
            self._settling.cancel()

    def join(self) -> Viewer:
        """Add a viewer, who first gets the present screen."""
        self.start()
        viewer = Viewer(self._screen)
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer; the others may have more room now."""
        self._viewers.discard(viewer)
        self._fit()

    def resize(self, viewer: Viewer, cols: int, rows: int) -> None:
        """Note a viewer's size. The program gets what fits on everybody's screen."""
        viewer.dimensions = (
            min(max(cols, MIN_SIZE[0]), MAX_SIZE[0]),
            min(max(rows, MIN_SIZE[1]), MAX_SIZE[1]),
        )
        self._fit()
        if viewer.dimensions != self._screen.size:
            viewer.redraw()

    async def type(self, data: bytes) -> None:
        """Type what a viewer typed or pasted."""
        self._is_active = True
        await self._terminal.type(data)

    def set_theme(self, theme: str) -> None:
        """Take another theme: a program that asked to be told is told."""
        if theme not in queries.THEMES or theme == self._record.theme:
            return
        self._save(replace(self._record, theme=theme))
        if self._screen.modes.get("?2031"):
            self._terminal.answer(queries.scheme_report(theme))

    def _take(self, output: bytes) -> None:
        """Follow what the program wrote and pass it on. Called by the event loop."""
        shown = []
        for token in self._tokens.feed(output):
            answer = queries.answer(token, self._screen, self._record.theme)
            if answer:
                self._terminal.answer(answer)
            if queries.may_pass(token):
                self._screen.take(token)
                shown.append(token.raw)
        self._is_active = True
        if shown:
            joined = b"".join(shown)
            for viewer in self._viewers:
                viewer.show(joined)

    def _fit(self) -> None:
        sizes = [viewer.dimensions for viewer in self._viewers if viewer.dimensions]
        if not sizes:
            return
        size = min(cols for cols, _ in sizes), min(rows for _, rows in sizes)
        if size == self._screen.size:
            return
        self._screen.resize(*size)
        self._terminal.resize(*size)
        if self._settling:
            self._settling.cancel()
        loop = asyncio.get_running_loop()
        self._settling = loop.call_later(SETTLE_SECONDS, self._redraw)

    def _redraw(self) -> None:
        for viewer in self._viewers:
            viewer.redraw()

    async def _keep(self) -> None:
        failures = 0
        while True:
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            code = await self._run_once()
            self._remember()
            failures = failures + 1 if loop.time() - began_at < STEADY_SECONDS else 0
            log.info("The program of session %s ended with %d.", self.id, code)
            note = f"The program ended ({code}) and is started again."
            if failures >= RESUME_TRIES and self._record.conversation:
                self._save(replace(self._record, conversation=None))
                note = "The program cannot go on with its conversation: it begins a new one."
            self._take(b"\x1b[!p\x1b[?1049l\x1b[m\r\n[%b]\r\n" % note.encode())
            await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
            self._screen.reset(*self._screen.size)
            self._tokens = Tokenizer()
            self._redraw()

    async def _run_once(self) -> int:
        theme = self._record.theme
        env = {
            **self._env,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLORFGBG": queries.COLORFGBG[theme],
            **self._program.environment(theme),
        }
        command = self._program.command(self.id, self._record.conversation)
        try:
            await self._terminal.start(command, env, Path.cwd(), *self._screen.size)
        except OSError as error:
            self._take(f"\r\n[{Path(command[0]).name}: {error.strerror}]\r\n".encode())
            return -1
        return await self._terminal.wait()

    async def _look(self) -> None:
        while True:
            is_known = self._record.conversation is not None
            await asyncio.sleep(LOOK_SECONDS if is_known else FIRST_LOOK_SECONDS)
            if self._is_active:
                self._is_active = False
                self._remember()

    def _remember(self) -> None:
        """Keep which conversation the program is in, once that is known."""
        found = self._program.find_conversation(self.id, self._terminal.pid)
        if found and found != self._record.conversation:
            self._save(replace(self._record, conversation=found))

    def _save(self, record: Record) -> None:
        self._record = record
        try:
            self._store.save(self.id, record)
        except OSError as error:
            log.warning("The session %s could not be kept: %s", self.id, error)
