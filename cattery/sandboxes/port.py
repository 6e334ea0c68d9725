"""What the platform needs of a place to run harnesses in, whichever it is.

`local` (isolated processes on this machine) is the first runtime, Kubernetes the next. Every
runtime passes the conformance suite in `tests/unit/test_sandbox_conformance.py`. Everything here
is idempotent: a workflow may call any of it again after a crash.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from cattery.files.port import FileTree, SkillLibrary
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessId, ProjectId


class SandboxState(StrEnum):
    """What a runtime observes of one sandbox."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """A sandbox to be made.

    Attributes:
        harness_type: id in the harness registry.
        generation: counts the starts of this harness; a higher one replaces a lower one.
        env: the user's variables; the platform's own settings win over them.
        gateway_token: the model credential of this generation. Secret: never logged or stored.
    """

    harness_id: HarnessId
    project_id: ProjectId
    harness_type: str
    generation: int
    model: str
    env: Mapping[str, str]
    gateway_url: str
    gateway_token: str


class StepName(StrEnum):
    """The steps of provisioning, in their order; a runtime reports those that it has."""

    WORKSPACE = "workspace"
    SCHEDULED = "scheduled"
    IMAGE = "image"
    STARTED = "started"
    ANSWERING = "answering"


@dataclass(frozen=True, slots=True)
class Step:
    """A step of provisioning that began (`finished_at` is `None`) or ended."""

    name: StepName
    started_at: datetime
    finished_at: datetime | None = None
    detail: str = ""


type ReportStep = Callable[[Step], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Observation:
    """One sandbox as it is now.

    Attributes:
        name: its name in the runtime, the contract's `task_name`.
        endpoint: where its harness listens; `None` unless running.
        reason: for `FAILED`, what happened and the last lines of its log, in words.
    """

    harness_id: HarnessId
    generation: int
    state: SandboxState
    name: str
    endpoint: HarnessEndpoint | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How strongly sandboxes are confined here, for `doctor` and the UI to say."""

    confined: bool
    summary: str


class SandboxRuntime(Protocol):
    """Makes, watches and ends sandboxes. All failures are `SandboxError`s with their cause."""

    @property
    def name(self) -> str:
        """Return the runtime's name, such as `local`."""

    def isolation(self) -> Isolation:
        """Say how strongly sandboxes are confined."""

    async def ensure_running(self, spec: SandboxSpec, report: ReportStep) -> Observation:
        """Start the sandbox, or adopt it where this generation already runs; wait until it answers.

        A sandbox of a lower generation is ended first. Cancelling leaves nothing half-made that
        a later call would not adopt or replace.

        Raises:
            SandboxError: it could not be started, or did not answer in time.
            SandboxSetupError: it cannot start at all as things stand.
        """

    async def observe(self, harness_id: HarnessId) -> Observation:
        """Look at one sandbox now; `ABSENT` where there is none."""

    async def observe_all(self) -> Sequence[Observation]:
        """Look at all sandboxes that exist, whether or not a database knows them."""

    async def stop(self, harness_id: HarnessId) -> None:
        """End the sandbox's processes, all of them, and wait until they are gone; keep its HOME."""

    async def remove(self, harness_id: HarnessId) -> None:
        """Stop the sandbox and delete everything of it but the project's workspace."""

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote; empty where there is no log."""

    async def create_workspace(self, project_id: ProjectId) -> None:
        """Make the project's workspace; nothing happens where it exists."""

    async def delete_workspace(self, project_id: ProjectId) -> None:
        """Delete the project's workspace and all in it; nothing happens where there is none."""

    def workspace_files(self, project_id: ProjectId) -> FileTree:
        """Give access to the files of a project's workspace."""

    def skills(self) -> SkillLibrary:
        """Give access to the skills library."""

    async def close(self) -> None:
        """Release what this process holds; running sandboxes go on."""
