"""How a sandbox fares is told at any time, and what holds up its end is named."""

from dataclasses import replace

import pytest

from cattery.sandboxes.kubernetes.diagnosis import (
    Life,
    Situation,
    diagnose_life,
)
from cattery.sandboxes.kubernetes.held import describe_held, describe_held_claim
from cattery.sandboxes.kubernetes.views import (
    Condition,
    ContainerView,
    PodView,
    SandboxView,
    Termination,
)
from cattery.sandboxes.port import SandboxState
from tests.unit.kubernetes_scenes import (
    NAME,
    NOT_READY,
    READY,
    RUNNING,
    at,
    claim,
    life,
    pod,
    sandbox,
    scene,
    situation,
)

BACK_OFF = "back-off {} restarting failed container=main pod=x_y(z)"
LOST = (
    "The node node-a does not answer, so nobody knows whether the pod cattery-opencode-1 still "
    "runs there. It comes back by itself when the node does; if the node is gone for good, delete "
    "it: kubectl delete node node-a"
)
RESTARTED = ContainerView(
    running_at=at(95), ready=False, restarts=2, last_termination=Termination(1)
)


def looping(back_off: str) -> ContainerView:
    return ContainerView(
        waiting_reason="CrashLoopBackOff",
        waiting_message=BACK_OFF.format(back_off),
        last_termination=Termination(3),
        restarts=4,
    )


LIVES: list[tuple[str, Situation, Life]] = [
    ("no object", Situation(None, None, [], []), Life(SandboxState.ABSENT, 0)),
    (
        "suspended",
        situation(sandbox(generation=2, suspended=True), pod(RUNNING, READY, generation=2)),
        Life(SandboxState.ABSENT, 2),
    ),
    (
        "being deleted",
        situation(sandbox(deleting_at=at(90)), pod(RUNNING, READY)),
        Life(SandboxState.ABSENT, 1),
    ),
    (
        "running",
        situation(a_pod=pod(RUNNING, READY)),
        Life(SandboxState.RUNNING, 1, "10.244.0.7"),
    ),
    (
        "just restarted, its port not open yet",
        situation(a_pod=pod(RESTARTED, NOT_READY)),
        Life(
            SandboxState.RUNNING,
            1,
            "10.244.0.7",
            reason="The program has ended and is started again. It ended with exit code 1.",
            restarts=2,
        ),
    ),
    (
        "its port is closed for a while",
        situation(a_pod=pod(replace(RUNNING, ready=False), NOT_READY)),
        Life(
            SandboxState.STARTING,
            1,
            reason="The program runs, but its port has been closed since 22:00:50 UTC.",
        ),
    ),
    (
        "its port is closed for long",
        situation(
            a_pod=pod(
                replace(RUNNING, ready=False, running_at=at(-100)),
                ("Ready", Condition("False", at=at(-50))),
            )
        ),
        Life(
            SandboxState.FAILED,
            1,
            reason="The program runs, but its port has been closed since 21:59:10 UTC.",
            recoverable=True,
        ),
    ),
    (
        "its pod is gone",
        situation(),
        Life(SandboxState.STARTING, 1, reason="Its pod is gone; the cluster makes another one."),
    ),
    (
        "its new pod pulls the image",
        situation(a_pod=pod(ContainerView(waiting_reason="ContainerCreating"), ip="")),
        Life(SandboxState.STARTING, 1),
    ),
    (
        "evicted",
        situation(
            a_pod=pod(
                phase="Failed", reason="Evicted", message="The node was low on resource: memory. "
            )
        ),
        Life(
            SandboxState.FAILED,
            1,
            reason=(
                f"The pod {NAME} was evicted on the node node-a: The node was low on resource: "
                "memory."
            ),
            recoverable=True,
        ),
    ),
    (
        "its node was shut down",
        situation(a_pod=pod(phase="Failed", reason="Terminated", message="node shutdown")),
        Life(
            SandboxState.FAILED,
            1,
            reason=f"The pod {NAME} was ended on the node node-a (Terminated): node shutdown",
            recoverable=True,
        ),
    ),
    (
        "ended without a word",
        situation(a_pod=pod(ContainerView(termination=Termination(137)), phase="Failed")),
        Life(
            SandboxState.FAILED,
            1,
            reason=(
                f"The pod {NAME} has ended on the node node-a. It was ended by the signal SIGKILL."
            ),
            recoverable=True,
        ),
    ),
    (
        "crashed, the cluster starts it again",
        situation(a_pod=pod(looping("10s"))),
        Life(
            SandboxState.STARTING,
            1,
            reason=(
                "The program does not stay up: it was started 5 times. It ended with exit code 3."
            ),
            restarts=4,
        ),
    ),
    (
        "crashed too often",
        situation(a_pod=pod(looping("1m20s"))),
        Life(
            SandboxState.FAILED,
            1,
            reason="The program has ended and is started again. It ended with exit code 3.",
            restarts=4,
        ),
    ),
    (
        "its node is lost",
        situation(a_pod=pod(RUNNING, NOT_READY)),
        Life(SandboxState.STARTING, 1, reason=LOST),
    ),
    (
        "its node is lost for long",
        situation(
            a_pod=pod(
                RUNNING,
                NOT_READY,
                ("DisruptionTarget", Condition("True", "DeletionByTaintManager")),
                deleting_at=at(60),
            )
        ),
        Life(SandboxState.STARTING, 1, reason=LOST),
    ),
    (
        "its pod is being ended",
        situation(a_pod=pod(RUNNING, READY, deleting_at=at(105))),
        Life(SandboxState.STARTING, 1, reason=f"The pod {NAME} is being ended."),
    ),
    (
        "its pod is held by a finalizer",
        situation(a_pod=pod(deleting_at=at(60), finalizers=("example.com/hold",))),
        Life(
            SandboxState.STARTING,
            1,
            reason=(
                f"The pod {NAME} has ended, but the finalizer example.com/hold on it is still "
                "there: the program that put it there has to remove it. Look at why it does not; "
                "Cattery never removes what is somebody else's."
            ),
        ),
    ),
]


@pytest.mark.parametrize(
    ("given", "expected"), [case[1:] for case in LIVES], ids=[x[0] for x in LIVES]
)
def test_a_life_is_told(given: Situation, expected: Life) -> None:
    assert life(given, 100) == expected


def test_a_pod_that_the_quota_does_not_let_be_made_again_only_waits() -> None:
    seen = diagnose_life(scene("quota"), now=at(3600))
    assert seen.state is SandboxState.STARTING
    assert seen.reason.startswith('The quota "pods" is used up')


CONTROLLER = "Check that it runs: kubectl get pods --namespace agent-sandbox-system"
HELD: list[tuple[str, SandboxView | None, PodView | None, str]] = [
    (
        "the controller does nothing",
        sandbox(suspended=True),
        pod(RUNNING, READY),
        "Its pod was not asked to end: the agent-sandbox controller does not act. " + CONTROLLER,
    ),
    (
        "the controller says nothing",
        sandbox(suspended=True),
        None,
        "Its pod is gone, but the agent-sandbox controller has not said so. " + CONTROLLER,
    ),
    (
        "the node does not end the pod",
        sandbox(suspended=True),
        pod(RUNNING, READY, deleting_at=at(20)),
        f"The pod {NAME} should have ended at 22:00:20 UTC, but its node node-a has not ended it. "
        "Look at the node: kubectl describe node node-a",
    ),
    ("the node is lost", sandbox(suspended=True), pod(RUNNING, NOT_READY), LOST),
    (
        "a finalizer on the object",
        sandbox(deleting_at=at(1), finalizers=("foregroundDeletion", "a.example.com", "b")),
        None,
        "Its pod is gone, but the finalizers a.example.com, b on it are still there: the program "
        "that put it there has to remove it. Look at why it does not; Cattery never removes what "
        "is somebody else's.",
    ),
]


@pytest.mark.parametrize(
    ("given", "a_pod", "words"), [x[1:] for x in HELD], ids=[x[0] for x in HELD]
)
def test_what_holds_up_an_end_is_named(
    given: SandboxView, a_pod: PodView | None, words: str
) -> None:
    said = describe_held(NAME, given, a_pod, 60)
    assert said == f"Sandbox {NAME} has not ended within 60 seconds. {words}"


@pytest.mark.parametrize(
    ("finalizers", "words"),
    [
        (
            ("kubernetes.io/pvc-protection",),
            "A pod still uses it. Which one says: kubectl describe pvc claim-1. Once that pod has "
            "ended, the claim goes by itself.",
        ),
        (
            ("kubernetes.io/pvc-protection", "backup.example.com/hold"),
            "It is held, the finalizer backup.example.com/hold on it is still there: the program "
            "that put it there has to remove it. Look at why it does not; Cattery never removes "
            "what is somebody else's.",
        ),
        ((), "Look at it: kubectl describe pvc claim-1"),
    ],
)
def test_what_holds_up_the_deletion_of_a_claim_is_named(
    finalizers: tuple[str, ...], words: str
) -> None:
    said = describe_held_claim(claim(finalizers=finalizers), 60)
    assert said == f"The volume claim claim-1 was not deleted within 60 seconds. {words}"
