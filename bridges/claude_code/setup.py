"""What the bridge was started with. Knows nothing of the SDK, which takes its time to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_MODES: Final = ("acceptEdits", "default", "plan", "bypassPermissions")
DEFAULT_MODE: Final = "acceptEdits"


@dataclass(frozen=True, slots=True)
class Setup:
    """The bridge's settings.

    Attributes:
        workspace: the folder that the agent works in.
        home: HOME, writable.
        model: id of the model.
        mode: Claude Code's permission mode.
    """

    workspace: Path
    home: Path
    model: str | None
    mode: str

    def check_home(self) -> None:
        """Find out that transcripts can be kept.

        Raises:
            OSError: they cannot.
        """
        folder = self.home / ".claude" / "projects"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".cattery-probe"
        probe.write_text("")
        probe.unlink()


def read_setup(environ: Mapping[str, str], *, workspace: Path) -> Setup:
    """Read the bridge's environment. `CLAUDE_PERMISSION_MODE` is the user's to set."""
    mode = environ.get("CLAUDE_PERMISSION_MODE", "")
    return Setup(
        workspace=workspace,
        home=Path(environ["HOME"]),
        model=environ.get("MODEL") or None,
        mode=mode if mode in _MODES else DEFAULT_MODE,
    )
