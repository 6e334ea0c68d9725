"""Bodies of the harness routes."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.schemas.text import Name, PlainText, RequestBody
from cattery.db.states import HarnessStatus
from cattery.harnesses.port import TransportKind

MAX_ENV_VARS = 200
MAX_ENV_BYTES = 64 * 1024
MAX_ENV_NAME_LENGTH = 200


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


class HarnessCreate(RequestBody):
    """A harness to be made; its sandbox starts at once."""

    harness_name: Name | None = None
    model: PlainText
    type: PlainText | None = Field(default=None, description="Default `opencode`.")
    env_vars: EnvVars | None = None


class HarnessUpdate(RequestBody):
    """A harness's new name."""

    harness_name: Name


class HarnessLog(BaseModel):
    """The last lines that the harness wrote."""

    log: str
