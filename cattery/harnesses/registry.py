"""Every harness type that the manifests name: those that run here, and those that cannot.

This is the one place that brings a manifest and its implementation together.
"""

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, override

from cattery.errors import BadRequestError, SandboxSetupError
from cattery.harnesses.manifest import (
    MANIFEST,
    Manifest,
    ManifestError,
    Transport,
    load_manifests,
)
from cattery.harnesses.port import HarnessType, Implementation, TransportKind
from cattery.settings import HarnessSettings

DEFAULT_TYPE = "opencode"
_BY_TRANSPORT: Final[Mapping[Transport, str]] = {
    Transport.TERMINAL: "cattery.harnesses.terminal",
    Transport.ACP: "cattery.harnesses.acp",
}
"""Modules that run a harness from its manifest alone."""


class HarnessRegistry(Mapping[str, HarnessType]):
    """The harness types of this installation; as a mapping, those that can run, by id.

    Attributes:
        manifests: of every type, also of those that are only announced or not offered here.
    """

    def __init__(
        self,
        manifests: Mapping[str, Manifest],
        runnable: Mapping[str, HarnessType],
    ) -> None:
        self.manifests = manifests
        self._runnable = runnable

    @override
    def __getitem__(self, type_id: str) -> HarnessType:
        return self._runnable[type_id]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._runnable)

    @override
    def __len__(self) -> int:
        return len(self._runnable)

    def require_known(self, type_id: str) -> Manifest:
        """Return the manifest of a type that somebody asks for.

        Raises:
            BadRequestError: there is no such type.
        """
        manifest = self.manifests.get(type_id)
        if manifest is None:
            names = ", ".join(sorted(self.manifests))
            raise BadRequestError(f"There is no harness type of that name. Choose one of: {names}.")
        return manifest

    def transport_of(self, type_id: str) -> TransportKind:
        """Return how clients of the API use harnesses of a type.

        One whose manifest is gone still has its history: it is shown as a chat.
        """
        manifest = self.manifests.get(type_id)
        return TransportKind.HTTP if manifest is None else kind_of(manifest.transport)

    def require_runnable(self, type_id: str) -> HarnessType:
        """Return the implementation of a type, for whoever starts or drives one.

        Raises:
            SandboxSetupError: the type is known but cannot run here, or is not known at all.
        """
        runnable = self._runnable.get(type_id)
        if runnable is not None:
            return runnable
        raise SandboxSetupError(f"{self.why_not(type_id)} Make a harness of another type instead.")

    def why_not(self, type_id: str) -> str | None:
        """Say in a sentence why harnesses of a type cannot run here; `None` where they can."""
        if type_id in self._runnable:
            return None
        manifest = self.manifests.get(type_id)
        if manifest is None:
            return f"This installation of Cattery knows no harness type {type_id!r}."
        if manifest.planned:
            return f"{manifest.display_name} cannot run in this version of Cattery yet."
        return f"{manifest.display_name} is not offered on this site (CATTERY_HARNESS_TYPES)."


def load_registry(settings: HarnessSettings) -> HarnessRegistry:
    """Read the manifests and import what they name, for the types that this site offers.

    Raises:
        ManifestError: a manifest is wrong, or a setting names a type that has none.
    """
    folder, types = settings.folder, settings.types
    manifests = load_manifests(folder)
    unknown = sorted(set(types or ()) - set(manifests))
    if unknown:
        raise ManifestError(
            f"CATTERY_HARNESS_TYPES names {', '.join(unknown)}, but {folder} has manifests of "
            f"{', '.join(manifests)} only."
        )
    runnable = {
        manifest.id: _join(manifest, folder)
        for manifest in manifests.values()
        if not manifest.planned and (types is None or manifest.id in types)
    }
    return HarnessRegistry(manifests, runnable)


def require_runnable(registry: Mapping[str, HarnessType], type_id: str) -> HarnessType:
    """Return the implementation of a type out of any registry.

    Raises:
        SandboxSetupError: there is none; the reason is said.
    """
    if isinstance(registry, HarnessRegistry):
        return registry.require_runnable(type_id)
    found = registry.get(type_id)
    if found is None:
        raise SandboxSetupError(f"There is no harness of the type {type_id!r}.")
    return found


def kind_of(transport: Transport) -> TransportKind:
    """Return what clients of the API see of a transport: a chat, or a terminal."""
    return TransportKind.TERMINAL if transport is Transport.TERMINAL else TransportKind.HTTP


def _join(manifest: Manifest, folder: Path) -> HarnessType:
    parts = _implement(manifest, folder / manifest.id / MANIFEST)
    return HarnessType(
        id=manifest.id,
        display_name=manifest.display_name,
        transport=kind_of(manifest.transport),
        version=manifest.version,
        launch=parts.launch,
        client=parts.client,
        translator=parts.translator,
        session_of=parts.session_of,
        is_piece=parts.is_piece,
        program=manifest.install.program,
        image=manifest.image_name,
        families=manifest.models.families,
        needs_memory_bytes=manifest.limits.memory_mib * 1024**2,
    )


def _implement(manifest: Manifest, file: Path) -> Implementation:
    name = manifest.implementation or _BY_TRANSPORT[manifest.transport]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ManifestError(
            f"{file}: implementation: expected an importable module, but there is no {error.name}"
        ) from error
    implement = getattr(module, "implement", None)
    if implement is None:
        raise ManifestError(
            f"{file}: implementation: expected a function `implement(manifest)` in {name}"
        )
    parts = implement(manifest)
    if not isinstance(parts, Implementation):
        raise ManifestError(
            f"{file}: implementation: expected {name}.implement to return an Implementation"
        )
    return parts
