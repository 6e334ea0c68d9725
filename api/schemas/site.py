"""What the site says about itself, and its probes."""

from pydantic import BaseModel, ConfigDict, Field

from cattery.catalog import ModelFamily
from cattery.harnesses.port import TransportKind


class Isolation(BaseModel):
    """How strongly sandboxes are confined here."""

    model_config = ConfigDict(from_attributes=True)

    confined: bool
    summary: str


class HarnessTypeOffer(BaseModel):
    """A harness type as its manifest tells of it.

    `families` are those of the models that it can be given, `capabilities` what a session of it
    offers beyond text and tools; `reason` says why it is not available.
    """

    model_config = ConfigDict(from_attributes=True)

    id: str
    display_name: str
    description: str
    transport_kind: TransportKind
    version: str
    families: list[ModelFamily]
    capabilities: list[str]
    available: bool
    reason: str | None


class DeletionGraces(BaseModel):
    """Seconds for which a deletion of each kind can be undone; 0 is not at all."""

    harness: int
    project: int
    user: int


class Site(BaseModel):
    """Facts of this installation."""

    version: str
    demo_model: bool
    demo_hint: str | None
    isolation: Isolation
    temporal_ui_url: str | None
    harness_types: list[HarnessTypeOffer]
    idle_timeout_seconds: int = Field(
        description="Seconds without use after which a sandbox is suspended, where its harness does"
        " not say; 0 is never."
    )
    deletion_grace_seconds: DeletionGraces


class Savings(BaseModel):
    """What suspending idle sandboxes has saved: how many sleep now, and how long all have slept."""

    sleeping: int
    slept_seconds: float
    idle_timeout_seconds: int


class Alive(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests can be served; `missing` names what is not there."""

    status: str
    missing: list[str]
