"""One running agent: its process group, its pipes, and JSON-RPC over them."""

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acp.connection import Connection
from acp.exceptions import RequestError

from bridges.contract.agent import AgentError

_log = logging.getLogger(__name__)

MAX_LINE = 64 * 1024 * 1024
"""Of one message; an agent that sends more has lost its way, and its process is ended."""
EXIT_POLL_SECONDS = 0.1
LEAVE_SECONDS = 1.0
"""After its input was closed, for an agent to write down what it has."""
SEND_SECONDS = 10.0
PROTOCOL = 1
_TAIL = 20
_MAX_REASON = 800

type Params = Mapping[str, Any]


class AgentProcess:
    """Starts an agent and speaks to it.

    Args:
        on_update: is told each `session/update`, in order, before anything that came after it.
        on_ask: answers `session/request_permission`.
        on_end: is told once when the agent is gone, with a reason.
    """

    def __init__(
        self,
        command: Sequence[str],
        workspace: Path,
        *,
        on_update: Callable[[Params], None],
        on_ask: Callable[[Params], Awaitable[Params]],
        on_end: Callable[[str], None],
    ) -> None:
        self._command = command
        self._workspace = workspace
        self._on_update = on_update
        self._on_ask = on_ask
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._connection: Connection | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._gone = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> Params:
        """Start it and return its answer to `initialize`.

        Raises:
            AgentError: it does not start.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._workspace,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=MAX_LINE,
                start_new_session=True,
            )
        except OSError as error:
            raise AgentError(f"The agent cannot be started: {error}.") from error
        process = self._process
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise AgentError("The agent was started without pipes.")
        self._connection = Connection(self._handle, process.stdin, process.stdout)
        self._watching = [
            asyncio.create_task(self._read_log(process.stderr)),
            asyncio.create_task(self._wait(process)),
        ]
        # It has the same files and may run the same commands as we: we offer it none of ours.
        none: Params = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
        return await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL,
                "clientCapabilities": none,
                "clientInfo": {"name": "cattery", "title": "Cattery", "version": "0.1.0"},
            },
        )

    async def request(self, method: str, params: Params) -> Params:
        """Ask it something and wait for the answer, for as long as it lives.

        Raises:
            AgentError: it is gone, or answers with an error.
        """
        if self._connection is None:
            raise AgentError(self.reason())
        try:
            result = await self._send(self._connection, method, params)
        except RequestError as error:
            raise AgentError(_sentence(method, error)) from error
        except (ConnectionError, OSError) as error:
            await self._see_end()
            raise AgentError(f"The agent ended: {self.reason()}") from error
        return result if isinstance(result, dict) else {}

    async def _send(self, connection: Connection, method: str, params: Params) -> Any:
        """Send a request; its answer is not waited for once the process is gone.

        The pipe alone does not say so: a command that left the process group may hold it open.
        """
        sending = asyncio.ensure_future(connection.send_request(method, dict(params)))
        gone = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            raise ConnectionError
        finally:
            for task in (sending, gone):
                task.cancel()

    async def notify(self, method: str, params: Params) -> None:
        """Tell it something; one that does not read is left alone."""
        if self._connection is None:
            return
        with contextlib.suppress(ConnectionError, OSError, TimeoutError):
            async with asyncio.timeout(SEND_SECONDS):
                await self._connection.send_notification(method, dict(params))

    def reason(self) -> str:
        """Say how it ended and what it wrote last."""
        code = self._process.returncode if self._process else None
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        last = next((line for line in reversed(self._tail) if line.strip()), "")
        return f"{how}{f', {last.strip()}' if last else ''}."[:_MAX_REASON]

    async def close(self) -> None:
        """End it and all that it started."""
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await _exit(process)
        self._kill()
        if process is not None:
            await _exit(process)
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await connection.close()

    def _kill(self) -> None:
        """Kill its process group, which may have more in it than the agent."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _handle(self, method: str, params: Any, notification: bool) -> Any:
        given: Params = params if isinstance(params, dict) else {}
        if method == "session/update":
            self._on_update(given)
            return None
        if method == "session/request_permission":
            return dict(await self._on_ask(given))
        if not notification:
            raise RequestError.method_not_found(method)
        _log.info("A notification was passed over: %s", method)
        return None

    async def _read_log(self, stream: asyncio.StreamReader) -> None:
        """Read what it writes to its log, all of it, or it would stop when the pipe is full."""
        rest = b""
        while data := await stream.read(65536):
            *lines, rest = (rest + data)[-65536:].split(b"\n")
            self._tail.extend(line.decode(errors="replace")[:500] for line in lines)

    async def _wait(self, process: asyncio.subprocess.Process) -> None:
        await _exit(process)
        self._kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.shield(self._watching[0])  # its last words
        self._gone.set()
        self._on_end(self.reason())

    async def _see_end(self) -> None:
        """Wait for a process whose pipe has closed; one that lives on without it is no use."""
        if self._process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await _exit(self._process)
        self._kill()
        await _exit(self._process)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.shield(self._watching[0])  # its last words


async def _exit(process: asyncio.subprocess.Process) -> None:
    """Wait until it is gone. Its own `wait` also waits for whoever else holds its pipes."""
    while process.returncode is None:  # noqa: ASYNC110 - nothing tells of it alone
        await asyncio.sleep(EXIT_POLL_SECONDS)


def _sentence(method: str, error: RequestError) -> str:
    detail = _detail(error.data)
    said = " ".join(f"{error}{f': {detail}' if detail and detail != str(error) else ''}".split())
    what = "The agent failed" if method == "session/prompt" else f"The agent refused {method}"
    return f"{what}: {said[:_MAX_REASON].rstrip('.')}. Send the prompt again."


def _detail(data: Any) -> str:
    """Find the words in what came with an error, which may be a model's own answer."""
    if isinstance(data, str):
        try:
            inner = json.loads(data)
        except ValueError:
            return data
        return _detail(inner) if isinstance(inner, dict) else data
    if not isinstance(data, dict):
        return ""
    for name in ("message", "details", "error"):
        if words := _detail(data.get(name)):
            return words
    return json.dumps(data)
