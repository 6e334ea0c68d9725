"""What a real cluster said becomes steps, waiting, a failure in words, or an address."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cattery.sandboxes.kubernetes.diagnosis import (
    Failure,
    Verdict,
    diagnose_life,
)
from cattery.sandboxes.port import SandboxState, Step, StepName
from tests.unit.kubernetes_scenes import at, scene, start_of


def test_a_start_with_a_new_volume_has_all_its_steps_and_times() -> None:
    verdict = start_of(scene("opencode"), 60)
    began = datetime(2026, 11, 25, 22, 23, 14, tzinfo=UTC)
    sixth = began + timedelta(seconds=6)
    assert verdict == Verdict(
        steps=(
            Step(StepName.WORKSPACE, began, began + timedelta(seconds=5)),
            Step(StepName.SCHEDULED, began, began + timedelta(seconds=5), "node"),
            Step(StepName.IMAGE, began + timedelta(seconds=5), sixth, "already on the node"),
            Step(StepName.STARTED, sixth, sixth),
        ),
        address="10.244.0.31",
    )


SAID_AT_ONCE = {
    "invalid-image-name": (
        "cattery-NOSUCH:dev@x is no name of an image: Failed to apply default image tag "
        '"cattery-NOSUCH:dev@x": couldn\'t parse image name "cattery-NOSUCH:dev@x": invalid '
        "reference format: repository name (library/cattery-NOSUCH) must be lowercase. Correct "
        "CATTERY_K8S_IMAGE_REGISTRY and CATTERY_K8S_IMAGE_TAG."
    ),
    "invalid-pod": (
        'The cluster refused the pod of badspec: Pod "badspec" is invalid: '
        'spec.containers[0].resources.requests: Invalid value: "10m": must be less than or equal '
        "to cpu limit of 5m. Check the namespace's LimitRange and admission policies, and the "
        "CATTERY_K8S_… settings."
    ),
    "missing-runtime-class": (
        'The pod of runtimeclass was refused: pods "runtimeclass" is forbidden: pod rejected: '
        'RuntimeClass "gvisor" not found. Install this RuntimeClass, or correct '
        "CATTERY_K8S_RUNTIME_CLASS."
    ),
    "missing-storage-class": (
        'No volume can be made for claim odd: storageclass.storage.k8s.io "nosuch" not found. '
        "Correct CATTERY_K8S_STORAGE_CLASS, and delete the claim so that it is made anew."
    ),
    "never-pull": (
        "The image cattery-nosuch:dev is not on the node node, and the pod says never to pull it. "
        "Load it there."
    ),
}


@pytest.mark.parametrize("name", SAID_AT_ONCE)
def test_what_no_repetition_helps_fails_at_once_and_for_good(name: str) -> None:
    message = SAID_AT_ONCE[name]
    assert start_of(scene(name), 1).failure == Failure(message, permanent=True)
    seen = diagnose_life(scene(name), now=at(600))
    assert (seen.state, seen.reason, seen.recoverable) == (SandboxState.FAILED, message, False)


@pytest.mark.parametrize(
    ("name", "beginning"),
    [
        ("pod-security", "The namespace does not allow the pod of priv: "),
        ("runs-as-root", "The image debian:trixie-slim would run as root, which is not allowed: "),
    ],
)
def test_what_security_forbids_fails_for_good_and_quotes_the_rule(
    name: str, beginning: str
) -> None:
    failure = start_of(scene(name), 1).failure
    assert failure is not None
    assert failure.permanent
    assert failure.message.startswith(beginning)
    assert "runAsNonRoot" in failure.message


LATE = {
    "missing-claim": (
        19,
        "The volume claim not-there is not there. Start it again: that makes a new one.",
    ),
    "missing-secret": (
        149,
        "The secret that the sandbox starts with is not there: MountVolume.SetUp failed for "
        'volume "l" : secret "not-there" not found. A start that was given up takes it away. Start '
        "it again.",
    ),
    "missing-secret-key": (20, 'The container cannot be made: secret "not-there" not found'),
    "missing-image": (
        30,
        'The image cattery-nosuch:dev could not be pulled: Head "https://registry-1.docker.io/v2/'
        'library/cattery-nosuch/manifests/dev": dial tcp: lookup registry-1.docker.io on '
        "10.255.255.53:53: no such host. The cluster tries again. Check that the node node reaches "
        "the registry.",
    ),
    "too-much-cpu": (
        59,
        "No node takes the pod: 1 of 1 nodes: too little free CPU (Insufficient cpu). Stop other "
        "sandboxes, add a node, or lower CATTERY_K8S_CPU_REQUEST.",
    ),
    "no-such-node": (
        59,
        "No node takes the pod: 1 of 1 nodes: not the labels that are asked for (node(s) didn't "
        "match Pod's node affinity/selector). Label a node, or correct CATTERY_K8S_NODE_SELECTOR.",
    ),
}


@pytest.mark.parametrize("name", LATE)
def test_what_may_help_itself_is_told_at_its_step_and_fails_only_later(name: str) -> None:
    patience, message = LATE[name]
    early, late = start_of(scene(name), patience), start_of(scene(name), patience + 4)
    assert early.failure is None
    assert early.steps[-1].finished_at is None
    assert early.steps[-1].detail == message
    assert late.failure == Failure(message)


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        (
            "crash",
            Failure(
                "The program does not stay up: it was started 4 times. It ended with exit code 3.",
                wants_log=True,
            ),
        ),
        (
            "out-of-memory",
            Failure(
                "The program does not stay up: it was started 4 times. It was killed because it "
                "used more memory than its limit of 32 MiB.",
                wants_log=True,
            ),
        ),
        (
            "missing-command",
            Failure(
                "The program does not stay up: it was started 4 times. It could not be started: "
                'exec: "/no/such": stat /no/such: no such file or directory. Check that the image '
                "debian:trixie-slim is of this version of Cattery.",
                previous_log=True,
            ),
        ),
        (
            "evicted",
            Failure(
                "The pod ephemeral was evicted on the node node: Pod ephemeral local storage usage "
                "exceeds the total limit of containers 10Mi."
            ),
        ),
    ],
)
def test_a_program_that_ends_fails_the_start_with_the_cause(name: str, failure: Failure) -> None:
    verdict = start_of(scene(name), 30)
    assert verdict.failure == failure
    assert verdict.address is None
    assert (verdict.steps[-1].name, verdict.steps[-1].finished_at) == (StepName.STARTED, None)


def test_a_used_up_quota_is_waited_for_and_no_failure_however_long_it_takes() -> None:
    for after in (1, 86_400):
        assert start_of(scene("quota"), after) == Verdict(
            steps=(Step(StepName.SCHEDULED, datetime(2026, 11, 25, 22, 8, 53, tzinfo=UTC)),),
            waiting=(
                'The quota "pods" is used up: 0 of 0 pods are used, 1 more is needed. It starts by '
                "itself when something else stops, or when the quota is raised."
            ),
        )


def test_a_port_that_was_not_opened_in_time_is_why_a_program_was_ended() -> None:
    given = scene("closed-port")
    assert given.pod is not None
    assert given.pod.container is not None
    ended = replace(given.pod.container, running_at=None, waiting_reason="CrashLoopBackOff")
    verdict = start_of(replace(given, pod=replace(given.pod, container=ended)), 60)
    assert verdict.failure == Failure(
        "The program does not stay up: it was started 2 times. It was ended because it did not "
        "listen on its port in time.",
        wants_log=True,
        previous_log=True,
    )
