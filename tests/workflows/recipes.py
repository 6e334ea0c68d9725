"""The recipes of docs/operations.md, and a site whose operator follows them in a shell."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from cli import embedded_postgres
from tests.processes import System

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
RECIPES = dict(
    re.findall(r"<!-- recipe: ([\w-]+) -->\n```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
)
WITHIN = 60.0


async def run_recipe(
    name: str, environment: dict[str, str], *more_path: Path, fails: bool = False
) -> str:
    """Run a recipe's commands in a shell, and return what they print."""
    path = [Path(sys.executable).parent, *more_path, os.environ["PATH"]]
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-euo", "pipefail", "-c", RECIPES[name]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": ":".join(map(str, path)), "COLUMNS": "250", **environment},
    )
    output, _ = await asyncio.wait_for(shell.communicate(), WITHIN)
    assert (shell.returncode != 0) == fails, output.decode()
    return output.decode()


class Site:
    """A system, and its operator's shell."""

    def __init__(self, system: System, folder: Path, url: str, temporal: str) -> None:
        self.system = system
        self.folder = folder
        self.url = url
        self.temporal = temporal

    async def follow(self, name: str, *, fails: bool = False, **variables: str | int) -> str:
        """Run a recipe's commands in a shell, and return what they print."""
        environment = {
            "HOME": str(self.folder),
            "TEMPORAL_ADDRESS": self.temporal,
            "DATABASE_URL": self.url,
            "CATTERY_HOME": str(self.system.home),
            "PROJECT": self.system.project_id,
            "HARNESS": self.system.harness_id,
            **{name: str(value) for name, value in variables.items()},
        }
        return await run_recipe(name, environment, embedded_postgres._binaries(), fails=fails)

    async def delete_project(self) -> str:
        """Make a project and ask for its deletion, which has a grace of a day."""
        made = await self.system.post("/projects", {"project_name": "Doomed"})
        path = f"{self.system.base_url}/api/v1/projects/{made['project_id']}"
        async with self.system.http.delete(path) as answer:
            assert answer.status == 204, await answer.text()
        return made["project_id"]

    async def ask(self, path: str) -> int:
        async with self.system.http.get(f"{self.system.base_url}/api/v1{path}") as answer:
            return answer.status

    async def phase_of(self, project: str) -> str:
        return str((await self.read("SELECT phase FROM deletion WHERE object_id = %s", project))[0])

    async def read(self, query: str, *given: object) -> tuple[object, ...]:
        def read() -> tuple[object, ...]:
            with psycopg.connect(self.url) as connection:
                row = connection.execute(query.encode(), given).fetchone()
            assert row is not None
            return row

        return await asyncio.to_thread(read)

    async def events(self, session: str) -> list[str]:
        """The kinds of a session's events, in order."""
        types: tuple[object, ...] = await self.read(
            "SELECT coalesce(array_agg(type ORDER BY seq), '{}') FROM session_event "
            "WHERE session_id = %s",
            session,
        )
        (found,) = types
        assert isinstance(found, list)
        return found


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + WITHIN
    while not await condition():
        assert time.monotonic() < deadline, f"waited {WITHIN:.0f} s for {what}"
        await asyncio.sleep(0.1)


async def prompt(site: Site, session: str, text: str) -> None:
    await site.system.post(f"/sessions/{session}/prompts", {"text": text})


async def has_ended(site: Site, session: str, turns: int = 1) -> None:
    async def ended() -> bool:
        return (await site.events(session)).count("session.idle") >= turns

    await until(ended, f"{turns} turns to end")


async def runs(site: Site, session: str) -> None:
    async def says() -> bool:
        return "message.delta" in await site.events(session)

    await until(says, "the turn to say something")
