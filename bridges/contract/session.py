"""One session: takes prompts, runs them one after the other, and remembers how each ended."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridges.contract.agent import (
    AGENT_MESSAGE,
    Agent,
    AgentError,
    Conversation,
    Frame,
    Outcome,
    Prompt,
)
from bridges.contract.errors import FullError, TakenError
from bridges.contract.journal import Journal
from bridges.contract.questions import Questions
from bridges.contract.ring import EventRing
from bridges.contract.turns import RunningTurn

_log = logging.getLogger(__name__)

MAX_QUEUED = 100
CLOSE_SECONDS = 5.0
_LOST = "The harness was stopped while it worked on this prompt."


@dataclass(slots=True)
class Taken:
    """A prompt that was taken. Without an outcome it waits or runs."""

    prompt: Prompt
    outcome: Outcome | None = None
    error: str | None = None


class Session:
    """Serves one conversation of the agent."""

    def __init__(
        self, session_id: str, agent: Agent, journal: Journal, ring: EventRing, *, idle: float
    ) -> None:
        self.id = session_id
        self.title: str | None = None
        self.created_at = time.time()
        self._agent = agent
        self._journal = journal
        self._ring = ring
        self._idle = idle
        self._conversation: Conversation = agent.open(session_id)
        self._questions = Questions()
        self._prompts: dict[str, Taken] = {}
        self._kept: list[Frame] = []
        self._queue: deque[Taken] = deque()
        self._turn: RunningTurn | None = None
        self._worker: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether a turn runs or waits."""
        return self._turn is not None or bool(self._queue)

    def begin(self) -> None:
        """Write down that the session exists."""
        self._journal.write({"session": self.id, "at": self.created_at})

    def load(self) -> None:
        """Read what an earlier process left. Turns that it did not end are lost."""
        for record in self._journal.read():
            self._load(record)
        for taken in self._prompts.values():
            if taken.outcome is None:
                self._end(taken, Outcome.LOST, _LOST)

    def _load(self, record: dict[str, Any]) -> None:
        match record:
            case {"taken": str(message_id), "text": str(text), "at": int() | float() as at}:
                self._prompts[message_id] = Taken(Prompt(message_id, text, at))
            case {"ended": str(message_id), "outcome": str(outcome)} if message_id in self._prompts:
                self._prompts[message_id].outcome = Outcome(outcome)
                self._prompts[message_id].error = record.get("error")
            case {"frame": dict(frame)}:
                self._kept.append(frame)
            case {"title": str(title)}:
                self.title = title
            case {"session": _, "at": int() | float() as at}:
                self.created_at = at
            case _:
                _log.warning("A record of session %s was passed over.", self.id)

    def take(self, prompt: Prompt) -> None:
        """Take a prompt, to be run after those before it. A second time it changes nothing.

        Raises:
            TakenError: its id belongs to another prompt.
            FullError: too many wait.
        """
        known = self._prompts.get(prompt.message_id)
        if known is not None:
            if known.prompt.text != prompt.text:
                raise TakenError("This messageID was used for another prompt. Choose a new one.")
            return
        if len(self._queue) >= MAX_QUEUED:
            raise FullError(f"{MAX_QUEUED} prompts wait already. Try again after a turn has ended.")
        taken = Taken(prompt)
        self._journal.write({"taken": prompt.message_id, "text": prompt.text, "at": prompt.at})
        self._prompts[prompt.message_id] = taken
        self._queue.append(taken)
        self._wake.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name=f"session {self.id}")

    async def abort(self) -> None:
        """Ask the running turn to end."""
        turn = self._turn
        if turn is None:
            return
        turn.aborting = True
        self._questions.withdraw()
        await self._conversation.abort()

    def answer(self, body: object) -> None:
        """Answer an open question; see `Questions.answer`."""
        self._questions.answer(body)

    def describe(self) -> dict[str, Any]:
        """Return what `GET /session/:id` says."""
        return {
            "id": self.id,
            "title": self.title,
            "busy": self.busy,
            "createdAt": self.created_at,
        }

    async def history(self) -> list[Frame]:
        """Return the frames of all turns so far, in the form of the stream but without deltas."""
        own: Sequence[tuple[float, str, Any]] = await asyncio.to_thread(
            self._agent.read_history, self.id, [*self._prompts]
        )
        frames: dict[str, list[Frame]] = {message_id: [] for message_id in self._prompts}
        for at, message_id, message in own:
            frames[message_id].append(
                self._own({"type": AGENT_MESSAGE, "messageID": message_id, "at": at})
                | {"message": message}
            )
        for frame in self._kept:
            frames.get(str(frame.get("messageID")), []).append(self._own(frame))
        told: list[Frame] = []
        if self.title is not None:
            told.append(self._own({"type": "session.updated", "title": self.title}))
        for message_id, taken in self._prompts.items():
            told.append(self._own(_taken_frame(taken)))
            told += sorted(frames[message_id], key=lambda frame: float(frame.get("at", 0)))
            if taken.outcome is not None:
                told.append(self._own(_ended_frame(taken)))
        return told

    async def close(self) -> None:
        """End what runs, as lost; the conversation can be taken up by a later process."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._close_conversation()

    async def _work(self) -> None:
        """Run what waits; let go of the conversation once it has been at rest for long enough."""
        while True:
            while self._queue:
                await self._run(self._queue.popleft())
            self._wake.clear()
            try:
                async with asyncio.timeout(self._idle):
                    await self._wake.wait()
            except TimeoutError:
                if not self._conversation.at_rest:
                    continue
                await self._close_conversation()
                if not self._queue:
                    return

    async def _run(self, taken: Taken) -> None:
        turn = RunningTurn(
            taken.prompt,
            self._questions,
            publish=self._publish,
            keep=self._keep,
            entitle=self._entitle,
            has_title=self.title is not None,
        )
        self._turn = turn
        self._publish(_taken_frame(taken) | {"type": "turn.started"})
        try:
            ending = await self._attempt(turn)
        except asyncio.CancelledError:
            ending = (Outcome.LOST, _LOST)
            raise
        finally:
            self._questions.withdraw()
            self._turn = None
            self._end(taken, *ending)

    async def _attempt(self, turn: RunningTurn) -> tuple[Outcome, str | None]:
        try:
            outcome, error = await self._conversation.run(turn), None
        except AgentError as failure:
            outcome, error = Outcome.FAILED, str(failure)
        except Exception:  # noqa: BLE001 - the turn has to end, with a reason
            _log.exception("A turn of session %s broke.", self.id)
            outcome, error = Outcome.FAILED, "The harness's bridge failed. Its log says more."
        return (Outcome.ABORTED, None) if turn.aborting else (outcome, error)

    def _end(self, taken: Taken, outcome: Outcome, error: str | None = None) -> None:
        taken.outcome, taken.error = outcome, error
        record = {"ended": taken.prompt.message_id, "outcome": outcome.value, "at": time.time()}
        try:
            self._journal.write(record | ({"error": error} if error else {}))
        except OSError:
            _log.exception("The end of a turn of session %s could not be written.", self.id)
        self._publish(_ended_frame(taken))

    def _keep(self, frame: Frame) -> None:
        self._kept.append(frame)
        self._journal.write({"frame": frame})

    def _entitle(self, title: str) -> None:
        self.title = title
        self._journal.write({"title": title})
        self._publish({"type": "session.updated", "title": title})

    def _publish(self, frame: Frame) -> None:
        self._ring.append(self._own(frame))

    def _own(self, frame: Frame) -> Frame:
        return {"type": frame["type"], "sessionID": self.id, **frame}

    async def _close_conversation(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._conversation.close()
        except Exception:  # noqa: BLE001 - logged; nothing more can be done
            _log.exception("The conversation of session %s did not close.", self.id)


def _taken_frame(taken: Taken) -> Frame:
    prompt = taken.prompt
    return {
        "type": "turn.taken",
        "messageID": prompt.message_id,
        "text": prompt.text,
        "at": prompt.at,
    }


def _ended_frame(taken: Taken) -> Frame:
    outcome = taken.outcome.value if taken.outcome else None
    frame = {"type": "turn.ended", "messageID": taken.prompt.message_id, "outcome": outcome}
    return frame | ({"error": taken.error} if taken.error else {})
