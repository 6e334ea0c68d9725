"""Starts workers that can be cut, and knows when they die."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

START_SECONDS = 60.0


@dataclass(frozen=True)
class SeenCall:
    """One call that a worker made: `name` has the number of its occurrence at the end."""

    name: str
    has_effect: bool


@dataclass(eq=False)
class CutWorker:
    """One worker process."""

    pid: int
    folder: Path
    name: str
    died: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def _calls(self) -> Path:
        return self.folder / f"{self.name}.calls"

    async def wait_until_ready(self) -> None:
        ready = self.folder / f"{self.name}.ready"
        async with asyncio.timeout(START_SECONDS):
            while not ready.exists():
                assert not self.died.is_set(), f"a worker ended at its start:\n{self.tail()}"
                await asyncio.sleep(0.05)

    async def arm(self, marks: Collection[str], cut: str | None) -> None:
        """Have it count its calls for some objects from now on, and die after one of them."""
        self._calls.unlink(missing_ok=True)
        order = {"log": str(self._calls), "marks": list(marks), "cut": cut}
        reader, writer = await asyncio.open_unix_connection(self.folder / f"{self.name}.control")
        writer.write(json.dumps(order).encode() + b"\n")
        assert await reader.readline() == b"armed\n"
        writer.close()

    async def disarm(self) -> None:
        """Have it die no more. One that dies at this very moment was cut, as it was meant to be."""
        try:
            await self.arm([], None)
        except (OSError, AssertionError):
            async with asyncio.timeout(START_SECONDS):
                await self.died.wait()

    def calls(self) -> list[SeenCall]:
        """Return the calls since it was armed, in their order."""
        if not self._calls.exists():
            return []
        lines = [line.partition(" ") for line in self._calls.read_text().splitlines()]
        return [SeenCall(name, kind == "effect") for kind, _, name in lines]

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


class Nursery:
    """One process that forks workers, and the workers that it has."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._began: dict[int, asyncio.Future[int]] = {}
        self._workers: dict[int, CutWorker] = {}
        self._ended: set[int] = set()

    async def start(self, folder: Path, environment: Mapping[str, str]) -> CutWorker:
        """Start a worker; it is not ready yet."""
        number = next(self._numbers)
        name = f"worker-{number}"
        wanted = {
            "id": number,
            "env": {
                **environment,
                "CATTERY_WORKER_READY_FILE": str(folder / f"{name}.ready"),
            },
            "log": str(folder / f"{name}.log"),
            "control": str(folder / f"{name}.control"),
        }
        began = self._began[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin
        self._process.stdin.write(json.dumps(wanted).encode() + b"\n")
        pid = await began
        worker = self._workers[pid] = CutWorker(pid, folder, name)
        if pid in self._ended:
            worker.died.set()
        return worker

    async def listen(self) -> None:
        """Hear which workers began and ended, until the process ends."""
        assert self._process.stdout
        async for line in self._process.stdout:
            said = json.loads(line)
            if "began" in said:
                self._ended.discard(said["pid"])  # the number may have been another's
                self._began.pop(said["began"]).set_result(said["pid"])
            else:
                self._ended.add(said["ended"])
                if said["ended"] in self._workers:
                    self._workers[said["ended"]].died.set()


@asynccontextmanager
async def open_nursery(errors: IO[bytes]) -> AsyncIterator[Nursery]:
    """Have a nursery while the body runs; its workers end with it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.faults.cut_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        cwd=Path(__file__).parents[2],
    )
    nursery = Nursery(process)
    listening = asyncio.create_task(nursery.listen())
    try:
        yield nursery
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()
        await listening
