"""Every kind of harness that the contract names: those that run, and those that are still to come.

This is the one place that knows which implementation belongs to a `type`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cattery.errors import BadRequestError, SandboxSetupError
from cattery.harnesses.opencode.client import OpencodeClient
from cattery.harnesses.opencode.launch import NPM_PACKAGE, VERSION, launch_opencode
from cattery.harnesses.opencode.translator import OpencodeTranslator, session_of
from cattery.harnesses.port import HarnessType, TransportKind

DEFAULT_TYPE = "opencode"


@dataclass(frozen=True, slots=True)
class PlannedHarnessType:
    """A type of the contract that a harness may be made of, but whose sandbox cannot start yet."""

    id: str
    display_name: str
    transport: TransportKind


REGISTRY: Mapping[str, HarnessType] = MappingProxyType(
    {
        "opencode": HarnessType(
            id="opencode",
            display_name="opencode",
            transport=TransportKind.HTTP,
            version=VERSION,
            npm_package=NPM_PACKAGE,
            launch=launch_opencode,
            client=OpencodeClient,
            translator=OpencodeTranslator,
            session_of=session_of,
        )
    }
)

PLANNED: Mapping[str, PlannedHarnessType] = MappingProxyType(
    {
        planned.id: planned
        for planned in (
            PlannedHarnessType("claude-code", "Claude Code", TransportKind.HTTP),
            PlannedHarnessType("codex", "Codex", TransportKind.TERMINAL),
            PlannedHarnessType("hermes", "Hermes", TransportKind.TERMINAL),
        )
    }
)


def transport_of(type_id: str) -> TransportKind:
    """Return how the platform talks to harnesses of a type.

    Raises:
        BadRequestError: there is no such type.
    """
    known = REGISTRY.get(type_id) or PLANNED.get(type_id)
    if known is None:
        names = ", ".join(sorted({*REGISTRY, *PLANNED}))
        raise BadRequestError(f"There is no harness type of that name. Choose one of: {names}.")
    return known.transport


def require_runnable(type_id: str) -> HarnessType:
    """Return the implementation of a type, for whoever starts or drives one.

    Raises:
        SandboxSetupError: the type is known but cannot run here yet, or is not known at all.
    """
    runnable = REGISTRY.get(type_id)
    if runnable is not None:
        return runnable
    planned = PLANNED.get(type_id)
    if planned is not None:
        raise SandboxSetupError(
            f"{planned.display_name} harnesses cannot run in this version of Cattery yet. "
            "Make a harness of the type opencode instead."
        )
    raise SandboxSetupError(f"This version of Cattery knows no harness type {type_id!r}.")
