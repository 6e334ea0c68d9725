"""The harness's side of one turn: subscribe, post once, look back, follow until idle.

Kept apart from `turn_run`, which owns the rows and the log: this module only talks to the harness
and hands on what the translator makes of it.
"""

from asyncio import get_running_loop, sleep
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from activities.connections import HarnessConnection, Watch
from cattery.errors import HarnessSessionGoneError
from cattery.events.model import ErrorRaised, StatusChanged, Translated, TurnEnded
from cattery.harnesses.port import HarnessFrame, Translator
from cattery.ids import HarnessMessageId, HarnessSessionId

QUIET = 10.0
"""Seconds without an event of the turn after which the harness is asked whether it still works."""
SETTLE = 1.0
"""Seconds that an idle harness's last events get to arrive before its history is asked."""
IN_FLIGHT = 10.0
"""Seconds for which an earlier attempt's post may be on its way: its worker was killed right after
it, or lives and was only held dead. Posting beside it would have the agent do it all twice."""
LOOK_INTERVAL = 1.0
FRESH = 1.0
"""Seconds after the claim within which the prompt is posted without another look at it."""
MAX_MODEL_RETRIES = 4
"""Times that a harness may try a failing model again before the turn is ended with the reason."""

type Confirm = Callable[[], Awaitable[None]]
type Admit = Callable[[Sequence[Translated]], Awaitable[None]]
type StopIfAsked = Callable[[HarnessConnection, HarnessSessionId], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PostedPrompt:
    """A prompt and the id that it is posted under.

    `may_be_posted` says that an earlier attempt may have posted it, so that the history decides.
    """

    session: HarnessSessionId
    message_id: HarnessMessageId
    body: str
    may_be_posted: bool


class TurnStream:
    """Follows one turn over any number of streams.

    `post_begun` once the harness may have the prompt, `posted` once it has it; `heard` is how many
    frames of its session came by streams so far.
    """

    def __init__(
        self, connection: HarnessConnection, prompt: PostedPrompt, admit: Admit, confirm: Confirm
    ) -> None:
        """Follow a turn that was just claimed; `confirm` raises where another attempt has it."""
        self.post_begun = prompt.may_be_posted
        self.posted = False
        self.heard = 0
        self._connection = connection
        self._prompt = prompt
        self._admit = admit
        self._confirm = confirm
        self._ours_at = get_running_loop().time()
        self._ended = False

    async def follow(self, stop_if_asked: StopIfAsked) -> None:
        """Return when the harness is idle for this turn.

        Raises:
            SandboxError, HarnessError: the harness cannot be reached or understood right now.
            HarnessSessionGoneError: it does not know the session.
            HarnessRejectedError: it refuses the prompt.
        """
        prompt = self._prompt
        async with self._connection.watch(prompt.session) as watch:
            translator = self._connection.kind.translator(prompt.session, prompt.message_id)
            watch.follows = translator.follows
            attached = await self._look_back(translator)
            if not self.posted:
                await self._post()
            await stop_if_asked(self._connection, prompt.session)
            await self._until_idle(watch, translator, patience=SETTLE if attached else QUIET)

    async def _look_back(self, translator: Translator) -> bool:
        """Take in what the history shows of the turn; true where the prompt is in it."""
        if not (self.posted or self._prompt.may_be_posted):
            return False
        clock = get_running_loop().time
        given_up_at = clock() + IN_FLIGHT
        while True:
            history = await self._connection.client.fetch_history(self._prompt.session)
            if translator.prompt_is_in(history):
                break
            if self.posted:
                raise HarnessSessionGoneError("The harness has forgotten this turn.")
            if clock() >= given_up_at:
                return False
            await sleep(LOOK_INTERVAL)
        self.posted = True
        await self._take(translator.reconcile(history))
        return True

    async def _post(self) -> None:
        """Post the prompt, unless the turn is another attempt's by now."""
        prompt, clock = self._prompt, get_running_loop().time
        if clock() - self._ours_at > FRESH:
            await self._confirm()
            self._ours_at = clock()
        self.post_begun = True
        await self._connection.client.post_prompt(prompt.session, prompt.message_id, prompt.body)
        self.posted = True

    async def _until_idle(self, watch: Watch, translator: Translator, *, patience: float) -> None:
        """Follow the frames. A harness that falls silent is asked; see `_is_over`."""
        clock = get_running_loop().time
        deadline = clock() + patience
        idle_seen = False
        while not self._ended:
            frames = await watch.take(max(0.0, deadline - clock()))
            self.heard += sum(map(self._is_ours, frames))
            events = [e for frame in frames for e in translator.translate(frame)]
            if events:
                await self._take(events)
                deadline, idle_seen = clock() + QUIET, False
            elif clock() >= deadline:
                if await self._connection.client.is_busy(self._prompt.session):
                    deadline, idle_seen = clock() + QUIET, False
                elif not idle_seen:
                    deadline, idle_seen = clock() + SETTLE, True
                else:
                    await self._read_ending(translator)

    def _is_ours(self, frame: HarnessFrame) -> bool:
        """Tell whether a frame is of the turn's session, whatever it says."""
        return self._connection.kind.session_of(frame) == self._prompt.session

    async def _read_ending(self, translator: Translator) -> None:
        """End a turn whose harness is idle without having said so, from its history."""
        history = await self._connection.client.fetch_history(self._prompt.session)
        await self._take(translator.reconcile(history))
        if not self._ended:
            await self._take([ErrorRaised(INTERRUPTED), TurnEnded()])

    async def _take(self, events: Sequence[Translated]) -> None:
        await self._admit(events)
        self._ended = self._ended or any(isinstance(event, TurnEnded) for event in events)
        for event in events:
            if isinstance(event, StatusChanged) and not self._ended:
                await self._give_up_on_model(event)

    async def _give_up_on_model(self, status: StatusChanged) -> None:
        """End a turn whose model has failed often enough, with what the harness says of it."""
        attempt = status.detail.get("attempt")
        if not isinstance(attempt, int) or attempt < MAX_MODEL_RETRIES:
            return
        message = (
            f"The model gave no answer after {attempt} tries. {status.message} "
            "Check the model's key, limits and address, then send the prompt again."
        )
        await self._connection.client.abort(self._prompt.session)
        await self._take([ErrorRaised(message), TurnEnded()])


INTERRUPTED = (
    "The agent was restarted in the middle of this turn and did not finish it. "
    "What it said so far is kept; send the prompt again to go on."
)
