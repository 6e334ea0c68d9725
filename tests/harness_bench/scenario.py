"""What one row of the conformance table is, and what a scenario is given to find out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from cattery.harnesses.manifest import Manifest
from tests.e2e.client import Client
from tests.harness_bench.model import ScriptedModel


class SandboxControl(Protocol):
    """What a scenario does to a sandbox from outside, on whichever runtime it is."""

    async def kill_program(self, harness_id: str) -> None:
        """End the harness with signal 9: the agent and what stands in front of it."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One harness under test, in a project of its own, its sandbox ready."""

    manifest: Manifest
    client: Client
    project_id: str
    harness_id: str
    model: ScriptedModel
    sandbox: SandboxControl


type Run = Callable[[Subject], Awaitable[None]]
"""Raises an AssertionError that says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that every harness has to do alike."""

    name: str
    """Short and fixed: the table's key."""
    title: str
    run: Run
    needs: str | None = None
    """A field of the manifest's capabilities; a harness without it is not asked."""
    alone: bool = False
    """Whether it disturbs the whole sandbox, so that nothing else may run in it meanwhile."""
    on_cluster: bool = False
    """Whether it belongs to the few that also run in a pod."""
    within: float = 60.0
    """Seconds after which it has failed."""
