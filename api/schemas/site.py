"""What the site says about itself, and its probes."""

from pydantic import BaseModel, ConfigDict

from cattery.harnesses.port import TransportKind


class Isolation(BaseModel):
    """How strongly sandboxes are confined here."""

    model_config = ConfigDict(from_attributes=True)

    confined: bool
    summary: str


class HarnessTypeOffer(BaseModel):
    """A harness type; `reason` says why it is not available."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    display_name: str
    transport_kind: TransportKind
    available: bool
    reason: str | None


class Site(BaseModel):
    """Facts of this installation."""

    version: str
    demo_model: bool
    demo_hint: str | None
    isolation: Isolation
    temporal_ui_url: str | None
    harness_types: list[HarnessTypeOffer]


class Alive(BaseModel):
    """The process lives."""

    status: str = "ok"


class Readiness(BaseModel):
    """Whether requests can be served; `missing` names what is not there."""

    status: str
    missing: list[str]
