"""One running Claude Code program, by way of the SDK.

The SDK wants connecting, reading and disconnecting in one task; that task is `_host`.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from claude_agent_sdk import (
    ClaudeSDKClient,
    ClaudeSDKError,
    PermissionResult,
    ToolPermissionContext,
)

from bridges.claude_code.options import build_options
from bridges.claude_code.permissions import ask_of, result_of
from bridges.claude_code.setup import Setup
from bridges.contract.agent import AgentError, Answered, Asked

_log = logging.getLogger(__name__)

START_SECONDS = 60.0
CONTROL_SECONDS = 10.0
TITLE_SECONDS = 60.0
_STDERR_LINES = 5

_COMMANDS_OF_THE_TERMINAL = frozenset(
    {"add-dir", "agents", "branch", "cd", "clear", "config", "exit", "fork", "login", "logout"}
    | {"mcp", "model", "new", "permissions", "plugin", "quit", "rename", "reset", "resume"}
    | {"rewind", "settings", "statusline", "teleport", "undo"}
)
"""They would change the conversation's id, the model or settings under our feet."""

type Message = dict[str, Any]


class ClaudeProcess:
    """Starts with `start`; then `on_message` gets every message, `on_end` the reason of its end."""

    def __init__(
        self,
        setup: Setup,
        session_id: str,
        *,
        resume: bool,
        ask: Callable[[Asked], Awaitable[Sequence[Answered] | None]],
        on_message: Callable[[Message], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._said: deque[str] = deque(maxlen=_STDERR_LINES)
        options = build_options(setup, session_id, resume=resume, can_use_tool=self._may_use)
        options.stderr = self._take_stderr
        self._client = ClaudeSDKClient(options)
        self._ask = ask
        self._on_message = on_message
        self._on_end = on_end
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it can take prompts."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start the program.

        Raises:
            AgentError: it does not run; the message has its last words.
        """
        self._task = asyncio.create_task(self._host(), name="claude")
        try:
            async with asyncio.timeout(START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError as error:
            await self.close()
            raise AgentError(
                f"Claude Code did not start in {START_SECONDS:.0f} seconds."
            ) from error

    async def send(self, message_id: str, text: str) -> None:
        """Give it a prompt, under the id that its transcript will have.

        Raises:
            AgentError: it is gone.
        """

        async def messages() -> AsyncIterator[dict[str, Any]]:
            yield {
                "type": "user",
                "uuid": message_id,
                "message": {"role": "user", "content": text},
                "parent_tool_use_id": None,
                "client_composed": is_only_text(text),
            }

        try:
            await self._client.query(messages())
        except (ClaudeSDKError, OSError) as error:
            raise AgentError(f"Claude Code does not take the prompt: {error}.") from error

    async def interrupt(self) -> None:
        """Stop the model's run. A program that does not react is left to the caller's time-out."""
        await self._control({"subtype": "interrupt"})

    async def stop_task(self, task_id: str) -> None:
        """Stop a sub-agent."""
        await self._control({"subtype": "stop_task", "task_id": task_id})

    async def make_title(self, text: str) -> str | None:
        """Have the model find a title; the program also writes it into the transcript."""
        request = {"subtype": "generate_session_title", "description": text, "persist": True}
        answer = await self._control(request, seconds=TITLE_SECONDS)
        title = answer.get("title")
        return title.strip() or None if isinstance(title, str) else None

    async def close(self) -> None:
        """End the program. It gets a moment to write its transcript."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _control(
        self, request: dict[str, Any], *, seconds: float = CONTROL_SECONDS
    ) -> Message:
        query = self._client._query  # noqa: SLF001 - no public way to ask for a title
        if query is None:
            return {}
        try:
            answer = await query._send_control_request(  # noqa: SLF001 - as above
                request, timeout=seconds
            )
        except Exception as error:  # noqa: BLE001 - the SDK raises bare ones
            _log.info("Claude Code refused %s: %s", request["subtype"], error)
            return {}
        return answer if isinstance(answer, dict) else {}

    async def _host(self) -> None:
        reason = "it ended by itself"
        try:
            await self._client.connect()
            self._ready.set_result(None)
            query = self._client._query  # noqa: SLF001 - see below
            assert query is not None  # noqa: S101 - connected
            # Not the public method: it leaves out what this release of the SDK does not know.
            async for message in query.receive_messages():
                self._on_message(message)
        except asyncio.CancelledError:
            reason = "it was closed"
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the program is gone
            reason = " ".join([f"{error}.", *self._said])
        finally:
            if not self._ready.done():
                self._ready.set_exception(AgentError(f"Claude Code does not start: {reason}"))
                self._ready.exception()
            self._on_end(reason)
            await self._client.disconnect()

    async def _may_use(
        self, tool: str, given: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResult:
        answers = await self._ask(ask_of(tool, given, context))
        return result_of(tool, given, context.suggestions, answers)

    def _take_stderr(self, line: str) -> None:
        self._said.append(line.strip()[:500])
        _log.info("claude: %s", line.rstrip()[:2000])


def is_only_text(prompt: str) -> bool:
    """Tell whether a prompt that looks like a command must reach the model as the text that it is.

    Other commands (`/compact`, `/init`, a skill's name) do what they do in the terminal.
    """
    command = prompt.lstrip().split(maxsplit=1)[0] if prompt.strip() else ""
    return command.startswith("/") and command[1:] in _COMMANDS_OF_THE_TERMINAL
