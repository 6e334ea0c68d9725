"""Ends sandboxes: suspends or deletes the object, and waits until its pod is observed gone.

Nothing counts as ended because a call returned: a pod runs on until the node has ended it. What
holds an end up (a finalizer of somebody else, a node that does not answer) is named, and nothing
is ever forced: two pods on one volume are worse than one that is late.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from cattery.clock import utc_now
from cattery.errors import SandboxError
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.diagnosis import Situation, diagnose_life
from cattery.sandboxes.kubernetes.failures import PatchConflictError
from cattery.sandboxes.kubernetes.held import describe_held
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.views import SandboxView, parse_sandbox
from cattery.sandboxes.names import LAUNCH_ANNOTATION
from cattery.sandboxes.port import SandboxState

log = structlog.get_logger(__name__)

PATIENCE: Final = 60.0
"""Seconds that one end may take before it is an error with its cause; the caller tries again."""
NO_LAUNCH: Final = "none"
"""The launch of a sandbox that was stopped: no start that was under way can go on from here."""
_TRIES: Final = 5


class Ending:
    """Ends Sandbox objects and what belongs to them."""

    def __init__(self, api: ClusterApi, state: ClusterState, *, patience: float = PATIENCE) -> None:
        self._api = api
        self._state = state
        self._patience = patience

    async def suspend(self, view: SandboxView, *, insist: bool) -> SandboxView | None:
        """End a sandbox's pod and its launch, and wait until the pod is gone; keep the object.

        Args:
            view: the object as it was read.
            insist: also where somebody changed its launch meanwhile, as a stop does and a start
                does not.

        Returns:
            The object as it is then; `None` where it is gone, or is another one meanwhile.

        Raises:
            SandboxError: the pod is still there after a while; the message says what holds it.
        """
        for _ in range(_TRIES):
            # First, while the object still names it: whoever takes over from us must find it.
            await self._delete_launch(view)
            try:
                patched = await self._api.patch(
                    Kind.SANDBOX,
                    view.name,
                    change(view, *_suspension(view)),
                )
            except PatchConflictError:
                found = await self._api.get(Kind.SANDBOX, view.name) if insist else None
                if found is None or parse_sandbox(found).uid != view.uid:
                    return None
                view = parse_sandbox(found)
                continue
            if patched is None:
                return None
            await self._wait_for_pod(parse_sandbox(patched))
            return parse_sandbox(patched)
        raise SandboxError(
            f"Sandbox {view.name} is being changed by somebody else all the time; it could not be "
            "stopped. Look at what else writes to this namespace."
        )

    async def delete(self, view: SandboxView) -> None:
        """End a sandbox's pod, then delete the object, and wait until all of it is gone.

        The pod ends first: it would run on for as long as somebody's finalizer holds the object.

        Raises:
            SandboxError: something is still there after a while; the message says what holds it.
        """
        if view.deleting_at is None:
            suspended = await self.suspend(view, insist=True)
            if suspended is None:
                return
        await self._delete_launch(view)
        await self._api.delete(Kind.SANDBOX, view.name, uid=view.uid)
        await self.wait_until_deleted(view)

    async def wait_until_deleted(self, view: SandboxView) -> None:
        """Wait until an object that is being deleted, and its pod, are gone."""

        def look() -> bool | None:
            there = self._state.sandboxes.get(view.name)
            pod = self._state.pods.get(view.name)
            return None if (there and there.uid == view.uid) or pod else True

        await self._wait(view, look)

    def has_lost_pod(self, view: SandboxView) -> bool:
        """Tell whether the pod that is there has ended or hangs, so that nothing comes of it."""
        if view.has_expired(utc_now()):
            return True
        pod = self._state.pods.get(view.name)
        situation = Situation(sandbox=view, pod=pod, claims=[], events=[])
        return diagnose_life(situation, now=utc_now()).state is SandboxState.FAILED

    async def _wait_for_pod(self, view: SandboxView) -> None:
        def look() -> bool | None:
            now = self._state.sandboxes.get(view.name)
            if now is None or now.uid != view.uid:
                return True
            suspended = now.conditions.get("Suspended")
            is_told = (
                suspended is not None
                and suspended.status == "True"
                and (suspended.observed_generation or 0) >= view.metadata_generation
            )
            return True if is_told and self._state.pods.get(view.name) is None else None

        await self._wait(view, look)

    async def _wait(self, view: SandboxView, look: Callable[[], bool | None]) -> None:
        try:
            await self._state.wait_for(look, about=(view.name,), timeout=self._patience)
        except TimeoutError as error:
            sandbox = self._state.sandboxes.get(view.name)
            pod = self._state.pods.get(view.name)
            words = describe_held(view.name, sandbox, pod, self._patience)
            raise SandboxError(words) from error

    async def _delete_launch(self, view: SandboxView) -> None:
        if view.launch and view.launch != NO_LAUNCH:
            await self._api.delete(Kind.SECRET, view.launch)


def change(view: SandboxView, *operations: tuple[str, str, Json]) -> Sequence[JsonObject]:
    """Write a JSON patch that applies only to the object as it was read."""
    tests: list[tuple[str, str, Json]] = [("test", "/metadata/uid", view.uid)]
    if view.launch:  # what is not ours has none
        tests.append(("test", _LAUNCH_PATH, view.launch))
    return [{"op": op, "path": path, "value": value} for op, path, value in (*tests, *operations)]


def _suspension(view: SandboxView) -> Sequence[tuple[str, str, Json]]:
    """Say what suspends an object. One whose time has come is not looked after: that goes too."""
    timed: tuple[tuple[str, str, Json], ...] = (("remove", "/spec/shutdownTime", None),)
    return (
        *(_SUSPEND if view.launch else _SUSPEND[:1]),
        *(timed if view.shutdown_at is not None else ()),
    )


_LAUNCH_PATH: Final = "/metadata/annotations/" + LAUNCH_ANNOTATION.replace("/", "~1")
_SUSPEND: Final[tuple[tuple[str, str, Json], ...]] = (
    ("add", "/spec/operatingMode", "Suspended"),
    ("replace", _LAUNCH_PATH, NO_LAUNCH),
)
