"""Why an image is not on the node, in words, and how its pull went."""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from cattery.sandboxes.kubernetes.failures import clip
from cattery.sandboxes.kubernetes.findings import (
    PATIENCE,
    Finding,
    events_of,
    find_fatal,
    find_soon,
    scheduled_at,
)
from cattery.sandboxes.kubernetes.quantities import say_bytes
from cattery.sandboxes.kubernetes.views import ContainerView, EventView, PodView

IMAGE_REASONS: Final = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""What a container waits for while it has no image (kubelet, pkg/kubelet/images)."""

_NOISE: Final = re.compile(
    r"Back-off pulling image \"[^\"]*\": |ErrImagePull: |rpc error: code = \w+ desc = "
    r"|failed to pull and unpack image \"[^\"]*\": |failed to resolve reference \"[^\"]*\": "
    r"|failed to do request: |failed to resolve image: "
)
_DENIED: Final = re.compile(
    r"denied|unauthorized|401|403 forbidden|authorization failed|no basic auth|authentication req",
    re.IGNORECASE,
)
_MISSING: Final = re.compile(
    r"not found|manifest unknown|no such image|name unknown|repository does not exist",
    re.IGNORECASE,
)
_OTHER_PLATFORM: Final = re.compile(r"no match for platform|no matching manifest", re.IGNORECASE)
_PULLED: Final = re.compile(r"Successfully pulled image \S+ in (?P<time>\S+)")
_SIZE: Final = re.compile(r"Image size: (?P<bytes>\d+) bytes")
_DURATION: Final = re.compile(r"(?:(?P<minutes>\d+)m)?(?P<seconds>[\d.]+)(?P<unit>m?s)")


def find_unpulled(
    pod: PodView, container: ContainerView, events: Sequence[EventView], now: datetime
) -> Finding:
    """Say why an image is not there. What nobody can find will not be there later either."""
    image = pod.image
    said = clip(_NOISE.sub("", container.waiting_message).strip())
    match container.waiting_reason:
        case "ErrImageNeverPull":
            return find_fatal(
                f"The image {image} is not on the node {pod.node}, and the pod says never to pull "
                "it. Load it there."
            )
        case "InvalidImageName":
            return find_fatal(
                f"{image} is no name of an image: {said}. Correct CATTERY_K8S_IMAGE_REGISTRY and "
                "CATTERY_K8S_IMAGE_TAG."
            )
        case "SignatureValidationFailed":
            return find_fatal(f"The signature of the image {image} is not valid: {said}")
    if _OTHER_PLATFORM.search(said):
        return find_fatal(
            f"The image {image} is not made for the processor of the node {pod.node}: {said}. "
            "Set CATTERY_K8S_NODE_SELECTOR, such as kubernetes.io/arch."
        )
    if _DENIED.search(said):
        return find_fatal(
            f"The registry does not give the image {image} to us: {said}. Either there is no such "
            "image, or it needs credentials: check CATTERY_K8S_IMAGE_REGISTRY, "
            "CATTERY_K8S_IMAGE_TAG and CATTERY_K8S_IMAGE_PULL_SECRET."
        )
    if _MISSING.search(said):
        return find_fatal(
            f"The image {image} was not found: {said}. Check CATTERY_K8S_IMAGE_REGISTRY and "
            "CATTERY_K8S_IMAGE_TAG, and that it was pushed."
        )
    words = (
        f"The image {image} could not be pulled: {said or container.waiting_reason}. The cluster "
        f"tries again. Check that the node {pod.node} reaches the registry."
    )
    return find_soon(words, _first_failure(pod, events), now, PATIENCE / 2)


def describe_pull(message: str) -> str:
    """Say how an image came to be on the node, out of the event `Pulled`."""
    if "already present" in message:
        return "already on the node"
    pulled, size = _PULLED.search(message), _SIZE.search(message)
    said = [f"pulled in {_say_duration(pulled['time'])}"] if pulled else ["pulled"]
    if size:
        said.append(say_bytes(Decimal(size["bytes"])))
    return ", ".join(said)


def _say_duration(text: str) -> str:
    found = _DURATION.fullmatch(text)
    if found is None:
        return text
    seconds = Decimal(found["seconds"]) / (1000 if found["unit"] == "ms" else 1)
    total = seconds + 60 * int(found["minutes"] or 0)
    return f"{total:.1f} s"


def _first_failure(pod: PodView, events: Sequence[EventView]) -> datetime:
    failed = [event.first_at for event in events_of(events, pod) if event.reason == "Failed"]
    return min(failed, default=scheduled_at(pod) or pod.created_at)
