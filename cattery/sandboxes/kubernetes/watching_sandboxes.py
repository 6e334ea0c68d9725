"""Tells of sandboxes that changed, out of the mirrors: what `SandboxRuntime.watch` promises."""

import asyncio
from collections.abc import Callable

import structlog

from cattery.ids import HarnessId
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import SandboxView
from cattery.sandboxes.names import COMPONENT_LABEL, Component, harness_of
from cattery.sandboxes.port import Notice, Observation, SandboxState

log = structlog.get_logger(__name__)

RECHECK_SECONDS = 30.0
"""How often every sandbox is looked at without a change: some states ripen by time alone."""

type Describe = Callable[[HarnessId, SandboxView], Observation]


async def tell_changes(state: ClusterState, describe: Describe, notice: Notice) -> None:
    """Tell of every sandbox that runs elsewhere or again, failed, or waits; until cancelled."""
    changed: set[str] = set()
    woken = asyncio.Event()

    def hear(name: str) -> None:
        changed.add(name)
        woken.set()

    told: dict[str, Observation] = {}
    unsubscribe = state.subscribe(hear)
    try:
        while True:
            names = changed.copy() or {view.name for view in state.sandboxes.values()}
            changed.clear()
            woken.clear()
            for name in names:
                await _tell(state, name, describe, notice, told)
            await _wait(woken)
    finally:
        unsubscribe()


async def _tell(
    state: ClusterState,
    name: str,
    describe: Describe,
    notice: Notice,
    told: dict[str, Observation],
) -> None:
    view = state.sandboxes.get(name)
    if view is None or view.labels.get(COMPONENT_LABEL) != Component.SANDBOX.value:
        told.pop(name, None)
        return
    harness_id = harness_of(view.labels)
    if harness_id is None:
        return
    seen = describe(harness_id, view)
    is_plain = seen.state in (SandboxState.ABSENT, SandboxState.STARTING) and not seen.reason
    if is_plain or told.get(name) == seen:
        return
    await notice(seen)
    told[name] = seen


async def _wait(woken: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(RECHECK_SECONDS):
            await woken.wait()
    except TimeoutError:
        return
