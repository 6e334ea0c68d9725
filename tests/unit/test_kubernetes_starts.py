"""A start is followed step by step, and what keeps it from going on is said in words."""

from dataclasses import replace

import pytest

from cattery.sandboxes.kubernetes.diagnosis import (
    Failure,
    Situation,
    Verdict,
    diagnose_start,
)
from cattery.sandboxes.kubernetes.views import (
    Condition,
    ContainerView,
    EventView,
    PodView,
    Termination,
)
from cattery.sandboxes.port import SandboxState, Step, StepName
from tests.unit.kubernetes_scenes import (
    IMAGE,
    NAME,
    READY,
    RUNNING,
    T0,
    at,
    claim,
    event,
    life,
    pod,
    sandbox,
    situation,
    start,
)


def test_the_steps_come_one_after_the_other() -> None:
    waiting = ContainerView(waiting_reason="ContainerCreating")
    unscheduled = replace(pod(), conditions={}, node="", container=None)
    pulling = event("Pulling", f'Pulling image "{IMAGE}"', 3)
    pulled = event(
        "Pulled",
        f'Successfully pulled image "{IMAGE}" in 1m2.345s (1m3s including waiting). '
        "Image size: 124045312 bytes.",
        8,
    )
    volume = event("ProvisioningSucceeded", "made", 2, kind="PersistentVolumeClaim", uid="u-claim")
    bound, pending = [claim()], [claim("Pending")]
    workspace = Step(StepName.WORKSPACE, T0, at(2))
    scheduled = Step(StepName.SCHEDULED, T0, at(2), "node-a")
    image = Step(StepName.IMAGE, at(2), at(8), "pulled in 62.3 s, 118.3 MiB")
    story: list[tuple[Situation, tuple[Step, ...]]] = [
        (
            situation(claims=pending),
            (
                Step(StepName.WORKSPACE, T0, detail="waits for claim-1"),
                Step(StepName.SCHEDULED, T0),
            ),
        ),
        (
            situation(a_pod=unscheduled, claims=bound),
            (Step(StepName.WORKSPACE, T0, T0, "already there"), Step(StepName.SCHEDULED, T0)),
        ),
        (
            situation(a_pod=pod(waiting, phase="Pending"), claims=bound, events=[volume]),
            (workspace, scheduled, Step(StepName.IMAGE, at(2))),
        ),
        (
            situation(a_pod=pod(waiting, phase="Pending"), claims=bound, events=[volume, pulling]),
            (workspace, scheduled, Step(StepName.IMAGE, at(2), detail=f"pulling {IMAGE}")),
        ),
        (
            situation(a_pod=pod(waiting), claims=bound, events=[volume, pulling, pulled]),
            (workspace, scheduled, image, Step(StepName.STARTED, at(8))),
        ),
        (
            situation(
                a_pod=pod(ContainerView(running_at=at(9))),
                claims=bound,
                events=[volume, pulling, pulled],
            ),
            (workspace, scheduled, image, Step(StepName.STARTED, at(8), at(9))),
        ),
    ]
    for given, steps in story:
        verdict = start(given)
        assert verdict == Verdict(steps, address=verdict.address)
    assert start(story[-1][0]).address == "10.244.0.7"
    assert all(start(given).address is None for given, _ in story[:-1])


def test_no_step_runs_backwards_whatever_the_clocks_say() -> None:
    early = pod(ContainerView(running_at=at(-30)), ("PodScheduled", Condition("True", at=at(-9))))
    verdict = start(situation(a_pod=early, claims=[claim()]))
    assert {step.started_at for step in verdict.steps} == {T0}
    assert {step.finished_at for step in verdict.steps} == {T0}


def test_a_later_start_of_the_same_object_counts_from_when_it_was_resumed() -> None:
    resumed = ("Suspended", Condition("False", observed_generation=4, at=at(900)))
    lagging = ("Suspended", Condition("True", observed_generation=3, at=at(800)))
    again = sandbox(resumed, generation=3, metadata_generation=4)
    assert start(situation(again), 901, generation=3).steps == (Step(StepName.SCHEDULED, at(900)),)
    unseen = sandbox(lagging, generation=3, metadata_generation=4)
    assert start(situation(unseen), 901, generation=3) == Verdict()


def test_what_is_not_mirrored_yet_is_no_failure() -> None:
    assert diagnose_start(Situation(None, None, [], []), generation=1, now=T0) == Verdict()
    assert start(situation(sandbox(generation=1)), generation=2) == Verdict()


def test_a_start_that_another_one_replaced_ends() -> None:
    failure = start(situation(sandbox(generation=3)), generation=2).failure
    assert failure == Failure(
        f"Sandbox {NAME} was started again meanwhile; this start is out of date.", permanent=True
    )


def test_a_sandbox_that_somebody_deletes_fails_its_start() -> None:
    failure = start(situation(sandbox(deleting_at=at(3)))).failure
    assert failure == Failure(f"Sandbox {NAME} was deleted while it was starting. Start it again.")


def test_a_pod_of_another_start_is_not_taken_for_the_sandboxs_own() -> None:
    given = situation(sandbox(generation=2), pod(RUNNING, READY, generation=1))
    verdict = start(given, generation=2)
    assert (verdict.address, verdict.failure) == (None, None)
    assert verdict.steps == (
        Step(StepName.SCHEDULED, T0, detail=f"The pod {NAME} is being ended."),
    )
    assert life(given).state is SandboxState.STARTING


def test_events_about_an_earlier_pod_of_the_name_are_not_believed() -> None:
    waiting = ContainerView(waiting_reason="ContainerCreating")
    old = event("FailedMount", 'secret "x" not found', 3, uid="u-earlier")
    assert start(situation(a_pod=pod(waiting), events=[old]), 300).failure is None


def test_a_refusal_of_an_earlier_spec_is_not_believed() -> None:
    old = ("Ready", Condition("False", "ReconcilerError", "x is forbidden: y", 1, at(1)))
    given = situation(sandbox(old, metadata_generation=2), None)
    assert start(given) == Verdict()


def test_a_program_that_ended_once_is_given_a_second_chance() -> None:
    ended = ContainerView(termination=Termination(1, reason="Error", finished_at=at(5)))
    verdict = start(situation(a_pod=pod(ended)))
    assert (verdict.failure, verdict.address) == (None, None)
    assert verdict.steps[-1].detail == (
        "The program has ended and is started again. It ended with exit code 1."
    )


@pytest.mark.parametrize(
    ("termination", "words"),
    [
        (Termination(0, reason="Completed"), "It ended by itself, with exit code 0."),
        (Termination(137, reason="Error"), "It was ended by the signal SIGKILL."),
        (Termination(139, reason="Error"), "It was ended by the signal SIGSEGV."),
        (Termination(255, reason="Error"), "It ended with exit code 255."),
        (Termination(0, signal=11), "It was ended by the signal SIGSEGV."),
        (
            Termination(137, reason="OOMKilled"),
            "It was killed because it used more memory than its limit of 4 GiB.",
        ),
    ],
)
def test_an_end_is_said_in_words(termination: Termination, words: str) -> None:
    looping = ContainerView(
        waiting_reason="CrashLoopBackOff", last_termination=termination, restarts=1
    )
    failure = start(situation(a_pod=pod(looping))).failure
    assert failure == Failure(
        f"The program does not stay up: it was started 2 times. {words}",
        wants_log=True,
        previous_log=True,
    )


NOT_FOUND = (
    f'failed to pull and unpack image "r.example.com/{IMAGE}": failed to resolve reference '
    f'"r.example.com/{IMAGE}": r.example.com/{IMAGE}: not found'
)
DENIED = (
    'rpc error: code = Unknown desc = failed to pull and unpack image "x": failed to resolve '
    'reference "x": pull access denied, repository does not exist or may require authorization: '
    "server message: insufficient_scope: authorization failed"
)


@pytest.mark.parametrize(
    ("reason", "said", "message"),
    [
        (
            "ErrImagePull",
            NOT_FOUND,
            f"The image {IMAGE} was not found: r.example.com/{IMAGE}: not found. Check "
            "CATTERY_K8S_IMAGE_REGISTRY and CATTERY_K8S_IMAGE_TAG, and that it was pushed.",
        ),
        (
            "ImagePullBackOff",
            f'Back-off pulling image "{IMAGE}": ErrImagePull: {DENIED}',
            f"The registry does not give the image {IMAGE} to us: pull access denied, repository "
            "does not exist or may require authorization: server message: insufficient_scope: "
            "authorization failed. Either there is no such image, or it needs credentials: check "
            "CATTERY_K8S_IMAGE_REGISTRY, CATTERY_K8S_IMAGE_TAG and CATTERY_K8S_IMAGE_PULL_SECRET.",
        ),
        (
            "ErrImagePull",
            "no match for platform in manifest: not found",
            f"The image {IMAGE} is not made for the processor of the node node-a: no match for "
            "platform in manifest: not found. Set CATTERY_K8S_NODE_SELECTOR, such as "
            "kubernetes.io/arch.",
        ),
    ],
)
def test_an_image_that_is_not_given_names_it_and_what_to_check(
    reason: str, said: str, message: str
) -> None:
    container = ContainerView(waiting_reason=reason, waiting_message=said)
    verdict = start(situation(a_pod=pod(container, phase="Pending")), 5)
    assert verdict.failure == Failure(message, permanent=True)


def unschedulable(message: str) -> PodView:
    condition = Condition("False", "Unschedulable", message, at=at(1))
    return replace(pod(), conditions={"PodScheduled": condition}, node="", phase="Pending", ip="")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            "0/5 nodes are available: 1 node(s) had untolerated taint "
            "{node-role.kubernetes.io/control-plane: , x}, 2 Insufficient memory, 2 node(s) had "
            "volume node affinity conflict. no new claims to deallocate, preemption: 0/5 nodes are "
            "available: 5 Preemption is not helpful for scheduling.",
            "No node takes the pod: 1 of 5 nodes: a taint that is not tolerated (node(s) had "
            "untolerated taint {node-role.kubernetes.io/control-plane: , x}), 2 of 5 nodes: too "
            "little free memory (Insufficient memory), 2 of 5 nodes: no access to its volume "
            "(node(s) had volume node affinity conflict). Remove the taint, or set "
            "CATTERY_K8S_TOLERATIONS. Stop other sandboxes, add a node, or lower "
            "CATTERY_K8S_MEMORY_REQUEST. Make room on the node that has the volume, or use a "
            "storage class that is not bound to a node.",
        ),
        (
            "0/2 nodes are available: 2 node(s) were made of cheese.",
            "No node takes the pod: 2 of 2 nodes: node(s) were made of cheese.",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            "The pod waits for its volumes, which are not there yet.",
        ),
        ("something new", "No node takes the pod: something new"),
    ],
)
def test_the_schedulers_reasons_are_said_in_words(message: str, words: str) -> None:
    assert start(situation(a_pod=unschedulable(message)), 5).steps[-1].detail == words
    assert start(situation(a_pod=unschedulable(message)), 61).failure == Failure(words)


def test_a_node_that_is_being_added_is_waited_for() -> None:
    full = unschedulable("0/1 nodes are available: 1 Insufficient cpu.")
    growing = event("TriggeredScaleUp", "pod triggered scale-up", 3)
    verdict = start(situation(a_pod=full, events=[growing]), 200)
    assert verdict.failure is None
    assert verdict.steps[-1].detail.endswith("The cluster is adding a node.")


def about_claim(reason: str, message: str, seconds: float) -> EventView:
    return event(reason, message, seconds, kind="PersistentVolumeClaim", uid="u-claim")


def test_a_volume_that_cannot_be_made_fails_in_time() -> None:
    full = about_claim("ProvisioningFailed", "rpc error: pool is full", 5)
    given = situation(a_pod=unschedulable("x"), claims=[claim("Pending")], events=[full])
    words = "No volume was made for claim claim-1: rpc error: pool is full"
    assert start(given, 64).failure is None
    assert {step.detail for step in start(given, 64).steps} == {words}
    assert start(given, 65).failure == Failure(words)


def test_a_cluster_without_a_default_storage_class_is_named() -> None:
    none = about_claim("FailedBinding", "no storage class is set", 5)
    failure = start(situation(claims=[claim("Pending")], events=[none]), 30).failure
    assert failure is not None
    assert "set CATTERY_K8S_STORAGE_CLASS" in failure.message


def test_a_volume_that_stays_lost_fails_for_good() -> None:
    lost = about_claim("ClaimLost", "Bound claim has lost its PersistentVolume.", 5)
    given = situation(claims=[claim("Lost")], events=[lost])
    assert start(given, 64).failure is None
    failure = start(given, 65).failure
    assert failure is not None
    assert failure.permanent
    assert failure.message.startswith("The volume of claim claim-1 is gone, and what was on it")


def test_a_volume_that_is_still_attached_elsewhere_is_told_and_waited_for() -> None:
    attached = event("FailedAttachVolume", "Multi-Attach error for volume", 5)
    waiting = pod(ContainerView(waiting_reason="ContainerCreating"), phase="Pending")
    verdict = start(situation(a_pod=waiting, events=[attached]), 200)
    assert verdict.failure is None
    assert verdict.steps[-1].detail == "A volume is not there yet: Multi-Attach error for volume"


def test_a_mount_that_succeeded_at_last_is_forgotten() -> None:
    failed = event("FailedMount", 'secret "x" not found', 3)
    pulling = event("Pulling", "Pulling image", 4)
    waiting = pod(ContainerView(waiting_reason="ContainerCreating"), phase="Pending")
    verdict = start(situation(a_pod=waiting, events=[failed, pulling]), 100)
    assert (verdict.failure, verdict.steps[-1].detail) == (None, f"pulling {IMAGE}")


def refused(reason: str, message: str) -> Situation:
    return situation(sandbox(("Ready", Condition("False", reason, message, 1, at(1)))))


@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (
            "MultiplePods",
            "multiple Pods (2) are controlled by this Sandbox",
            f"Sandbox {NAME} has more than one pod, so that its controller touches none of them: "
            "multiple Pods (2) are controlled by this Sandbox. Find out who made the others, and "
            "delete them.",
        ),
        (
            "SandboxExpired",
            "Sandbox has expired",
            f"Sandbox {NAME} has reached its spec.shutdownTime, which somebody other than Cattery "
            "has set. Remove it from the object, or delete the object.",
        ),
        (
            "ReconcilerError",
            'Error seen: pods "p" is forbidden: failed quota: q: must specify limits.cpu for: main',
            f'The cluster refused the pod of {NAME}: pods "p" is forbidden: failed quota: q: must '
            "specify limits.cpu for: main. Check the namespace's LimitRange and admission "
            "policies, and the CATTERY_K8S_… settings.",
        ),
    ],
)
def test_what_the_controller_gives_up_on_fails_for_good(
    reason: str, message: str, words: str
) -> None:
    assert start(refused(reason, message)).failure == Failure(words, permanent=True)


@pytest.mark.parametrize(
    "message",
    [
        "Error seen: etcdserver: request timed out",
        'Error seen: pods "p" is forbidden: error looking up service account x/default: not found',
    ],
)
def test_what_the_controller_tries_again_is_told_and_waited_for(message: str) -> None:
    verdict = start(refused("ReconcilerError", message), 200)
    assert (verdict.failure, verdict.waiting) == (None, None)
    said = message.removeprefix("Error seen: ")
    assert verdict.steps[-1].detail == (
        f"The agent-sandbox controller made no pod yet and tries again: {said}"
    )
