"""One session of Claude Code: starts its program on demand and runs turns in it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, override

from bridges.claude_code.endings import TurnWatch, Verdict
from bridges.claude_code.setup import Setup
from bridges.claude_code.transcript import prepare_resume, slim
from bridges.contract.agent import AgentError, Answered, Asked, Conversation, Outcome, Turn

if TYPE_CHECKING:
    from bridges.claude_code.process import ClaudeProcess

_log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""After the last sub-agent's end, for the run that the program then begins by itself."""
ABORT_SECONDS = 5.0
"""After an interrupt; a program that has not ended its run by then is ended itself."""
TITLED_LETTERS = 10
_KEPT = frozenset({"result", "task_notification", "task_started"})
"""Types, or subtypes, of message that the transcript does not have."""


class ClaudeConversation(Conversation):
    """Implements `Conversation`. Costs a process of about 200 MB between a turn and `close`."""

    def __init__(self, session_id: str, setup: Setup) -> None:
        self._session_id = session_id
        self._setup = setup
        self._process: ClaudeProcess | None = None
        self._turn: Turn | None = None
        self._speaker: Turn | None = None
        """The turn that messages belong to: the newest whose prompt the program has begun with."""
        self._watch: TurnWatch | None = None
        self._over: asyncio.Future[Outcome] | None = None
        self._connecting: asyncio.Task[ClaudeProcess] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._background = 0
        self._entitling: asyncio.Task[None] | None = None

    @property
    @override
    def at_rest(self) -> bool:
        """Whether no command and no sub-agent runs in the background."""
        return self._background == 0

    @override
    async def run(self, turn: Turn) -> Outcome:
        """Work on a prompt until the turn is over."""
        message_id = turn.prompt.message_id
        self._turn, self._watch = turn, TurnWatch(message_id)
        self._over = asyncio.get_running_loop().create_future()
        try:
            process = await self._wait_for_program(self._over)
            if process is None or turn.aborting:
                return Outcome.ABORTED
            await process.send(message_id, turn.prompt.text)
            if not turn.has_title and self._entitling is None:
                self._entitling = asyncio.create_task(self._make_title(process, turn))
            return await self._over
        finally:
            self._turn = self._over = self._watch = None
            self._cancel_grace()

    @override
    async def abort(self) -> None:
        """Interrupt the run, and the sub-agents."""
        process, over, watch = self._process, self._over, self._watch
        if over is None or watch is None:
            return
        if process is None or self._connecting is not None:
            self._finish(Outcome.ABORTED)  # it only starts yet
            return
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self._force, over)
        for task_id in watch.tasks:
            await process.stop_task(task_id)
        await process.interrupt()
        if watch.result is not None and not over.done() and not watch.running:
            over.set_result(Outcome.ABORTED)  # only sub-agents were at work

    @override
    async def close(self) -> None:
        """End the program; the transcript has what the next one needs."""
        process, self._process = self._process, None
        if self._entitling is not None:
            self._entitling.cancel()
        self._entitling = None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
            self._connecting = None
            process = process or self._process
            self._process = None
        if process is not None:
            await process.close()

    async def _wait_for_program(self, over: asyncio.Future[Outcome]) -> "ClaudeProcess | None":
        """Return the running program; `None` where the turn was stopped first.

        The start then goes on, for the next turn.
        """
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        either: set[asyncio.Future[Any]] = {self._connecting, over}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._connecting.done():
            return None
        connecting, self._connecting = self._connecting, None
        return connecting.result()

    async def _connect(self) -> "ClaudeProcess":
        """Return the running program, or start one that goes on where the transcript ends."""
        if self._process is not None and self._process.alive:
            return self._process
        resume = await asyncio.to_thread(prepare_resume, self._setup.home, self._session_id)
        self._process = await self._start(resume=resume)
        return self._process

    async def _start(self, *, resume: bool) -> "ClaudeProcess":
        make_process = await asyncio.to_thread(load_program)
        process = make_process(
            self._setup,
            self._session_id,
            resume=resume,
            ask=self._ask,
            on_message=self._take,
            on_end=self._lose,
        )
        self._background = 0
        try:
            await process.start()
        except BaseException:
            await process.close()
            raise
        return process

    def _take(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == "system" and message.get("subtype") == "background_tasks_changed":
            tasks = message.get("tasks")
            self._background = len(tasks) if isinstance(tasks, list) else 0
        verdict = self._watch.take(message) if self._watch else Verdict.GOES_ON
        if self._watch and self._watch.started:
            self._speaker = self._turn
        speaker = self._speaker or self._turn
        if speaker is not None:
            kept = message.get("type") in _KEPT or message.get("subtype") in _KEPT
            speaker.emit(slim(message), keep=kept)
        self._judge(verdict, message)

    def _judge(self, verdict: Verdict, message: Mapping[str, Any]) -> None:
        self._cancel_grace()
        if self._turn is None or verdict is Verdict.GOES_ON:
            if message.get("type") == "result" and self._turn is not None and self._turn.aborting:
                self._finish(Outcome.ABORTED)
            return
        result = self._watch.result if self._watch else None
        failed = result is not None and result.get("is_error") is True
        outcome = Outcome.FAILED if failed else Outcome.COMPLETED
        if verdict is Verdict.OVER or self._turn.aborting:
            self._finish(outcome)
        else:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(GRACE_SECONDS, self._finish, outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(outcome)

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _lose(self, reason: str) -> None:
        """Take note that the program has ended, under a turn or not."""
        self._background = 0
        if self._over is not None and not self._over.done():
            self._over.set_exception(
                AgentError(f"Claude Code ended in the middle of its work: {reason} Try again.")
            )

    def _force(self, over: asyncio.Future[Outcome]) -> None:
        if not over.done():
            _log.warning("Claude Code did not stop; its process is ended.")
            over.set_result(Outcome.ABORTED)
            if self._process is not None:
                closing = asyncio.ensure_future(self.close())
                closing.add_done_callback(lambda _: None)

    async def _ask(self, asked: Asked) -> Sequence[Answered] | None:
        """Ask a person; without a turn there is nobody, which is no leave to anything."""
        return await self._turn.ask(asked) if self._turn is not None else ()

    async def _make_title(self, process: "ClaudeProcess", turn: Turn) -> None:
        text = turn.prompt.text
        # For a prompt shorter than that the program makes none; it is a title by itself.
        title = text if len(text) < TITLED_LETTERS else await process.make_title(text[:2000])
        if title:
            turn.set_title(title)
        else:
            self._entitling = None  # another turn may try again


def load_program() -> "type[ClaudeProcess]":
    """Import what needs the SDK. It takes seconds on a busy machine: the port is open by then."""
    from bridges.claude_code.process import ClaudeProcess

    return ClaudeProcess
