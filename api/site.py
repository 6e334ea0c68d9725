"""What the site tells about itself: facts of the installation that do not change while it runs."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from pydantic_settings import BaseSettings, SettingsConfigDict

from cattery.harnesses.port import TransportKind
from cattery.harnesses.registry import PLANNED, REGISTRY

type HealthCheck = Callable[[], Awaitable[object]]
"""Raises where a part that requests need is not there."""


class SiteSettings(BaseSettings):
    """What the HTTP process is told of the others."""

    model_config = SettingsConfigDict(env_prefix="CATTERY_", frozen=True, extra="ignore")

    demo_model: bool = False
    """Whether the gateway has no real model and its demo answers (`CATTERY_DEMO_MODEL`)."""


@dataclass(frozen=True, slots=True)
class HarnessTypeFacts:
    """A harness type as the UI offers it; `reason` says why it is not available."""

    id: str
    display_name: str
    transport_kind: TransportKind
    available: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What `GET /site` is made of."""

    version: str
    harness_types: tuple[HarnessTypeFacts, ...]
    demo_model: bool = False
    demo_hint: str | None = None


def describe_harness_types() -> tuple[HarnessTypeFacts, ...]:
    """List the harness types of the contract: those that run here, then those to come."""
    return tuple(_runnable()) + tuple(_planned())


def _runnable() -> Iterator[HarnessTypeFacts]:
    for known in REGISTRY.values():
        yield HarnessTypeFacts(known.id, known.display_name, known.transport, available=True)


def _planned() -> Iterator[HarnessTypeFacts]:
    for planned in PLANNED.values():
        yield HarnessTypeFacts(
            planned.id,
            planned.display_name,
            planned.transport,
            available=False,
            reason=f"{planned.display_name} comes in a later version.",
        )
