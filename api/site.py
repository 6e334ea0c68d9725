"""What the site tells about itself: facts of the installation that do not change while it runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from cattery.catalog import ModelFamily
from cattery.harnesses.manifest import Manifest
from cattery.harnesses.port import TransportKind
from cattery.harnesses.registry import DEFAULT_TYPE, HarnessRegistry, kind_of

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
    description: str
    transport_kind: TransportKind
    version: str
    families: tuple[ModelFamily, ...]
    capabilities: tuple[str, ...]
    available: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """What `GET /site` is made of."""

    version: str
    harness_types: tuple[HarnessTypeFacts, ...]
    demo_model: bool = False
    demo_hint: str | None = None
    idle_timeout_seconds: int = 0


def describe_harness_types(
    registry: HarnessRegistry, tools: Path | None
) -> tuple[HarnessTypeFacts, ...]:
    """Say of each harness type what it is, and whether it runs here: the default one comes first.

    Args:
        registry: of this installation.
        tools: where their programs are installed; `None` where images bring them.
    """
    manifests = sorted(registry.manifests.values(), key=lambda one: one.id != DEFAULT_TYPE)
    return tuple(_describe(one, _why_not(one, registry, tools)) for one in manifests)


def _why_not(manifest: Manifest, registry: HarnessRegistry, tools: Path | None) -> str | None:
    reason = registry.why_not(manifest.id)
    if reason is None and tools is not None and not (tools / manifest.install.program).exists():
        return f"{manifest.display_name} is not installed here. An operator can: make install."
    return reason


def _describe(manifest: Manifest, reason: str | None) -> HarnessTypeFacts:
    return HarnessTypeFacts(
        id=manifest.id,
        display_name=manifest.display_name,
        description=manifest.description,
        transport_kind=kind_of(manifest.transport),
        version=manifest.version,
        families=manifest.models.families,
        capabilities=tuple(name for name, there in manifest.capabilities if there),
        available=reason is None,
        reason=reason,
    )
