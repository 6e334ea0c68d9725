"""What the platform needs of a place to run harnesses in, whichever it is.

There are two: `local` (isolated processes on this machine) and `kubernetes` (pods). Both pass the
same conformance suite (`tests/conformance`). Everything here is idempotent: a workflow may call any
of it again after a crash.

Workers drive a `SandboxRuntime`. The HTTP process sees only `SandboxAccess`, which can neither make
nor end anything: on a cluster it has no rights there.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
        password: guards the harness's port. The same on every try at one generation, so that a
            try that adopts what an earlier one started can talk to it. Secret.
    """

    harness_id: HarnessId
    project_id: ProjectId
    harness_type: str
    generation: int
    model: str
    env: Mapping[str, str]
    gateway_url: str
    gateway_token: str
    password: str


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


@dataclass(frozen=True, slots=True)
class Waiting:
    """The start waits for something that is no failure, such as quota; `None`: no longer."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class RuntimeEvent:
    """Something that the runtime itself said of the sandbox, such as a Kubernetes event.

    One with the same `key` replaces an earlier one: it was seen again.
    """

    key: str
    at: datetime
    reason: str
    message: str
    count: int = 1
    is_warning: bool = False


type Progress = Step | Waiting | RuntimeEvent
type Report = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Observation:
    """One sandbox as it is now.

    Attributes:
        name: its name in the runtime, the contract's `task_name`.
        endpoint: where its harness listens; `None` unless running. Its password is there only
            where the runtime can read it back; whoever started the sandbox knows it anyway.
        reason: for `FAILED`, what happened and the last lines of its log, in words; for
            `STARTING`, what it waits for, where that is known; for `RUNNING`, how its last life
            ended, where it was started again.
        recoverable: for `FAILED`, whether starting it again is the remedy (it was evicted, its
            node went), and nobody needs to be asked.
        restarts: how often its processes were started again inside this generation.
        expired_at: for `ABSENT`, when the runtime ended it because nobody said any more that it is
            wanted; see `keep_running`.
    """

    harness_id: HarnessId
    generation: int
    state: SandboxState
    name: str
    endpoint: HarnessEndpoint | None = None
    reason: str = ""
    recoverable: bool = False
    restarts: int = 0
    expired_at: datetime | None = None


type Notice = Callable[[Observation], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Isolation:
    """How strongly sandboxes are confined here, for `doctor` and the UI to say.

    `known` is false where nobody could find out yet.
    """

    confined: bool
    summary: str
    known: bool = True


class SandboxAccess(Protocol):
    """What people reach through the HTTP process: files, skills, logs. Makes and ends nothing."""

    async def isolation(self) -> Isolation:
        """Say how strongly sandboxes are confined."""

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote; empty where there is no log."""

    def workspace_files(self, project_id: ProjectId) -> FileTree:
        """Give access to the files of a project's workspace, whether or not a sandbox runs."""

    def skills(self) -> SkillLibrary:
        """Give access to the skills library."""

    async def close(self) -> None:
        """Release what this process holds; running sandboxes go on."""


class SandboxRuntime(Protocol):
    """Makes, watches and ends sandboxes. All failures are `SandboxError`s with their cause."""

    @property
    def name(self) -> str:
        """Return the runtime's name, such as `local`."""

    async def isolation(self) -> Isolation:
        """Say how strongly sandboxes are confined."""

    async def ensure_running(self, spec: SandboxSpec, report: Report) -> Observation:
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

    async def keep_running(self, harness_ids: Collection[HarnessId]) -> int:
        """Say that some sandboxes are still wanted; returns how many had to be told.

        A runtime that goes on without us ends those of which nobody says so for hours: a control
        plane that died then stops spending. Called often; most calls tell nothing.
        """

    async def remove(self, harness_id: HarnessId) -> None:
        """Stop the sandbox and delete everything of it but the project's workspace."""

    async def read_log(self, harness_id: HarnessId, *, lines: int = 200) -> str:
        """Return the last lines that the harness wrote; empty where there is no log."""

    async def create_workspace(self, project_id: ProjectId) -> None:
        """Make the project's workspace; nothing happens where it exists."""

    async def delete_workspace(self, project_id: ProjectId) -> None:
        """Delete the project's workspace and all in it; nothing happens where there is none."""

    async def list_belongings(
        self, *, project_id: ProjectId | None = None, harness_id: HarnessId | None = None
    ) -> Sequence[str]:
        """Name, in words, everything that there is of a project or of a harness; nothing kept back.

        What a harness keeps in its project's volume is the project's.
        """

    async def watch(self, notice: Notice) -> None:
        """Tell of every sandbox that changes, as it changes, until cancelled.

        Told are sandboxes that came to run at another address or after a restart, that failed,
        that stopped answering their node. Each is told at least once; whoever hears it looks for
        itself before it acts. A runtime that cannot see changes returns at once; sweeps find them.
        """

    async def close(self) -> None:
        """Release what this process holds; running sandboxes go on."""


@dataclass(frozen=True, slots=True)
class FileManagerSpec:
    """A file manager to be made: the pod that serves the files of one volume.

    Attributes:
        project_id: whose workspace; `None` for the skills library.
        generation: as of a sandbox.
        token: what its callers prove themselves with. Secret.
    """

    project_id: ProjectId | None
    generation: int
    token: str


class FileManagerRuntime(Protocol):
    """Makes and ends file managers, where files are not simply there (on a cluster)."""

    async def ensure_file_manager(self, spec: FileManagerSpec, report: Report) -> str:
        """Have a file manager that answers; returns its base URL. As `ensure_running`.

        Raises:
            SandboxError: it could not be started, or did not answer in time.
        """

    async def stop_file_manager(self, project_id: ProjectId | None) -> None:
        """Remove a file manager and wait until it is gone; its volume is kept."""
