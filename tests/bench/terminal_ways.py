"""The two ways to the echoing program: through the platform, and on a PTY of our own."""

import asyncio
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable
from typing import Protocol

import aiohttp

from tests.bench.echo_bridge import COMMAND, LINES_PER_SECOND
from tests.processes import System

READY = b"~ready~"
PATIENCE = 60.0
COLS, ROWS = 100, 30

type See = Callable[[bytes], None]


class Wired(Protocol):
    """A terminal that can be typed into."""

    name: str

    async def open(self, see: See) -> None:
        """Have the program run; what it says goes to `see`."""

    async def type(self, data: bytes) -> None:
        """Type bytes."""

    async def close(self) -> None:
        """Let go of it."""


class DirectTerminal:
    """The program on a PTY of this process."""

    name = "direct PTY"

    def __init__(self) -> None:
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None

    async def open(self, see: See) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLS, 0, 0))
        command = [*COMMAND, str(LINES_PER_SECOND)]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        os.set_blocking(master, False)
        self._master = master
        is_ready = asyncio.Event()
        seen = bytearray()

        def read() -> None:
            try:
                output = os.read(master, 65536)
            except OSError:  # its end
                asyncio.get_running_loop().remove_reader(master)
                return
            if not is_ready.is_set():
                seen.extend(output)
                if READY in seen:
                    is_ready.set()
            see(output)

        asyncio.get_running_loop().add_reader(master, read)
        async with asyncio.timeout(PATIENCE):
            await is_ready.wait()

    async def type(self, data: bytes) -> None:
        os.write(self._master, data)

    async def close(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class RelayedTerminal:
    """The program in a sandbox, by the API's socket as a browser has it."""

    name = "cattery"

    def __init__(self, system: System, session_id: str) -> None:
        self._system = system
        self._session_id = session_id
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reader: asyncio.Task[None] | None = None

    async def open(self, see: See) -> None:
        url = f"{self._system.base_url}/api/v1/sessions/{self._session_id}/term"
        # Browsers offer to compress, so this does.
        socket = await self._system.http.ws_connect(url, max_msg_size=0, compress=15)
        await socket.send_json({"type": "resize", "cols": COLS, "rows": ROWS})
        self._socket = socket
        is_ready = asyncio.Event()

        async def read() -> None:
            seen = bytearray()
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    if not is_ready.is_set():
                        seen.extend(message.data)
                        # One that has run for a while has its first words no more.
                        if READY in seen or b"0123456789" in seen:
                            is_ready.set()
                    see(message.data)

        self._reader = asyncio.create_task(read())
        async with asyncio.timeout(PATIENCE):
            await is_ready.wait()

    async def type(self, data: bytes) -> None:
        assert self._socket
        await self._socket.send_bytes(data)

    async def close(self) -> None:
        if self._socket:
            await self._socket.close()
        if self._reader:
            await self._reader
