"""Why the agent-sandbox controller makes no pod, out of the `Ready` condition of a Sandbox."""

import re
from typing import Final

from cattery.sandboxes.kubernetes.failures import clip, describe_quota
from cattery.sandboxes.kubernetes.findings import Finding, find_fatal
from cattery.sandboxes.kubernetes.views import SandboxView

_PREFIX: Final = "Error seen: "
_POD_SECURITY: Final = "violates PodSecurity"
_SETTLED: Final = re.compile(
    r" is forbidden: | is invalid: |denied the request|denied request| is owned by |cannot adopt"
)
_UNSETTLED: Final = re.compile(r"error looking up service account|not yet ready to handle request")
"""Refusals that pass: a namespace of a second ago, an admission plugin that has not synced."""


def find_refusal(sandbox: SandboxView) -> Finding | None:
    """Find why there is no pod; `None` where the controller names no reason.

    Only a condition that speaks of the present spec counts.
    """
    ready = sandbox.current("Ready")
    if ready is None or ready.status == "True":
        return None
    name, said = sandbox.name, clip(ready.message.removeprefix(_PREFIX).strip())
    match ready.reason:
        case "MultiplePods":
            return find_fatal(
                f"Sandbox {name} has more than one pod, so that its controller touches none of "
                f"them: {said}. Find out who made the others, and delete them."
            )
        case "SandboxExpired":
            return find_fatal(
                f"Sandbox {name} has reached its spec.shutdownTime, which somebody other than "
                "Cattery has set. Remove it from the object, or delete the object."
            )
        case "ReconcilerError":
            return _explain_error(name, ready.message, said)
    return None


def _explain_error(name: str, message: str, said: str) -> Finding:
    quota = describe_quota(message)
    if quota is not None:
        return Finding(
            f"{quota} It starts by itself when something else stops, or when the quota is raised.",
            is_waiting=True,
        )
    if _POD_SECURITY in message:
        return find_fatal(
            f"The namespace does not allow the pod of {name}: {said}. Its level of Pod Security "
            "(the label pod-security.kubernetes.io/enforce) is stricter than `restricted`, or "
            "another program changes our pods: look for one."
        )
    if 'RuntimeClass "' in message and "not found" in message:
        return find_fatal(
            f"The pod of {name} was refused: {said}. Install this RuntimeClass, or correct "
            "CATTERY_K8S_RUNTIME_CLASS."
        )
    if _SETTLED.search(message) and not _UNSETTLED.search(message):
        return find_fatal(
            f"The cluster refused the pod of {name}: {said}. Check the namespace's LimitRange and "
            "admission policies, and the CATTERY_K8S_… settings."
        )
    return Finding(f"The agent-sandbox controller made no pod yet and tries again: {said}")
