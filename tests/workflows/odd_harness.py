"""The scripted harness with an oddity, which the first argument names.

die-opening    exits hard when the first session is made, and is well once it was started again
ignore-abort   says that it stopped, and goes on
fail-prompts   answers every prompt with 500
late-title     finds its title a second after the turn
novel-frames   sends frames of a type that no translator knows, with a secret in them
slow-start     serves only after a second and a half
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import override

sys.path.insert(0, str(Path(__file__).parents[2]))

from aiohttp import web

from tests import scripted_harness

CREATE = scripted_harness.Surface.create


async def die_opening(surface: scripted_harness.Surface, request: web.Request) -> web.Response:
    state = surface._harness._state
    assert state
    died = state.with_name("died")
    if not died.exists():
        died.touch()
        os._exit(9)
    return await CREATE(surface, request)


async def ignore_abort(_: scripted_harness.Surface, __: web.Request) -> web.Response:
    return web.json_response(True)


async def fail_prompt(_: scripted_harness.Surface, __: web.Request) -> web.Response:
    return web.json_response({"message": "Out of order."}, status=500)


class LateTitle(scripted_harness.Turn):
    @override
    def _begin_answer(self) -> None:
        before = self.session.title
        self.session.title = scripted_harness.TITLE
        super()._begin_answer()
        self.session.title = before

    @override
    def _finish(self, *, error: scripted_harness.JsonObject | None) -> None:
        super()._finish(error=error)
        asyncio.get_running_loop().call_later(1.0, self._find_title)

    def _find_title(self) -> None:
        self.session.title = scripted_harness.TITLE


class NovelFrames(scripted_harness.Turn):
    @override
    def _begin_answer(self) -> None:
        super()._begin_answer()
        for number in range(3):
            said: scripted_harness.JsonObject = {"number": number, "apiKey": "hush-hush"}
            self.harness.say("hologram.shown", {"sessionID": self.session.id, **said})


def apply_die_opening() -> None:
    scripted_harness.Surface.create = die_opening  # type: ignore[assignment, method-assign]


def apply_ignore_abort() -> None:
    scripted_harness.Surface.abort = ignore_abort  # type: ignore[assignment, method-assign]


def apply_fail_prompts() -> None:
    scripted_harness.Surface.prompt = fail_prompt  # type: ignore[assignment, method-assign]


def apply_late_title() -> None:
    scripted_harness.Turn = LateTitle  # type: ignore[misc]


def apply_novel_frames() -> None:
    scripted_harness.Turn = NovelFrames  # type: ignore[misc]


def apply_slow_start() -> None:
    time.sleep(1.5)


ODDITIES: dict[str, Callable[[], None]] = {
    "die-opening": apply_die_opening,
    "ignore-abort": apply_ignore_abort,
    "fail-prompts": apply_fail_prompts,
    "late-title": apply_late_title,
    "novel-frames": apply_novel_frames,
    "slow-start": apply_slow_start,
}

if __name__ == "__main__":
    ODDITIES[sys.argv.pop(1)]()
    scripted_harness.main()
