"""Puts a Sandbox object in place for one generation: makes, adopts, replaces or rolls it.

Every step can be repeated: a start that was killed between any two of them is taken up by the
next one at the state that it finds. Two things fence a start that was given up and wakes up later:
each patch tests that the object is the one that was read (its uid) and that its launch is still
the one that was read, and whoever stops or rolls a sandbox changes the launch.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from cattery.errors import SandboxError, SandboxSetupError
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.ending import Ending, change
from cattery.sandboxes.kubernetes.failures import AlreadyExistsError, PatchConflictError
from cattery.sandboxes.kubernetes.views import SandboxView, parse_sandbox
from cattery.sandboxes.names import (
    COMPONENT_LABEL,
    GENERATION_ANNOTATION,
    HARNESS_LABEL,
    LAUNCH_ANNOTATION,
    PROJECT_LABEL,
    name_launch,
)

log = structlog.get_logger(__name__)

_TRIES = 10
"""How often a start looks again at an object that others change, before it gives up."""
_OWNER_LABELS = (COMPONENT_LABEL, HARNESS_LABEL, PROJECT_LABEL)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Sandbox object as somebody wants it.

    Attributes:
        name: of the object and of its pod.
        generation: counts the starts; a higher one replaces a lower one.
        build: makes the object, given the name of its launch secret.
        build_launch: makes the launch secret, given its name and the uid of the object.
        claims: names of the claims that its pod mounts.
        secrets: values that no log of it may show.
    """

    name: str
    generation: int
    build: Callable[[str], JsonObject]
    build_launch: Callable[[str, str], JsonObject]
    claims: tuple[str, ...]
    secrets: tuple[str, ...] = ()


class Placement:
    """Puts Sandbox objects in place."""

    def __init__(self, api: ClusterApi, ending: Ending) -> None:
        self._api = api
        self._ending = ending

    async def place(self, wanted: Wanted) -> SandboxView:
        """Have the object in its generation, to run, with its launch secret.

        Raises:
            SandboxSetupError: a later generation is there already.
            SandboxError: the cluster refused, or others kept changing the object.
            QuotaExceededError: there is no room for it now.
        """
        for _ in range(_TRIES):
            view = await self._create(wanted)
            if view is None:
                view = await self._take_over(wanted)
            if view is not None:
                await self._provide_launch(wanted, view)
                return view
        raise SandboxError(
            f"Sandbox {wanted.name} is being changed by somebody else all the time; it could not "
            "be started. Look at what else writes to this namespace, then try again."
        )

    async def _create(self, wanted: Wanted) -> SandboxView | None:
        """Create the object; `None` where one of its name is there."""
        launch = _new_launch(wanted.name)
        try:
            made = await self._api.create(Kind.SANDBOX, wanted.build(launch))
        except AlreadyExistsError:
            return None
        log.info("sandbox_created", sandbox=wanted.name, generation=wanted.generation)
        return parse_sandbox(made)

    async def _take_over(self, wanted: Wanted) -> SandboxView | None:
        """Make the object that is there the wanted one; `None`: look again."""
        found = await self._api.get(Kind.SANDBOX, wanted.name)
        if found is None:
            return None
        view = parse_sandbox(found)
        if view.deleting_at is not None:
            await self._ending.wait_until_deleted(view)
            return None
        if not _has_same_owner(view, wanted):
            log.warning("foreign_sandbox_replaced", sandbox=view.name, labels=dict(view.labels))
            await self._ending.delete(view)
            return None
        if view.generation > wanted.generation:
            raise SandboxSetupError(
                f"Sandbox {wanted.name} is at generation {view.generation} already; "
                f"generation {wanted.generation} is out of date."
            )
        if view.generation == wanted.generation and not view.suspended:
            if not self._ending.has_lost_pod(view):
                log.info("sandbox_adopted", sandbox=view.name, generation=view.generation)
                return view
            log.info("sandbox_pod_was_lost", sandbox=view.name, generation=view.generation)
        return await self._roll(wanted, view)

    async def _roll(self, wanted: Wanted, view: SandboxView) -> SandboxView | None:
        """End the pod that is there, for certain, then let the next one be made."""
        suspended = await self._ending.suspend(view, insist=False)
        if suspended is None:
            return None
        launch = _new_launch(wanted.name)
        body = wanted.build(launch)
        metadata, spec = body["metadata"], body["spec"]
        assert isinstance(metadata, dict) and isinstance(spec, dict)  # noqa: S101, PT018
        try:
            rolled = await self._api.patch(
                Kind.SANDBOX,
                wanted.name,
                change(
                    suspended,
                    ("replace", "/metadata/labels", metadata["labels"]),
                    (
                        "replace",
                        f"/metadata/annotations/{_escape(GENERATION_ANNOTATION)}",
                        str(wanted.generation),
                    ),
                    ("replace", f"/metadata/annotations/{_escape(LAUNCH_ANNOTATION)}", launch),
                    ("replace", "/spec/podTemplate", spec["podTemplate"]),
                    ("replace", "/spec/operatingMode", "Running"),
                ),
            )
        except PatchConflictError:
            return None
        if rolled is None:
            return None
        log.info("sandbox_rolled", sandbox=wanted.name, generation=wanted.generation)
        return parse_sandbox(rolled)

    async def _provide_launch(self, wanted: Wanted, view: SandboxView) -> None:
        """Create the launch secret that the object names; an earlier try may have done so."""
        try:
            await self._api.create(Kind.SECRET, wanted.build_launch(view.launch, view.uid))
        except AlreadyExistsError:
            log.info("launch_adopted", sandbox=view.name, launch=view.launch)


def _new_launch(name: str) -> str:
    return name_launch(name, secrets.token_hex(4))


def _has_same_owner(view: SandboxView, wanted: Wanted) -> bool:
    metadata = wanted.build("")["metadata"]
    assert isinstance(metadata, dict)  # noqa: S101
    labels = metadata["labels"]
    assert isinstance(labels, dict)  # noqa: S101
    is_ours = all(view.labels.get(name) == labels.get(name) for name in _OWNER_LABELS)
    return is_ours and view.generation > 0 and bool(view.launch)


def _escape(key: str) -> str:
    """Write a key as a JSON pointer's part (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
