"""What a row and an observation say together: pure, one case a line."""

from uuid import UUID

import pytest

from activities.sandbox_losses import find_loss, look_at
from cattery.db.sandbox_rows import HarnessFacts
from cattery.db.states import HarnessStatus
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessId, ProjectId
from cattery.sandboxes.port import Observation, SandboxState
from cattery.temporal.messages import SandboxHealth, SandboxLost, SandboxSeen

HARNESS = HarnessId(UUID(int=1))
HERE = HarnessEndpoint("http://10.0.0.1:4096", "secret")
THERE = HarnessEndpoint("http://10.0.0.2:4096")
MOVED = "Its processes were replaced: it runs at another address now."
EVICTED = "It was evicted."


def facts() -> HarnessFacts:
    return HarnessFacts(
        harness_id=HARNESS,
        project_id=ProjectId(UUID(int=2)),
        name=None,
        type="opencode",
        model="gpt-5.5",
        env={},
        generation=4,
        status=HarnessStatus.READY,
        endpoint=HERE,
        deleting=False,
    )


def seen(state: SandboxState, generation: int = 4, **more: object) -> Observation:
    return Observation(HARNESS, generation, state, "opencode-1", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (
            seen(SandboxState.RUNNING, endpoint=HarnessEndpoint(HERE.base_url)),
            SandboxSeen(health=SandboxHealth.SOUND),
        ),
        (seen(SandboxState.RUNNING), SandboxSeen(health=SandboxHealth.SOUND)),
        (
            seen(SandboxState.RUNNING, endpoint=THERE, restarts=2),
            SandboxSeen(health=SandboxHealth.MOVED, restarts=2, reason=MOVED),
        ),
        (
            seen(SandboxState.STARTING, reason="Its node is away."),
            SandboxSeen(health=SandboxHealth.COMING, reason="Its node is away."),
        ),
        (
            seen(SandboxState.FAILED, reason=f"{EVICTED}\nlog", recoverable=True),
            SandboxSeen(health=SandboxHealth.FAILED, recoverable=True, reason=EVICTED),
        ),
        (seen(SandboxState.ABSENT), SandboxSeen(health=SandboxHealth.GONE)),
        (
            seen(SandboxState.FAILED, 3, recoverable=True),
            SandboxSeen(health=SandboxHealth.GONE),
        ),
        (seen(SandboxState.RUNNING, 5, endpoint=THERE), SandboxSeen(health=SandboxHealth.GONE)),
    ],
)
def test_a_sandbox_is_judged_by_its_row(observed: Observation, expected: SandboxSeen) -> None:
    assert look_at(observed, 4, HERE) == expected


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        (None, SandboxLost(generation=4, reason="", crashed=False)),
        (seen(SandboxState.ABSENT), SandboxLost(generation=4, reason="", crashed=False)),
        (
            seen(SandboxState.FAILED, reason=EVICTED, recoverable=True),
            SandboxLost(generation=4, reason=EVICTED, crashed=True, recoverable=True),
        ),
        (
            seen(SandboxState.RUNNING, endpoint=THERE),
            SandboxLost(generation=4, reason=MOVED, crashed=False, moved=True),
        ),
        (seen(SandboxState.RUNNING, endpoint=HERE, restarts=1), None),
        (seen(SandboxState.STARTING), None),
    ],
)
def test_only_what_does_not_come_back_where_it_was_is_lost(
    observed: Observation | None, expected: SandboxLost | None
) -> None:
    assert find_loss(facts(), observed) == expected
