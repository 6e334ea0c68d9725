"""Follows a start until its program answers: reports each step as it comes, and why it cannot.

Nothing is polled: the shared watches wake whoever waits. Only the program itself is asked again
and again, from the moment that its container runs, because nobody else knows when it answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cattery.clock import utc_now
from cattery.errors import (
    SandboxError,
    SandboxFailedError,
    SandboxSetupError,
    SandboxWaitingError,
)
from cattery.logs import redact
from cattery.sandboxes.asking import Asking
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.diagnosis import (
    Situation,
    Verdict,
    diagnose_start,
)
from cattery.sandboxes.kubernetes.failures import ClusterUnreachableError
from cattery.sandboxes.kubernetes.findings import Failure
from cattery.sandboxes.kubernetes.placement import Wanted
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.port import Report, RuntimeEvent, Step, StepName, Waiting

LOG_LINES: Final = 50
"""Of a program that failed, in the error."""
WAIT_PATIENCE: Final = 240.0
"""Seconds that one call waits for quota before it says so; its caller comes again."""
NUDGE_SECONDS: Final = 10.0
"""How often a controller that was refused is asked to try again: by itself it waits ever longer."""
NUDGE_ANNOTATION: Final = "cattery.dev/nudged-at"

type Probe = Callable[[str], Awaitable[None]]
"""Returns where the program at an IP address answers; raises a `CatteryError` otherwise."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a start may take, and how long one call waits for what is no failure (seconds)."""

    start: float
    waiting: float = WAIT_PATIENCE
    nudge: float = NUDGE_SECONDS


class Following:
    """Follows starts."""

    def __init__(self, api: ClusterApi, state: ClusterState, patience: Patience) -> None:
        self._api = api
        self._state = state
        self._patience = patience

    async def follow(self, wanted: Wanted, noun: str, probe: Probe, report: Report) -> str:
        """Wait until the program answers; return the address of its pod.

        Raises:
            SandboxFailedError: it failed, or took too long; the message says at what.
            SandboxSetupError: it cannot start as things stand.
            SandboxWaitingError: it still waits for quota.
        """
        start = _Start(self, wanted, noun, probe, report)
        return await start.run()


class _Start:
    """One start under way."""

    def __init__(
        self, parts: Following, wanted: Wanted, noun: str, probe: Probe, report: Report
    ) -> None:
        self._api, self._state, self._patience = parts._api, parts._state, parts._patience  # noqa: SLF001
        self._wanted = wanted
        self._noun = noun
        self._probe = probe
        self._report = report
        self._steps: dict[StepName, Step] = {}
        self._events: dict[str, int] = {}
        self._waiting: str | None = None
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + parts._patience.start  # noqa: SLF001
        self._waiting_since: float | None = None

    async def run(self) -> str:
        verdict = self._look()
        while True:
            await self._tell(verdict)
            if verdict.failure is not None:
                raise await self._describe(verdict.failure)
            if verdict.address is not None:
                if await self._ask(verdict):
                    return verdict.address
                verdict = self._look()
            else:
                verdict = await self._next(verdict)

    def _situation(self) -> Situation:
        name = self._wanted.name
        claims = [c for one in self._wanted.claims if (c := self._state.claims.get(one))]
        return Situation(
            sandbox=self._state.sandboxes.get(name),
            pod=self._state.pods.get(name),
            claims=claims,
            events=self._state.events_about(name, *self._wanted.claims),
        )

    def _look(self) -> Verdict:
        return diagnose_start(self._situation(), generation=self._wanted.generation, now=utc_now())

    async def _next(self, last: Verdict) -> Verdict:
        """Wait for a verdict that says something new.

        Raises:
            SandboxFailedError: the time is up.
        """

        def look() -> Verdict | None:
            now = self._look()
            return now if now != last or self._has_new_events() else None

        about = (self._wanted.name, *self._wanted.claims)
        while True:
            is_waiting = last.waiting is not None
            left = self._patience.nudge if is_waiting else self._deadline - self._clock()
            try:
                return await self._state.wait_for(look, about=about, timeout=max(left, 0))
            except TimeoutError as error:
                if not is_waiting:
                    raise await self._give_up() from error
                await self._keep_waiting(last)

    def _has_new_events(self) -> bool:
        found = self._state.events_about(self._wanted.name, *self._wanted.claims)
        return any(self._events.get(event.key) != event.count for event in found)

    async def _keep_waiting(self, verdict: Verdict) -> None:
        """Have the controller try again, which was refused for now.

        Raises:
            SandboxWaitingError: this call has waited for long enough.
        """
        since = self._waiting_since or self._clock()
        if self._clock() - since > self._patience.waiting:
            raise SandboxWaitingError(verdict.waiting or "The sandbox waits.")
        operation = {
            "op": "add",
            "path": f"/metadata/annotations/{NUDGE_ANNOTATION.replace('/', '~1')}",
            "value": utc_now().isoformat(),
        }
        await self._api.patch(Kind.SANDBOX, self._wanted.name, [operation])

    async def _tell(self, verdict: Verdict) -> None:
        """Report what is new; time spent on waiting does not count against the start."""
        for event in self._state.events_about(self._wanted.name, *self._wanted.claims):
            if self._events.get(event.key) != event.count:
                self._events[event.key] = event.count
                await self._report(
                    RuntimeEvent(
                        key=event.key,
                        at=event.at,
                        reason=event.reason,
                        message=redact(event.message),
                        count=event.count,
                        is_warning=event.is_warning,
                    )
                )
        for step in verdict.steps:
            if self._steps.get(step.name) != step:
                self._steps[step.name] = step
                await self._report(step)
        if verdict.waiting != self._waiting:
            self._waiting = verdict.waiting
            await self._report(Waiting(verdict.waiting))
        if verdict.waiting is None:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = self._clock()
        if self._waiting_since is not None:
            self._deadline = self._clock() + self._patience.start

    async def _ask(self, verdict: Verdict) -> bool:
        """Ask the program until it answers; false where its pod is another one meanwhile."""
        address = verdict.address
        assert address is not None  # noqa: S101
        began = utc_now()
        await self._report(Step(StepName.ANSWERING, began))
        answering = asyncio.create_task(self._ask_until_it_answers(address))

        def look() -> bool | None:
            now = self._look()
            return True if now.address != address or now.failure is not None else None

        changed = asyncio.create_task(
            self._state.wait_for(look, about=(self._wanted.name,), timeout=self._patience.start)
        )
        try:
            timeout = max(self._deadline - self._clock(), 0)
            await asyncio.wait(
                {answering, changed}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if answering.done():
                answering.result()
                await self._report(Step(StepName.ANSWERING, began, utc_now()))
                return True
            if changed.done() and changed.exception() is None:
                return False
            raise await self._give_up()
        finally:
            for task in (answering, changed):
                task.cancel()
            await asyncio.gather(answering, changed, return_exceptions=True)

    async def _ask_until_it_answers(self, address: str) -> None:
        async with Asking(lambda: self._probe(address)) as program:
            while not await program.answers():
                pass

    async def _give_up(self) -> SandboxError:
        """Say at what the time was up."""
        verdict = self._look()
        at = _open_step(verdict)
        seconds = self._patience.start
        message = f"{self._noun} did not answer within {seconds:.0f} seconds"
        if verdict.address is None:
            message = f"{self._noun} did not start within {seconds:.0f} seconds"
            if at is not None:
                message += f": {_UNDER_WAY[at.name]}"
        message += "."
        if at is not None and at.detail:
            message += f" {at.detail}"
        wants_log = verdict.address is not None
        return await self._describe(Failure(message, False, wants_log, False))

    async def _describe(self, failure: Failure) -> SandboxError:
        message = failure.message
        if failure.wants_log:
            tail = await self._read_log(previous=failure.previous_log)
            message += f"\nThe last lines of its log:\n{tail}" if tail else " Its log is empty."
        return SandboxSetupError(message) if failure.permanent else SandboxFailedError(message)

    async def _read_log(self, *, previous: bool) -> str:
        try:
            name = self._wanted.name
            log = await self._api.read_log(name, lines=LOG_LINES, previous=previous)
        except ClusterUnreachableError:
            return ""
        for secret in self._wanted.secrets:
            log = log.replace(secret, "[redacted]")
        return redact(log)


_UNDER_WAY: Final = {
    StepName.WORKSPACE: "its volume is not there yet",
    StepName.SCHEDULED: "no node has taken it yet",
    StepName.IMAGE: "its image is not there yet",
    StepName.STARTED: "its container does not run yet",
    StepName.ANSWERING: "it runs, but does not answer",
}


def _open_step(verdict: Verdict) -> Step | None:
    return next((step for step in verdict.steps if step.finished_at is None), None)
