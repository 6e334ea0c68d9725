"""One program on a pseudo-terminal: started, written to, resized, and ended with all its children.

A program is known by a mark in its environment, which its children inherit: some leave their
process group (Codex's daemon, shells of background tasks) and would outlive a signal to it.
"""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

MARK = "CATTERY_TERMINAL"
READ_BYTES = 64 * 1024
INPUT_HIGH = 256 * 1024
"""Bytes that wait to be typed before whoever types has to wait."""
END_SECONDS = 5.0
"""From SIGTERM to SIGKILL: Hermes takes 3.7 s to store its conversation."""


class Terminal:
    """A running program. `closed` is set when it has gone and its last output was read."""

    def __init__(self, mark: str, take: Callable[[bytes], None]) -> None:
        self._mark = mark
        self._take = take
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None
        self._input: deque[memoryview] = deque()
        self._waiting = 0
        self._room = asyncio.Event()
        self._room.set()

    async def start(
        self, command: list[str], env: Mapping[str, str], folder: Path, cols: int, rows: int
    ) -> None:
        """Start a program.

        Raises:
            OSError: it cannot be started.
        """
        master, slave = pty.openpty()
        try:
            _set_size(slave, cols, rows)
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=folder,
                env={**env, MARK: self._mark},
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        os.set_blocking(master, False)
        self._master = master
        asyncio.get_running_loop().add_reader(master, self._read)

    async def wait(self) -> int:
        """Wait for the program's end, take its last output, end its children; give its code."""
        if self._process is None:
            return -1
        code = await self._process.wait()
        if self._master >= 0:
            self._read(all_of_it=True)
        await self._end_children()
        self._close()
        return code

    async def end(self) -> None:
        """End the program and all that it started."""
        if self._process and self._process.returncode is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(END_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                _signal_group(self._process.pid, signal.SIGKILL)
                await self._process.wait()
        await self._end_children()
        self._close()

    async def type(self, data: bytes) -> None:
        """Type bytes, whole and in order; waits while the program reads too slowly."""
        if self._master < 0 or not data:
            return
        self._input.append(memoryview(data))
        self._waiting += len(data)
        if self._waiting >= INPUT_HIGH:
            self._room.clear()
        if len(self._input) == 1:
            asyncio.get_running_loop().add_writer(self._master, self._write)
        await self._room.wait()

    def answer(self, data: bytes) -> None:
        """Type a terminal's own short answer, without waiting; left out where much waits."""
        if self._master >= 0 and data and self._waiting < INPUT_HIGH:
            self._input.append(memoryview(data))
            self._waiting += len(data)
            if len(self._input) == 1:
                asyncio.get_running_loop().add_writer(self._master, self._write)

    def resize(self, cols: int, rows: int) -> None:
        """Tell the program another size; the kernel signals it."""
        if self._master >= 0:
            _set_size(self._master, cols, rows)

    @property
    def pid(self) -> int | None:
        """The program's own process, while it runs."""
        is_running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and is_running else None

    def find_pids(self) -> list[int]:
        """List the program and everything that it started, however it has detached itself.

        Reads the environment of every process that there is.
        """
        return find_marked(self._mark)

    def _read(self, *, all_of_it: bool = False) -> None:
        while self._master >= 0:
            try:
                chunk = os.read(self._master, READ_BYTES)
            except BlockingIOError:
                return
            except OSError:  # EIO: nobody has the other end open any more
                chunk = b""
            if not chunk:
                asyncio.get_running_loop().remove_reader(self._master)
                return
            self._take(chunk)
            if not all_of_it:
                return

    def _write(self) -> None:
        try:
            while self._input:
                count = os.write(self._master, self._input[0][:4096])
                self._waiting -= count
                rest = self._input[0][count:]
                if rest:
                    self._input[0] = rest
                else:
                    self._input.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self._drop_input()
        if self._waiting < INPUT_HIGH:
            self._room.set()
        if not self._input and self._master >= 0:
            asyncio.get_running_loop().remove_writer(self._master)

    def _drop_input(self) -> None:
        self._input.clear()
        self._waiting = 0
        self._room.set()

    async def _end_children(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            pids = self.find_pids()
            for pid in pids:
                with suppress(OSError):
                    os.kill(pid, number)
            for _ in range(10):
                if not pids or not self.find_pids():
                    return
                await asyncio.sleep(0.1)

    def _close(self) -> None:
        if self._master >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._master)
            loop.remove_writer(self._master)
            os.close(self._master)
            self._master = -1
        self._drop_input()


def find_marked(mark: str) -> list[int]:
    """List the processes whose environment has a mark, but not those that have ended already."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # it ended meanwhile, or is another user's
    return sorted(found)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _set_size(descriptor: int, cols: int, rows: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _signal_group(pid: int, number: int) -> None:
    with suppress(OSError):
        os.killpg(pid, number)
