"""Calls to file managers: where to, with what patience, and what may be said twice.

A file manager can be gone at any moment: it is stopped when nobody uses it, evicted, moved. Then
its address is asked for anew and the call repeated, once, and only where nothing of it can have
happened. Every call has a connection of its own: a kept one may be dead, and a request that dies
with it may have been carried out or not.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol, Self, override
from urllib.parse import unquote

import aiohttp
import orjson

from cattery.errors import CatteryError, UnavailableError
from cattery.files import remote_wire as wire
from cattery.files.port import OpenedFile

CONNECT_PATIENCE: Final = timedelta(seconds=2)
READ_SILENCE: Final = timedelta(seconds=30)
"""Whoever sends nothing for so long, or takes nothing, is given up."""
CHANGE_SILENCE: Final = timedelta(minutes=2)
"""The same while a change is made: a large folder is deleted, a file brought to disk."""
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024
"""Over the largest that there is: 2 MiB of text, each letter escaped."""

type Parameters = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a file manager answers, and what to prove oneself with."""

    base_url: str
    token: str = field(repr=False)
    generation: int = 0


class AddressSource(Protocol):
    """Knows where one file manager is, or has it started."""

    async def find(self) -> Address:
        """Return the address; raises `UnavailableError` with the reason where there is none."""

    async def replace(self, lost: Address) -> Address:
        """Return another address than one that did not answer; raises as `find` does."""


class OneAddress:
    """The address of one start of a file manager, for whoever will have no other."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def find(self) -> Address:
        """Return the address."""
        return self._address

    async def replace(self, lost: Address) -> Address:
        """Raise: there is no other."""
        del lost
        raise LostError


class LostError(UnavailableError):
    """The file manager was not reached; nothing happened there."""

    def __init__(self) -> None:
        super().__init__("The file manager of these files does not answer. Try again in a moment.")


class RemoteCalls:
    """Calls to one file manager.

    Args:
        http: made by `open_session`; one a process.
        addresses: where the file manager is.
    """

    def __init__(self, http: aiohttp.ClientSession, addresses: AddressSource) -> None:
        self._http = http
        self._addresses = addresses

    async def read(self, path: str, parameters: Parameters | None = None) -> bytes:
        """Return what a question is answered with."""
        return await self._reach(
            lambda address: self._exchange(address, "GET", path, parameters, repeatable=True)
        )

    async def change(
        self, method: str, path: str, parameters: Parameters | None = None, *, content: bytes = b""
    ) -> bytes:
        """Have something changed, once."""
        return await self._reach(
            lambda address: self._exchange(
                address, method, path, parameters, body=content or None, silence=CHANGE_SILENCE
            )
        )

    async def open(self, path: str, parameters: Parameters) -> OpenedFile:
        """Begin to receive a file."""
        return await self._reach(lambda address: self._open(address, path, parameters))

    async def send(self, path: str, parameters: Parameters, chunks: AsyncIterator[bytes]) -> bytes:
        """Send a file as it comes; what of it was asked for cannot be sent again."""
        return await self._reach(lambda address: self._send(address, path, parameters, chunks))

    async def _reach[T](self, attempt: Callable[[Address], Awaitable[T]]) -> T:
        address = await self._addresses.find()
        try:
            return await attempt(address)
        except LostError:
            return await attempt(await self._addresses.replace(address))

    async def _exchange(
        self,
        address: Address,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        body: "bytes | _Feed | None" = None,
        silence: timedelta = READ_SILENCE,
        repeatable: bool = False,
    ) -> bytes:
        response = await self._request(
            address, method, path, parameters, body=body, silence=silence, repeatable=repeatable
        )
        try:
            return await _read_whole(response)
        except aiohttp.ClientError as error:
            raise _broken_off() from error
        finally:
            response.close()

    async def _open(self, address: Address, path: str, parameters: Parameters) -> OpenedFile:
        response = await self._request(address, "GET", path, parameters, repeatable=True)
        return OpenedFile(
            unquote(response.headers.get(wire.NAME_HEADER, "")),
            response.content_length or 0,
            response.headers.get("Content-Type", "application/octet-stream"),
            ReceivedChunks(response),
        )

    async def _send(
        self, address: Address, path: str, parameters: Parameters, chunks: AsyncIterator[bytes]
    ) -> bytes:
        await self._exchange(address, "GET", wire.READY, repeatable=True)
        feed = _Feed()
        answering = asyncio.create_task(
            self._exchange(address, "POST", path, parameters, body=feed, silence=CHANGE_SILENCE)
        )
        try:
            await feed.fill(chunks, answering)
            return await answering
        except LostError as error:
            if feed.was_asked:
                raise _broken_off() from error
            raise
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _request(
        self,
        address: Address,
        method: str,
        path: str,
        parameters: Parameters | None,
        *,
        body: "bytes | _Feed | None" = None,
        silence: timedelta = READ_SILENCE,
        repeatable: bool = False,
    ) -> aiohttp.ClientResponse:
        """Return the response to a request that was let in and done; its body is still to come."""
        try:
            response = await self._http.request(
                method,
                address.base_url + path,
                params=parameters,
                data=body,
                headers={"Authorization": f"Bearer {address.token}"},
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=CONNECT_PATIENCE.total_seconds(),
                    sock_read=silence.total_seconds(),
                ),
                allow_redirects=False,
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise LostError from error
        except aiohttp.SocketTimeoutError as error:
            raise UnavailableError(
                "The file manager of these files did not answer in time. Try again in a moment."
            ) from error
        except aiohttp.ClientError as error:
            raise LostError() if repeatable else _broken_off() from error
        if response.status == 200:
            return response
        try:
            raise await _read_error(response)
        finally:
            response.close()


def open_session() -> aiohttp.ClientSession:
    """Make the HTTP session that the calls of one process share."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent", "Content-Type"),
    )


class ReceivedChunks(AsyncIterator[bytes]):
    """A file that is being received. Ends by itself at its end, or by `aclose`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @override
    def __aiter__(self) -> Self:
        return self

    @override
    async def __anext__(self) -> bytes:
        try:
            chunk = await self._response.content.readany()
        except aiohttp.ClientError as error:
            self._response.close()
            raise UnavailableError(
                "The file broke off in the middle: its file manager went away. Try again."
            ) from error
        if not chunk:
            self._response.close()
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Give the rest up; safe to repeat."""
        self._response.close()


class _Feed(AsyncIterator[bytes]):
    """A request's body that is filled from outside, a chunk at a time.

    The source is never cancelled in the middle of a chunk: where the answer comes early, as a
    refusal does, whoever has the source can still read it to its end.
    """

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(1)
        self._asked = asyncio.Event()

    @property
    def was_asked(self) -> bool:
        """Whether a part of the body may have been sent."""
        return self._asked.is_set()

    @override
    async def __anext__(self) -> bytes:
        self._asked.set()
        chunk = await self._chunks.get()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def fill(self, chunks: AsyncIterator[bytes], answer: asyncio.Task[bytes]) -> None:
        """Pass the chunks on until they end or the answer is there.

        Raises:
            UnavailableError: the other side takes nothing any more.
        """
        if not await _happens_before(answer, self._asked.wait()):
            return
        async for chunk in chunks:
            if chunk and not await _happens_before(answer, self._chunks.put(chunk)):
                return
        await _happens_before(answer, self._chunks.put(b""))


async def _happens_before(
    answer: asyncio.Task[bytes], event: Awaitable[object], *, within: timedelta = READ_SILENCE
) -> bool:
    happening = asyncio.ensure_future(event)
    try:
        await asyncio.wait(
            {happening, answer},
            timeout=within.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not happening.done() and not answer.done():
            raise UnavailableError(
                "The file manager of these files takes nothing any more. Try again in a moment."
            )
        return happening.done()
    finally:
        happening.cancel()


async def _read_whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise read_nonsense()
    return bytes(body)


async def _read_error(response: aiohttp.ClientResponse) -> CatteryError:
    if response.status == 401:  # another token: it is another's, or of another generation
        return LostError()
    try:
        return wire.read_error(response.status, orjson.loads(await _read_whole(response)))
    except (aiohttp.ClientError, orjson.JSONDecodeError):
        return wire.read_error(response.status, None)


def read_nonsense() -> CatteryError:
    """Refuse an answer that is none of the protocol's."""
    return wire.read_error(200, None)


def _broken_off() -> UnavailableError:
    return UnavailableError(
        "The file manager went away in the middle of this. Look whether it was done, "
        "and try again if not."
    )
