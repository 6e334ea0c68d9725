"""The data folder of a single-machine installation: what lies where, and who may look.

Everything that `cattery up` keeps is beneath `CATTERY_HOME`, closed to other users. Secrets are
made once, each in a file of its own, and read again on every start.
"""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError

_REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Home:
    """The paths beneath one data folder."""

    folder: Path

    @property
    def lock_file(self) -> Path:
        """Locked by the one `cattery up` that uses this folder; holds its pid."""
        return self.folder / "up.lock"

    @property
    def state_file(self) -> Path:
        """What has to stay the same from one start to the next, such as ports."""
        return self.folder / "state.json"

    @property
    def run_file(self) -> Path:
        """What runs now: the supervisor and its parts, by pid."""
        return self.folder / "run.json"

    @property
    def logs(self) -> Path:
        """One log per part."""
        return self.folder / "logs"

    @property
    def run_folder(self) -> Path:
        """Short-lived files, such as a worker's sign that it is ready."""
        return self.folder / "run"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL's data directory."""
        return self.folder / "postgres"

    @property
    def temporal_database(self) -> Path:
        """The embedded Temporal server's SQLite file."""
        return self.folder / "temporal" / "temporal.db"

    def prepare(self) -> None:
        """Make the folder and those in it, mode 0700; safe to repeat.

        Raises:
            CommandError: it cannot be made or written to, or is somebody's open folder in use.
        """
        try:
            self._close_to_others()
            for path in (self.logs, self.run_folder, self.temporal_database.parent, self._secrets):
                path.mkdir(mode=0o700, exist_ok=True)
            probe = self.folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise CommandError(
                f"The data folder {self.folder} cannot be used ({error.strerror}). "
                "Make it writable for this user, or choose another: CATTERY_HOME=/some/folder"
            ) from error

    def secret(self, name: str) -> str:
        """Return a secret of 256 bits, made on first use and kept in a file of mode 0600."""
        path = self._secrets / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            if kept := path.read_text().strip():
                return kept
            path.unlink()  # a start was cut off between making and filling it
            return self.secret(name)
        made = secrets.token_hex(32)
        with os.fdopen(descriptor, "w") as file:
            file.write(made)
            file.flush()
            os.fsync(descriptor)
        return made

    @property
    def _secrets(self) -> Path:
        return self.folder / "secrets"

    def _close_to_others(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(self.folder.stat().st_mode) == 0o700:
            return
        # Never close a folder that is evidently something else, such as a user's HOME.
        if any(self.folder.iterdir()) and not self.state_file.exists():
            raise CommandError(
                f"The data folder {self.folder} holds other things and is open to other users. "
                "Choose a folder for Cattery alone: CATTERY_HOME=/some/folder"
            )
        self.folder.chmod(0o700)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file so that a reader sees the old text or the new, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o600)
    draft.replace(path)


def default_tools_folder() -> Path | None:
    """Return the clone's tools folder (`make up` fills it); `None` outside of a clone."""
    return _REPOSITORY / ".tools" if (_REPOSITORY / "Makefile").exists() else None


def default_web_dist() -> Path | None:
    """Return the clone's built web UI, where there is one."""
    built = _REPOSITORY / "web" / "dist"
    return built if (built / "index.html").exists() else None
