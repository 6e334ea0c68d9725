"""What a harness needs of a sandbox, beside what a site gives to one."""

from cattery.errors import SandboxSetupError
from cattery.harnesses.port import HarnessType

_MIB = 1024**2


def require_memory(harness: HarnessType, memory_bytes: int) -> None:
    """Refuse a sandbox whose harness would be ended for its memory before any work.

    Raises:
        SandboxSetupError: it needs more than the site gives.
    """
    if memory_bytes >= harness.needs_memory_bytes:
        return
    raise SandboxSetupError(
        f"{harness.display_name} alone needs {harness.needs_memory_bytes // _MIB} MiB of memory, "
        f"and sandboxes of this site get {memory_bytes // _MIB}. An operator can give them more: "
        "CATTERY_MEMORY_BYTES."
    )
