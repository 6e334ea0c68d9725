"""Prompts, watchers that come and go, and faults in any order that Hypothesis thinks of."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from random import Random
from typing import Any, override

import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.faults.streams.checks import check, explain, settle
from tests.faults.streams.installation import Installation
from tests.faults.streams.misfortunes import MISFORTUNES, Misfortune
from tests.faults.streams.people import People, Turn
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher, Way, signed_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

WALKS = 5
STEPS = 10
LONG = ("frozen", "held", "half-open")
"""What takes longer than a step of a walk should; the nemesis has it."""
STEPPED = [each for each in MISFORTUNES if not any(word in each.name for word in LONG)]


async def test_a_random_walk_over_prompts_watchers_and_faults_loses_nothing(
    people: People, installation: Installation
) -> None:
    loop = asyncio.get_running_loop()
    chosen = settings(
        max_examples=WALKS,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        # A step takes seconds and real processes do not repeat themselves: a failure is not made
        # smaller, its history is printed instead.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    taken: Counter[str] = Counter()
    walk = type("Walk", (_Walk,), {"people": people, "loop": loop, "taken": taken})
    await asyncio.to_thread(run_state_machine_as_test, walk, settings=chosen)
    assert taken["prompt"] > 0
    assert taken["strike"] > 0


class _Walk(RuleBasedStateMachine):
    """One walk, in sessions of its own. Its steps are taken in the loop of the test."""

    people: People
    loop: asyncio.AbstractEventLoop
    taken: Counter[str]
    """How often each rule was followed, in all walks."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[Turn] = []
        self._watchers: list[Watcher] = []
        self._watching: list[asyncio.Task[None]] = []
        self._sessions: list[str] = []
        self._is_hurt = False

    @initialize(kind=st.sampled_from(STEPPED), seed=st.integers(0, 1_000))
    def open_sessions(self, kind: Misfortune, seed: int) -> None:
        """Begin with a prompt and a fault: Hypothesis leaves out whole rules of some walks."""
        for harness in self.people.installation.harness_ids:
            self._sessions.append(self._run(self.people.open_session(harness)))
        self.prompt(first=True, deltas=60, parts=2)
        self.strike(kind=kind, seed=seed)

    @rule(first=st.booleans(), deltas=st.integers(1, 60), parts=st.integers(1, 3))
    def prompt(self, first: bool, deltas: int, parts: int) -> None:
        self.taken["prompt"] += 1
        session = self._sessions[0 if first else -1]
        text = f"stamp deltas={deltas} rate=30 size=24 parts={parts} tools=1"
        self._turns.append(self._run(self.people.prompt(session, text)))

    @rule(first=st.booleans(), way=st.sampled_from(Way))
    def begin_to_watch(self, first: bool, way: Way) -> None:
        session = self._sessions[0 if first else -1]
        watcher = Watcher(self.people.installation, session, way, len(self._watchers))
        self._watchers.append(watcher)
        self._watching.append(self._run(self._start(watcher)))

    @rule(kind=st.sampled_from(STEPPED), seed=st.integers(0, 1_000))
    def strike(self, kind: Misfortune, seed: int) -> None:
        self.taken["strike"] += 1
        self._is_hurt = self._is_hurt or kind.hurts_turns
        self.people.installation.history.note(f"! {kind.name}")
        self._run(kind.act(self.people.installation, Random(seed)))

    @override
    def teardown(self) -> None:
        report = self._run(self._conclude())
        assert not report.violations, explain(self.people.installation, report)

    def _run[Result](self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _start(self, watcher: Watcher) -> asyncio.Task[None]:
        return asyncio.create_task(self._watch(watcher))

    async def _watch(self, watcher: Watcher) -> None:
        async with signed_in(self.people.installation) as http:
            await watcher.run(http)

    async def _conclude(self) -> Report:
        report = Report()
        if self._turns:
            await settle(self.people.installation, self._turns, self._watchers)
            prompted = {turn.session_id for turn in self._turns}
            watchers = [each for each in self._watchers if each.session_id in prompted]
            report = await check(self.people.installation, self._turns, watchers)
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if set(report.outcomes) - {"completed"} and not self._is_hurt:
            report.violations.append(f"turns did not complete: {dict(report.outcomes)}")
        return report
