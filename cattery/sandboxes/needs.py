"""What a harness needs of its sandbox: checked before one is made that could never work."""

from cattery.catalog import family_of
from cattery.errors import SandboxSetupError
from cattery.harnesses.port import HarnessType
from cattery.sandboxes.port import SandboxSpec

_MIB = 1024**2


def require_needs(harness: HarnessType, spec: SandboxSpec, memory_bytes: int) -> None:
    """Refuse a sandbox whose harness could not work in it.

    A harness may be made with any model (contract/api.md), so that this is where it is said.

    Raises:
        SandboxSetupError: it does not speak to the model, or needs more memory than a site gives.
    """
    family = family_of(spec.model)
    if family not in harness.families:
        spoken = " and ".join(one.label for one in harness.families)
        raise SandboxSetupError(
            f"{harness.display_name} speaks to {spoken} models only, and {spec.model} is one of "
            f"{family.label}'s. Make another harness, with a model that fits or of another type."
        )
    if memory_bytes < harness.needs_memory_bytes:
        raise SandboxSetupError(
            f"{harness.display_name} alone needs {harness.needs_memory_bytes // _MIB} MiB of "
            f"memory, and sandboxes of this site get {memory_bytes // _MIB}. An operator can give "
            "them more: CATTERY_MEMORY_BYTES."
        )
