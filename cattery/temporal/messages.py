"""What travels through Temporal: ids and small facts, never prompts, secrets or event bodies.

Names on the wire are explicit and stable. Every model ignores fields that it does not know and
gives new ones a default, so that histories of older releases still decode.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict

from cattery.deletion_states import DeletionKind
from cattery.ids import DeletionId, HarnessId, ProjectId, PromptId, SessionId, UserId
from cattery.temporal.failures import first_line

HARNESS_SANDBOX = "harness-sandbox"
SESSION = "session"
HARNESS_DELETION = "harness-deletion"
PROJECT_TEARDOWN = "project-teardown"
USER_DELETION = "user-deletion"
SESSION_DELETION = "session-deletion"
SWEEP = "sweep"
FILE_MANAGER = "file-manager"
LOG_CAPTURE = "log-capture"
ENSURE_READY = "ensure_ready"
STOP_SANDBOX = "stop"
DELETE_SANDBOX = "delete"
START_SANDBOX = "start"
SUSPEND_SANDBOX = "suspend"
SANDBOX_LOST = "lost"
SANDBOX_PROGRESS = "progress"
ENSURE_FILE_MANAGER = "ensure"
STOP_FILE_MANAGER = "stop"
SUBMIT_PROMPT = "submit_prompt"
OPEN_SESSION = "open"
CLOSE_SESSION = "close"
SANDBOX_NEWS = "sandbox_news"
UNDO_DELETION = "undo"
HURRY_DELETION = "delete_now"
LOOK_AGAIN = "look_again"
RETRY_DELETION = "retry_now"
FORCE_DELETION = "force"
ABORT_TURN = "abort"
ANSWER_QUESTION = "answer"


type Sentence = Annotated[str, AfterValidator(first_line)]
"""Words for people. The lines of a log that may follow do not travel: they may say anything."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class HarnessSandboxInput(_Message):
    """Starts the entity of a harness's sandbox."""

    harness_id: HarnessId
    project_id: ProjectId
    restarts: int | None = None
    """What the run before this one knew of the sandbox's restarts in place."""
    is_waiting: bool = False
    """Whether the run before this one was waiting for room for the generation that the row has."""


class SandboxReady(_Message):
    """The sandbox of a generation answers."""

    generation: int
    restarts: int | None = None
    """How often its processes had been started again in place by then; `None`: nobody knows."""


class SandboxLost(_Message):
    """Somebody saw that a generation's sandbox is no more."""

    generation: int
    reason: Sentence
    crashed: bool = True
    """False where it was ended on purpose, such as by the end of `cattery up`: that is no fault."""
    recoverable: bool = False
    """Whether starting it again is the remedy, so that nobody needs to be asked."""
    moved: bool = False
    """Whether it runs, at another address than its row says."""
    restarts: int = 0
    """How often its processes were started again in place, as far as is known."""


class SandboxIdle(_Message):
    """Nobody uses a generation's sandbox any more, as far as its rows say; 0: whichever runs."""

    generation: int = 0


class SandboxNews(_Message):
    """What a sandbox that a session waits for is at, for the workflow's current details."""

    text: Sentence


class SandboxHealth(StrEnum):
    """How a generation's sandbox is, measured by its row."""

    SOUND = "sound"
    """It runs, at the address that the row has."""
    MOVED = "moved"
    """It runs, at another address."""
    COMING = "coming"
    """It does not run, and whoever looks after its processes is about to change that."""
    FAILED = "failed"
    GONE = "gone"
    """There is none of this generation."""


class SandboxProgress(_Message):
    """How far a generation's start has come, for the workflow's current details."""

    generation: int
    text: Sentence


class SandboxSeen(_Message):
    """A sandbox as it is now."""

    health: SandboxHealth
    recoverable: bool = False
    """Of one that failed: whether starting it again is the remedy."""
    restarts: int = 0
    reason: Sentence = ""


class RecoveryNote(_Message):
    """When and why a sandbox is about to be healed. `at` tells one recovery from another."""

    harness_id: HarnessId
    generation: int
    at: datetime
    reason: Sentence


class ProvisionInput(_Message):
    """One start of a harness's sandbox."""

    harness_id: HarnessId
    generation: int


class FailureNote(_Message):
    """Why a generation failed. `show_log` has the last lines of the harness's log added to it."""

    harness_id: HarnessId
    generation: int
    message: Sentence
    show_log: bool = False


class SandboxFacts(_Message):
    """What the entity starts from."""

    exists: bool
    generation: int = 0
    ready: bool = False
    name: str = ""


class FileManagerInput(_Message):
    """Starts the entity of a file manager: a project's, or without a project the skills'."""

    project_id: ProjectId | None = None


class FileManagerWish(_Message):
    """Asks for a file manager; `lost` is the generation of one that did not answer, if any."""

    lost: int | None = None


class FileManagerTask(_Message):
    """One start of a file manager."""

    project_id: ProjectId | None
    generation: int


class FileManagerFailure(_Message):
    """Why a generation of a file manager failed."""

    project_id: ProjectId | None
    generation: int
    message: Sentence


class FileManagerReady(_Message):
    """The file manager of a generation answers."""

    generation: int


class FileManagerState(_Message):
    """What the entity of a file manager starts from, and how often it looks for its use."""

    generation: int = 0
    ready: bool = False
    look_seconds: float = 60.0


class LogCaptureInput(_Message):
    """Asks for the last lines of a harness's log, which a worker brings to its row."""

    harness_id: HarnessId
    lines: int


class SessionInput(_Message):
    """Starts the entity of a session."""

    session_id: SessionId
    harness_id: HarnessId
    project_id: ProjectId
    queue: tuple[PromptId, ...] = ()
    """The prompts that the run before this one knew of and had yet to run."""


class PromptRef(_Message):
    """A prompt whose row is committed."""

    prompt_id: PromptId


class TurnInput(_Message):
    """One turn to be run."""

    session_id: SessionId
    prompt_id: PromptId


class TurnOutcome(StrEnum):
    """How a turn ended; it stands in its `session.idle`."""

    COMPLETED = "completed"
    ABORTED = "aborted"
    FAILED = "failed"
    SKIPPED = "skipped"


class TurnResult(_Message):
    """How a turn ended, and whether its sandbox was found dead.

    `behind` is a prompt that is to run before it: nothing was done.
    """

    outcome: TurnOutcome
    behind: PromptId | None = None
    wants_title: bool = False
    lost: SandboxLost | None = None


class EndTurnInput(_Message):
    """A turn that the workflow ends itself, because it cannot be run."""

    session_id: SessionId
    prompt_id: PromptId
    outcome: TurnOutcome
    message: Sentence | None = None


class AnswerRef(_Message):
    """An answer whose row is committed."""

    answer_id: str


class AnswerInput(_Message):
    """One answer to be delivered."""

    session_id: SessionId
    answer_id: str


class OpenSessionInput(_Message):
    """One try to open a session in its harness. `again` replaces one that the harness lost."""

    session_id: SessionId
    again: bool = False


class SessionFailure(_Message):
    """Why a session could not be opened."""

    session_id: SessionId
    phase: str
    message: Sentence


class HarnessRef(_Message):
    """A harness."""

    harness_id: HarnessId


class SessionRef(_Message):
    """A session."""

    session_id: SessionId


class ProjectRef(_Message):
    """A project."""

    project_id: ProjectId


class UserRef(_Message):
    """A user."""

    user_id: UserId


class DeletionTarget(_Message):
    """What a deletion workflow is about."""

    kind: DeletionKind
    object_id: UUID


class DeletionFacts(_Message):
    """How it stands with the deletion of an object, and how patient its workflow is.

    `deletion_id` is that of the deletion that marked the object, which may be its project's or its
    owner's; `is_own` says that it is about this very object. `wait_seconds` is what is left of the
    grace; `None` past the point of no return. `is_kept` says that the object is there and is not
    being deleted (any more). `page` is of how many harnesses or projects one run takes care, before
    the deletion goes on in a fresh one.
    """

    is_due: bool
    deletion_id: DeletionId | None = None
    is_own: bool = False
    wait_seconds: float | None = None
    is_kept: bool = False
    label: str = ""
    tries: int = 5
    pause_seconds: float = 60.0
    page: int = 200


class DeletionRef(_Message):
    """A deletion."""

    deletion_id: DeletionId


class DeletionStep(_Message):
    """What a deletion does next."""

    deletion_id: DeletionId
    step: str


class DeletionUndo(_Message):
    """Asks for everything back. `by` is a name for the record."""

    by: Sentence = "an operator"


class DeletionForce(_Message):
    """Has the step skipped that keeps failing. Both are kept in the record."""

    reason: Sentence
    by: Sentence = "an operator"


class DeletionUndone(_Message):
    """A deletion that is to be undone, and who wants it."""

    deletion_id: DeletionId
    by: Sentence


class DeletionHitch(_Message):
    """A step that keeps failing."""

    deletion_id: DeletionId
    step: str
    reason: Sentence
    since: datetime
    attempts: int
    next_try_at: datetime


class DeletionForced(_Message):
    """A step that an operator had skipped."""

    deletion_id: DeletionId
    step: str
    reason: Sentence
    by: Sentence
    at: datetime


class DeletionPart(_Message):
    """Something to be done to an object on behalf of a deletion; `None`: of none with a row."""

    target: DeletionTarget
    deletion_id: DeletionId | None = None
    is_own: bool = False


class HarnessList(_Message):
    """Harnesses, a page of them."""

    harnesses: list[HarnessSandboxInput]


class ProjectList(_Message):
    """Projects, a page of them."""

    project_ids: list[ProjectId]


class SweepResult(_Message):
    """What a sweep found and did."""

    lost: int = 0
    orphans: int = 0
    strays: int = 0
    prompts: int = 0
    sessions: int = 0
    deletions: int = 0
    file_managers: int = 0
    idle: int = 0
    folded: int = 0
