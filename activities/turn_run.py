"""One attempt at one turn: subscribe, prompt once, translate until idle, write each event once.

The order is what makes it safe (each step is one method, in the order of `run`):

1. Claim the fence: from here on an older attempt of this turn writes nothing.
2. Rebuild the ledger from what the log has of the turn.
3. Subscribe to the harness's events, before anything is posted.
4. Post the prompt, unless the harness's history already has its message id. Where an earlier
   attempt may have posted it, the history is watched for a while first: it may be on its way.
5. Reconcile with the history where an earlier attempt, or an earlier stream, may have missed
   something; then follow the stream. The ledger admits only what is new.
6. End the turn with exactly one `session.idle`, whatever happened.

What the user should know is written as `session.error`; what another worker or a new sandbox can
mend is raised.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg
import structlog

from activities.connections import HarnessConnection, HarnessConnections
from activities.sandbox_losses import find_loss
from activities.turn_stream import PostedPrompt, TurnStream
from activities.unknown_frames import UnknownFrames
from cattery.db.engine import Database
from cattery.db.event_log import read_events
from cattery.db.fences import Fence, holds_fence
from cattery.db.sandbox_rows import HarnessFacts
from cattery.db.states import HarnessStatus, PromptStatus
from cattery.db.turns import (
    SessionFacts,
    TurnFacts,
    TurnRows,
    find_turn,
    find_turn_to_run,
    finish_turn,
    start_turn,
    unfix_message,
)
from cattery.errors import (
    CatteryError,
    HarnessError,
    HarnessRejectedError,
    HarnessSessionGoneError,
    SandboxError,
)
from cattery.events.appender import EventAppender, FencedOutError, TurnLog
from cattery.events.ledger import Ledger
from cattery.events.model import (
    ErrorRaised,
    EventType,
    NewEvent,
    StatusChanged,
    TextPiece,
    TitleChanged,
    Translated,
    UnknownFrame,
    UsageUpdated,
)
from cattery.harnesses.port import HarnessType
from cattery.ids import HarnessMessageId, HarnessSessionId, SessionId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.port import SandboxRuntime
from cattery.temporal.messages import SandboxLost, TurnInput, TurnOutcome, TurnResult

log = structlog.get_logger(__name__)

RECONNECT_DELAYS = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between tries to reach a harness whose stream broke off; after them the last again."""
UNREACHED_PATIENCE = 30.0
"""Seconds for which a harness is tried whose sandbox runs: the network between may come back. One
whose sandbox is gone is given up after the delays."""


@dataclass(frozen=True, slots=True)
class TurnServices:
    """What a turn works with."""

    database: Database
    appender: EventAppender
    connections: HarnessConnections
    runtime: SandboxRuntime
    registry: Mapping[str, HarnessType]
    owner: str
    """This worker, as the stream's row names it."""
    unknown: UnknownFrames
    handoff_patience: float = 1.5
    """Seconds for which a turn that is handed over may go on to the end of what it is saying."""
    stopping: set[SessionId] = field(default_factory=set)
    """The sessions whose turn here somebody asked to stop; `workers.peers` keeps it."""


class TurnRun:
    """One attempt. `run` may be cancelled at any await; what was appended stays."""

    def __init__(self, services: TurnServices, task: TurnInput, attempt_at: int) -> None:
        self._services = services
        self._task = task
        self._attempt_at = attempt_at
        self._log: TurnLog | None = None
        self._failed = False
        self._may_be_posted = True
        self._is_titled = False
        self._title: str | None = None
        self._lost: SandboxLost | None = None
        self._harness_type = ""
        self.between_parts = asyncio.Event()
        """Set while no text is half said. Of one that is, whoever takes over sees nothing until it
        is whole: harnesses keep only whole parts, and their pieces do not say where they belong."""
        self.between_parts.set()

    async def run(self) -> TurnResult:
        """Run the turn to its end.

        Raises:
            FencedOutError: a later attempt has the turn.
            SandboxError: the prompt was not posted, because no sandbox answers: start one.
            HarnessSessionGoneError: the prompt was not posted, because the harness has lost the
                session: open a new one.
        """
        services = self._services
        found = await find_turn_to_run(services.database, self._task.prompt_id)
        if found is None or found.turn.status is PromptStatus.DONE:
            return TurnResult(outcome=TurnOutcome.SKIPPED)
        if found.behind is not None:
            return TurnResult(outcome=TurnOutcome.SKIPPED, behind=found.behind)
        turn, session, harness = found.turn, found.session, found.harness
        self._harness_type = harness.type
        self._is_titled = session.title is not None
        async with AsyncExitStack() as stack:
            connection = (
                await stack.enter_async_context(services.connections.use(harness))
                if harness.status is HarnessStatus.READY
                else None
            )
            message_id = await self._claim(session, turn, connection)
            ledger = await self._rebuild_ledger(turn)
            if ledger.ended:
                await self._finish_row(session, turn)
                return TurnResult(outcome=TurnOutcome.SKIPPED)
            outcome = TurnOutcome.COMPLETED
            try:
                if turn.stop_requested_by and turn.harness_message_id is None:
                    outcome = TurnOutcome.ABORTED
                else:
                    prompt = self._prompt_of(session, turn, message_id)
                    await self._follow(harness, connection, prompt, ledger)
            except HarnessRejectedError as error:
                await self.admit(ledger, [ErrorRaised(error.message)])
            return await self._end(session, turn, ledger, outcome)

    async def flush(self) -> None:
        """Make what was appended durable; nothing where another attempt has the turn."""
        if self._log:
            await self._log.flush()

    async def _claim(
        self, session: SessionFacts, turn: TurnFacts, connection: HarnessConnection | None
    ) -> HarnessMessageId | None:
        """Take the turn over; from here on an older attempt of it writes nothing."""
        fence = Fence(turn.session_id, turn.turn_no, self._attempt_at)
        fresh_id = connection.client.new_message_id() if connection else None
        async with self._services.database.quick() as rows:
            started = await start_turn(rows, session, turn, fence, self._services.owner, fresh_id)
        if not started.claimed or started.removed:
            raise FencedOutError(
                f"Turn {turn.turn_no} of session {turn.session_id} has a later attempt, or was "
                "removed."
            )
        self._log = self._services.appender.open_turn(fence)
        self._may_be_posted = started.message_id != fresh_id
        return started.message_id

    async def _rebuild_ledger(self, turn: TurnFacts) -> Ledger:
        """Take in what the log has of the turn; a turn that never ran has nothing yet."""
        ledger = Ledger(turn.turn_no)
        if turn.status is PromptStatus.RUNNING:
            database = self._services.database
            ledger.replay(await read_events(database, turn.session_id, turn_no=turn.turn_no))
        key = f"started:{turn.turn_no}"
        data: JsonObject = {"turnId": str(turn.prompt_id)}
        if self._log and not ledger.ended:
            await self._log.append([NewEvent(EventType.TURN_STARTED, data, key)])
        return ledger

    async def _follow(
        self,
        harness: HarnessFacts,
        connection: HarnessConnection | None,
        prompt: PostedPrompt,
        ledger: Ledger,
    ) -> None:
        """Follow the harness until it is idle, over broken streams; end with the reason if gone."""
        if connection is None:
            raise SandboxError(f"The sandbox of harness {harness.harness_id} does not run.")
        stream = TurnStream(
            connection, prompt, lambda events: self.admit(ledger, events), self._confirm_fence
        )
        async with self._unfixing_unless_posted(stream):
            await self._follow_for_long(stream, harness, ledger)

    @asynccontextmanager
    async def _unfixing_unless_posted(self, stream: TurnStream) -> AsyncIterator[None]:
        """Where the body ends before anything was posted, let the next attempt not wonder."""
        try:
            yield
        finally:
            if not stream.post_begun and self._log:
                with suppress(psycopg.Error):  # then it looks for a while whether it was
                    async with self._services.database.quick() as rows:
                        await unfix_message(rows, self._task.prompt_id, self._log.fence)

    async def _confirm_fence(self) -> None:
        assert self._log is not None  # noqa: S101 - claimed before anything else
        async with self._services.database.quick() as rows:
            if not await holds_fence(rows, self._log.fence):
                raise FencedOutError("Another attempt has taken this turn over.")

    def _prompt_of(
        self, session: SessionFacts, turn: TurnFacts, message_id: HarnessMessageId | None
    ) -> PostedPrompt:
        if session.harness_session_id is None:
            raise HarnessSessionGoneError("The session has not been opened in its harness yet.")
        if message_id is None:
            raise SandboxError(f"The sandbox of harness {session.harness_id} does not run.")
        return PostedPrompt(
            session.harness_session_id, message_id, turn.body, may_be_posted=self._may_be_posted
        )

    async def _follow_for_long(
        self, stream: TurnStream, harness: HarnessFacts, ledger: Ledger
    ) -> None:
        clock = asyncio.get_running_loop().time
        tries, last_heard_at = 0, clock()
        while True:
            heard = stream.heard
            try:
                return await stream.follow(self._stop_if_asked)
            except (SandboxError, HarnessError) as error:
                if error.permanent or not stream.posted:
                    raise
                tries += 1
                if stream.heard > heard:  # that one worked for a while: a turn may lose many
                    tries, last_heard_at = 1, clock()
                if tries > len(RECONNECT_DELAYS) and await self._report_loss(
                    harness, ledger, error, is_final=clock() - last_heard_at > UNREACHED_PATIENCE
                ):
                    return None
            await asyncio.sleep(RECONNECT_DELAYS[min(tries, len(RECONNECT_DELAYS)) - 1])

    async def _stop_if_asked(
        self, connection: HarnessConnection, session: HarnessSessionId
    ) -> None:
        """Stop the turn where the wish to stop it came before it was posted."""
        latest = await find_turn(self._services.database, self._task.prompt_id)
        if latest and latest.stop_requested_by:
            await connection.client.abort(session)

    async def _report_loss(
        self, harness: HarnessFacts, ledger: Ledger, error: CatteryError, *, is_final: bool
    ) -> bool:
        """Say why the turn ends, its sandbox being gone; true where it is, or this is final."""
        observed = await self._services.runtime.observe(harness.harness_id)
        self._lost = find_loss(harness, observed)
        if not (self._lost or is_final):
            return False
        reason = observed.reason or (self._lost and self._lost.reason) or error.message
        message = (
            f"The agent ended in the middle of this turn. {reason} "
            "What it said so far is kept; send a prompt to start it again."
        )
        await self.admit(ledger, [ErrorRaised(message)])
        return True

    async def _end(
        self, session: SessionFacts, turn: TurnFacts, ledger: Ledger, outcome: TurnOutcome
    ) -> TurnResult:
        """Write the turn's one end and its row."""
        latest = await find_turn(self._services.database, turn.prompt_id)
        stopped_by = latest.stop_requested_by if latest else None
        if stopped_by:
            outcome = TurnOutcome.ABORTED
        elif self._failed:
            outcome = TurnOutcome.FAILED
        data: dict[str, Json] = {"outcome": outcome.value}
        if stopped_by:
            data["stoppedBy"] = stopped_by
        assert self._log is not None  # noqa: S101 - claimed before anything else
        await self._log.append(ledger.end(data))
        await self._log.flush()
        await self._finish_row(session, turn)
        wants_title = not self._is_titled and self._title is None
        return TurnResult(outcome=outcome, wants_title=wants_title, lost=self._lost)

    async def _finish_row(self, session: SessionFacts, turn: TurnFacts) -> None:
        if self._title:
            async with self._services.database.write() as rows:
                await TurnRows(rows, session).set_title(self._title)
        async with self._services.database.quick() as rows:
            await finish_turn(rows, session, turn)

    async def admit(self, ledger: Ledger, events: Sequence[Translated]) -> None:
        """Append what is new of some events."""
        fresh: list[NewEvent] = []
        for event in events:
            if isinstance(event, TitleChanged) and self._is_titled:
                continue  # a person's own title stays
            admitted = ledger.admit(event)
            fresh += admitted
            self._note_part(event)
            if admitted and isinstance(event, ErrorRaised):
                self._failed = True
            if admitted and isinstance(event, TitleChanged):
                self._title = event.title
            if admitted and isinstance(event, UnknownFrame):
                self._services.unknown.count(self._harness_type, event.frame_type)
        if fresh and self._log:
            await self._log.append(fresh)

    def _note_part(self, event: Translated) -> None:
        if isinstance(event, TextPiece) and not event.complete:
            self.between_parts.clear()
        elif not isinstance(event, _ASIDES):
            self.between_parts.set()


_ASIDES = (TitleChanged, UsageUpdated, StatusChanged, UnknownFrame)
"""What may come in the middle of a text."""
