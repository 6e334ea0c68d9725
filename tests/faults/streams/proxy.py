"""A TCP proxy that stands between two processes and is as bad as a network can be.

Every fault can be put on and taken off while connections are open. What a fault holds back is not
lost: it comes once the fault is over, as TCP would send it again, unless one side has given up the
connection meanwhile.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.processes import free_port

CHUNK = 64 * 1024
LOOPBACK = "127.0.0.1"


@dataclass
class Weather:
    """What the proxy does to the bytes of all its connections.

    Attributes:
        rate: bytes a second that pass to the client; `None` is no limit.
        piece: bytes that a client gets at once; `None` is no limit.
        delay: seconds that each chunk takes on its way, in either direction.
    """

    rate: int | None = None
    piece: int | None = None
    delay: float = 0.0


class Connection:
    """One client's connection and the one that it is carried on by."""

    def __init__(self, proxy: "TcpProxy", down: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.down = down
        self.up: asyncio.StreamWriter | None = None
        self.reset_in: int | None = None
        """Bytes to the client after which the connection is reset."""
        self.is_half_open = False
        """The server's side is gone, and the client is not told."""
        self.is_half_closed = False
        """The client was told that nothing more comes, and the server was not."""

    def see_upward(self, data: bytes) -> None:
        """Look at what the client sends; for proxies that know the protocol."""

    def see_downward(self, data: bytes) -> bytes:
        """Look at what the server sends; returns what the client gets of it."""
        return data

    def abort(self) -> None:
        """Reset both sides."""
        for writer in (self.down, self.up):
            if writer is not None:
                _reset(writer)

    async def carry_up(self, reader: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        """Carry what the client sends, to its end."""
        while data := await reader.read(CHUNK):
            await self.proxy.lag(data)
            await self.proxy.pass_weather()
            if self.is_half_open:
                continue
            if self.proxy.was_held and has_left(self.down):
                raise ConnectionResetError
            self.see_upward(data)
            up.write(data)
            await up.drain()
        await self.proxy.flowing.wait()
        if self.is_half_open:
            raise ConnectionResetError
        up.write_eof()

    async def carry_down(self, reader: asyncio.StreamReader) -> None:
        """Carry what the server sends, to its end; a client without a server is left alone."""
        while data := await reader.read(CHUNK if self.proxy.weather.rate is None else 1024):
            await self.proxy.throttle(len(data))
            await self.proxy.pass_weather()
            data = self.see_downward(data)
            if self.reset_in is not None:
                data = data[: self.reset_in]
                self.reset_in -= len(data)
            if data and not self.is_half_closed:
                await self._hand_down(data)
            if self.reset_in == 0:
                raise ConnectionResetError
        if self.is_half_open:
            await asyncio.Event().wait()
        await self.proxy.flowing.wait()
        if not self.is_half_closed:
            self.down.write_eof()

    async def _hand_down(self, data: bytes) -> None:
        size = self.proxy.weather.piece or len(data)
        for start in range(0, len(data), size):
            self.down.write(data[start : start + size])
            await self.down.drain()
            if size < len(data):
                await asyncio.sleep(0)


class TcpProxy:
    """Listens for clients and carries them to a port of loopback."""

    def __init__(
        self,
        name: str,
        target: int,
        *,
        host: str = LOOPBACK,
        port: int = 0,
        window: int | None = None,
    ) -> None:
        """`window` is how many bytes the kernel may take from the server that no client has."""
        self.name = name
        self._window = window
        self.host = host
        self.port = port
        self.weather = Weather()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.connections: set[Connection] = set()
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._laggard: tuple[bytes, float, asyncio.Event] | None = None
        self.was_held = False
        """Something may have been held back for longer than its sender waited."""

    async def start(self) -> None:
        """Listen, on the same port as before."""
        if self._server is None:
            self.port = self.port or free_port()
            self._server = await asyncio.start_server(
                self._accept, self.host, self.port, backlog=1024
            )

    async def close(self) -> None:
        """End everything."""
        self._stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def refuse(self) -> None:
        """Reset what is open, and refuse what comes."""
        self._stop_listening()
        self.reset()

    def hold(self) -> None:
        """Let nothing pass, without a word to anybody."""
        self.was_held = True
        self.flowing.clear()

    def reset(self, after: int = 0) -> None:
        """Reset each open connection after so many more bytes to its client."""
        for connection in list(self.connections):
            if after:
                connection.reset_in = after
            else:
                connection.abort()

    def half_close(self) -> None:
        """End the server's half of each open connection, while the server still thinks it open."""
        for connection in list(self.connections):
            connection.is_half_closed = True
            with suppress(OSError, RuntimeError):
                connection.down.write_eof()

    def half_open(self) -> None:
        """Take each open connection from the server, while the client still thinks it open."""
        for connection in list(self.connections):
            connection.is_half_open = True
            if connection.up is not None:
                _reset(connection.up)

    async def heal(self) -> None:
        """Take every fault off."""
        self.weather = Weather()
        self.flowing.set()
        await self.start()

    def delay_next(self, mark: bytes, seconds: float) -> asyncio.Event:
        """Have the next chunk from a client that has these bytes take so long; tells once it came.

        It is delivered even if its sender is gone by then, as what a network has taken is.
        """
        self.was_held = False
        self._laggard = (mark, seconds, asyncio.Event())
        return self._laggard[2]

    async def lag(self, data: bytes) -> None:
        """Wait as long as `delay_next` has said of such a chunk."""
        if self._laggard and self._laggard[0] in data:
            _, seconds, came = self._laggard
            self._laggard = None
            came.set()
            await asyncio.sleep(seconds)

    async def pass_weather(self) -> None:
        """Wait as long as a chunk is on its way."""
        if self.weather.delay:
            await asyncio.sleep(self.weather.delay)
        await self.flowing.wait()

    async def throttle(self, size: int) -> None:
        """Wait as long as so many bytes take, while there is a limit."""
        left = float(size)
        while left > 0 and self.weather.rate is not None:
            await asyncio.sleep(min(0.1, left / self.weather.rate))
            left -= 0.1 * (self.weather.rate or left)

    def make_connection(self, down: asyncio.StreamWriter) -> Connection:
        """Make what carries one client; a proxy that knows its protocol makes its own kind."""
        return Connection(self, down)

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        connection = self.make_connection(writer)
        self.connections.add(connection)
        try:
            await self._carry(connection, reader)
        except asyncio.CancelledError:
            pass  # the proxy is closed; nobody waits for this task's end but `close`
        finally:
            self.connections.discard(connection)
            connection.abort()

    async def _carry(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        await self.flowing.wait()
        if has_left(connection.down):
            return
        try:
            up_reader, up = await self._connect()
        except OSError:
            return
        connection.up = up
        ways = [
            asyncio.create_task(connection.carry_up(reader, up)),
            asyncio.create_task(connection.carry_down(up_reader)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._window is None:
            return await asyncio.open_connection(LOOPBACK, self._target, limit=CHUNK)
        narrow = socket.socket()
        narrow.setblocking(False)
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._window)
        await asyncio.get_running_loop().sock_connect(narrow, (LOOPBACK, self._target))
        return await asyncio.open_connection(sock=narrow, limit=self._window)


_ESTABLISHED = 1


def has_left(writer: asyncio.StreamWriter) -> bool:
    """Tell whether the peer has closed its side, even where it sent something before that."""
    raw = writer.get_extra_info("socket")
    if raw is None or writer.is_closing():
        return True
    try:
        state = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return True
    return bool(state[0] != _ESTABLISHED)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST rather than FIN."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if writer.transport is not None:
        writer.transport.abort()


@asynccontextmanager
async def proxied(proxy: TcpProxy) -> AsyncIterator[TcpProxy]:
    """Have a proxy listen while the body runs."""
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
