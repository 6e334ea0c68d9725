"""Bodies of the harness routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.schemas.text import Name, PlainText, RequestBody
from cattery.db.states import HarnessStatus
from cattery.errors import BadRequestError
from cattery.harnesses.port import TransportKind

MAX_ENV_VARS = 200
MAX_ENV_BYTES = 64 * 1024
MAX_ENV_NAME_LENGTH = 200
MIN_IDLE_SECONDS = 60
MAX_IDLE_SECONDS = 30 * 24 * 3600
MAX_LEASE_MINUTES = 7 * 24 * 60


def _check_env_vars(env_vars: dict[str, str]) -> dict[str, str]:
    if len(env_vars) > MAX_ENV_VARS:
        raise ValueError(f"there can be at most {MAX_ENV_VARS} variables.")
    for name in env_vars:
        if not name or "=" in name or len(name) > MAX_ENV_NAME_LENGTH:
            raise ValueError(
                "a variable's name must not be empty, have '=' in it, or be over"
                f" {MAX_ENV_NAME_LENGTH} characters long."
            )
    if sum(len(name) + len(value.encode()) for name, value in env_vars.items()) > MAX_ENV_BYTES:
        raise ValueError(f"all variables together can have at most {MAX_ENV_BYTES // 1024} KiB.")
    return env_vars


def _check_idle_timeout(seconds: int) -> int:
    if seconds != 0 and not MIN_IDLE_SECONDS <= seconds <= MAX_IDLE_SECONDS:
        raise ValueError(
            f"a sandbox is suspended after {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS} seconds,"
            " or never (0)."
        )
    return seconds


IdleTimeout = Annotated[
    int,
    AfterValidator(_check_idle_timeout),
    Field(
        description=f"Seconds without use after which its sandbox is suspended: 0 is never, else"
        f" {MIN_IDLE_SECONDS} to {MAX_IDLE_SECONDS}. Null is what the site says.",
    ),
]
EnvVars = Annotated[dict[PlainText, PlainText], AfterValidator(_check_env_vars)]


class HarnessProject(BaseModel):
    """The project of a harness."""

    model_config = ConfigDict(from_attributes=True)

    project_id: UUID
    owner_user_id: UUID
    project_name: str | None
    created_at: datetime


class ProvisioningStep(BaseModel):
    """A step of starting the sandbox; `finished_at` is null while it runs."""

    model_config = ConfigDict(extra="allow")

    name: str
    started_at: str
    finished_at: str | None = None
    detail: str = ""


class RuntimeEvent(BaseModel):
    """Something that the runtime said of the sandbox's last start, such as a Kubernetes event."""

    model_config = ConfigDict(extra="allow")

    at: str
    reason: str
    message: str
    count: int = 1
    is_warning: bool = False


class Recovery(BaseModel):
    """A time when the sandbox was lost and healed without anybody's doing."""

    model_config = ConfigDict(extra="allow")

    at: str
    reason: str


class Harness(BaseModel):
    """A harness and the sandbox that it has now."""

    model_config = ConfigDict(from_attributes=True)

    harness_id: UUID
    project_id: UUID
    harness_name: str | None
    model: str
    type: str
    env_vars: dict[str, str]
    sandbox_status: HarnessStatus
    task_name: str | None = Field(description="The sandbox's name in its runtime.")
    sandbox_url: str | None
    transport_kind: TransportKind
    access_role: Literal["owner", "member"]
    owner_username: str
    created_at: datetime
    project: HarnessProject
    failure: str | None = Field(description="Why the sandbox failed, in words.")
    steps: list[ProvisioningStep] = Field(description="How far its start has come.")
    generation: int = Field(description="Counts the sandbox's starts.")
    waiting: str | None = Field(
        description="What it waits for that is no failure, such as quota; null otherwise."
    )
    runtime_events: list[RuntimeEvent] = Field(
        description="What the runtime said of its last start, oldest first."
    )
    recoveries: list[Recovery] = Field(description="When and why it was healed lately.")
    idle_timeout_seconds: int | None = Field(
        description="Seconds without use after which it is suspended; 0 is never, null as the site."
    )
    used_at: datetime = Field(description="When it was used last, as far as nothing uses it now.")
    suspended_at: datetime | None = Field(description="Since when it sleeps; null otherwise.")
    stopped_reason: str | None = Field(
        description="Why it was stopped without a person's wish: `idle`, `lease`. It stands until"
        " the sandbox is ready again, so one that starts with a reason is being woken."
    )
    awake_until: datetime | None = Field(description="Until when somebody keeps it awake.")


class HarnessCreate(RequestBody):
    """A harness to be made; its sandbox starts at once."""

    harness_name: Name | None = None
    model: PlainText
    type: PlainText | None = Field(default=None, description="Default `opencode`.")
    env_vars: EnvVars | None = None
    idle_timeout_seconds: IdleTimeout | None = None


class HarnessUpdate(RequestBody):
    """A harness's new name, or when its sandbox is suspended, or both."""

    harness_name: Name | None = Field(
        default=None, description="Left out only where the time-out is given; never null."
    )
    idle_timeout_seconds: IdleTimeout | None = None

    def require_change(self) -> None:
        """Refuse what changes nothing, and a name that is null."""
        given = self.model_fields_set
        if "harness_name" not in given and "idle_timeout_seconds" not in given:
            raise BadRequestError('The field "harness_name" is missing.')
        if "harness_name" in given and self.harness_name is None:
            raise BadRequestError('The field "harness_name" must not be null.')


class Lease(RequestBody):
    """How long a sandbox is kept awake, from now on."""

    minutes: int = Field(ge=1, le=MAX_LEASE_MINUTES)


class TimelineEntry(BaseModel):
    """Something that happened to a harness. `kind` grows: show those that are unknown as they are.

    `by` is a username, null where the platform acted by itself.
    """

    model_config = ConfigDict(from_attributes=True)

    entry_id: int
    at: datetime
    kind: str
    by: str | None
    detail: str | None


class Timeline(BaseModel):
    """A page of what happened to a harness, the newest first."""

    entries: list[TimelineEntry]
    before: int | None = Field(description="Asks for the next page; null on the last.")


class HarnessLog(BaseModel):
    """The last lines that the harness wrote."""

    log: str
