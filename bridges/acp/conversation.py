"""One session of an ACP agent: starts its process on demand and runs turns in it."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, override

from bridges.acp.permissions import CANCELLED, ask_of, outcome_of
from bridges.acp.process import AgentProcess
from bridges.acp.record import Parts, Record
from bridges.contract.agent import AgentError, Answered, Conversation, Outcome, Turn

_log = logging.getLogger(__name__)

START_SECONDS = 60.0
"""For each step of the start; an agent that says nothing for longer is ended."""
ABORT_SECONDS = 5.0
"""After a cancel; an agent that has not answered by then is ended."""
QUIET_SECONDS, MAX_QUIET_SECONDS = 0.3, 5.0
"""After a load: some agents replay the conversation behind their answer to it."""
_STOPS = {
    "refusal": "The agent refused to go on. Word the prompt differently.",
    "max_tokens": "The answer reached the model's limit. Ask it to go on.",
    "max_turn_requests": "The agent took more steps than it may. Ask it to go on.",
}


class AcpConversation(Conversation):
    """Implements `Conversation`. Costs a process of the agent between a turn and `close`."""

    def __init__(self, command: Sequence[str], workspace: Path, record: Record) -> None:
        self._command = command
        self._workspace = workspace
        self._record = record
        self._process: AgentProcess | None = None
        self._acp_session = ""
        self._connecting: asyncio.Task[AgentProcess] | None = None
        self._turn: Turn | None = None
        self._speaker: Turn | None = None
        """The turn that updates belong to; `None` while a conversation is loaded."""
        self._parts = Parts()
        self._stopping: asyncio.Future[None] | None = None
        self._asking: set[asyncio.Task[Sequence[Answered] | None]] = set()
        self._heard_at = 0.0
        self._title = ""

    @property
    @override
    def at_rest(self) -> bool:
        """Whether nothing runs on: what an agent does between turns is not ours to know."""
        return True

    @override
    async def run(self, turn: Turn) -> Outcome:
        """Work on a prompt until the turn is over."""
        self._turn = turn
        self._stopping = asyncio.get_running_loop().create_future()
        try:
            process = await self._until_stopped(self._connect_once())
            if process is None or turn.aborting:
                return Outcome.ABORTED
            self._speaker, self._parts = turn, Parts()
            params = {
                "sessionId": self._acp_session,
                "prompt": [{"type": "text", "text": turn.prompt.text}],
            }
            asking = asyncio.create_task(_request(process, "session/prompt", params))
            result = await self._until_stopped(asking)
            if result is None:
                asking.cancel()
                await self.close()
                return Outcome.ABORTED
            return self._judge(turn, result)
        finally:
            await self._stop_asking()
            self._turn = self._stopping = None

    @override
    async def abort(self) -> None:
        """Cancel the run; an agent that does not heed it is ended."""
        stopping, process = self._stopping, self._process
        if stopping is None:
            return
        if self._connecting is not None or process is None:
            _settle(stopping)  # it only starts yet
            return
        asyncio.get_running_loop().call_later(ABORT_SECONDS, _settle, stopping)
        await process.notify("session/cancel", {"sessionId": self._acp_session})

    @override
    async def close(self) -> None:
        """End the agent; the next run loads the session again."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    async def _until_stopped[T](self, work: asyncio.Task[T]) -> T | None:
        """Return what comes of the work; `None` where the turn was stopped first."""
        assert self._stopping is not None  # noqa: S101 - only called within a run
        either: set[asyncio.Future[Any]] = {work, self._stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if work is self._connecting and work.done():
                self._connecting = None
        return work.result() if work.done() else None

    def _connect_once(self) -> asyncio.Task[AgentProcess]:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        return self._connecting

    async def _connect(self) -> AgentProcess:
        """Return the running agent, or start one that knows the session."""
        if self._process is not None and self._process.alive:
            return self._process
        if self._process is not None:
            await self._process.close()
        self._speaker = None
        process = AgentProcess(
            self._command,
            self._workspace,
            on_update=self._take,
            on_ask=self._ask,
            on_end=lambda reason: _log.info("An agent ended: %s", reason),
        )
        try:
            await self._enter(process)
        except TimeoutError as error:
            await process.close()
            raise AgentError("The agent does not answer. Send the prompt again.") from error
        except BaseException:
            await process.close()
            raise
        self._process = process
        return process

    async def _enter(self, process: AgentProcess) -> None:
        """Take up the session where there is one, or begin it."""
        async with asyncio.timeout(START_SECONDS):
            able = await process.start()
        place = {"cwd": str(self._workspace), "mcpServers": []}
        known = await asyncio.to_thread(self._record.bound)
        capabilities = able.get("agentCapabilities")
        can_load = isinstance(capabilities, dict) and capabilities.get("loadSession") is True
        if known is not None and can_load:
            async with asyncio.timeout(START_SECONDS):
                await process.request("session/load", {"sessionId": known, **place})
            self._acp_session = known
            await self._wait_for_quiet()
            return
        async with asyncio.timeout(START_SECONDS):
            made = await process.request("session/new", place)
        session = made.get("sessionId")
        if not isinstance(session, str) or not session:
            raise AgentError("The agent opened a session but gave no id for it.")
        self._acp_session = session
        self._record.bind(session)

    async def _wait_for_quiet(self) -> None:
        begun = time.monotonic()
        self._heard_at = max(self._heard_at, begun)
        while True:
            now = time.monotonic()
            left = min(self._heard_at + QUIET_SECONDS, begun + MAX_QUIET_SECONDS) - now
            if left <= 0:
                return
            await asyncio.sleep(left)

    def _take(self, params: Mapping[str, Any]) -> None:
        self._heard_at = time.monotonic()
        update, speaker = params.get("update"), self._speaker
        if speaker is None or not isinstance(update, dict):
            return  # a replay
        if params.get("sessionId") != self._acp_session:
            _log.info("An update of another session was passed over.")
            return
        self._tell(speaker, self._parts.place(update))
        title = update.get("title")
        if update.get("sessionUpdate") == "session_info_update" and isinstance(title, str):
            self._entitle(speaker, title.strip())

    def _tell(self, turn: Turn, message: dict[str, Any]) -> None:
        self._record.add(turn.prompt.message_id, message)
        turn.emit(message)

    def _entitle(self, turn: Turn, title: str) -> None:
        if title and title != self._title:
            self._title = title
            turn.set_title(title)

    def _judge(self, turn: Turn, result: Mapping[str, Any]) -> Outcome:
        self._tell(turn, {"result": dict(result)})
        reason = str(result.get("stopReason"))
        if reason in _STOPS:
            raise AgentError(_STOPS[reason])
        return Outcome.ABORTED if reason == "cancelled" else Outcome.COMPLETED

    async def _ask(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask a person; without a turn there is nobody, which is no leave to anything."""
        if self._turn is None or params.get("sessionId") != self._acp_session:
            return CANCELLED
        asking = asyncio.create_task(self._turn.ask(ask_of(params)))
        self._asking.add(asking)
        try:
            await asyncio.wait([asking])
        finally:
            self._asking.discard(asking)
        return CANCELLED if asking.cancelled() else outcome_of(params, asking.result())

    async def _stop_asking(self) -> None:
        """Close what is still asked: an agent may go on, or end, without the answer."""
        asking = [*self._asking]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _request(
    process: AgentProcess, method: str, params: Mapping[str, Any]
) -> Mapping[str, Any]:
    return await process.request(method, params)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
