"""A Docker engine as the tests use it, and Cattery in its containers."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = "cattery-test"
_UP_SECONDS = 900
_COMMAND_SECONDS = 300
_BACK_WITHIN = 90.0
_POLL = 0.2


class NoEngineError(Exception):
    """There is no engine to test with; the message says how to have one."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers.

    Attributes:
        environ: what its client needs in its environment, beside that of the tests.
        address: where this machine reaches published ports.
        loader: a command that brings images into it; without one they are built there.
    """

    environ: dict[str, str]
    address: str
    loader: str | None = None

    @property
    def bind(self) -> str:
        """The address that ports have to be published at, to be reached."""
        return "127.0.0.1" if self.address == "127.0.0.1" else "0.0.0.0"

    def docker(self, *arguments: str, timeout: float = _COMMAND_SECONDS) -> str:
        """Run the client; it must succeed."""
        return run(["docker", *arguments], self.environ, timeout=timeout)

    def has_image(self, name: str) -> bool:
        return bool(self.docker("image", "ls", "--quiet", name).strip())

    def image_size(self, name: str) -> int:
        return int(self.docker("image", "inspect", "--format", "{{.Size}}", name))

    def load(self, name: str) -> None:
        """Bring an image that another builder made into the engine."""
        if self.loader:
            run([self.loader, name], self.environ, timeout=_UP_SECONDS)


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine sees it; moments as it writes them, which sort as text."""

    id: str
    pid: int
    started_at: str
    health: str


def find_engine() -> Engine:
    """Start the engine that the environment names, or take the one that answers.

    Raises:
        NoEngineError: there is none.
    """
    environ = dict(os.environ)
    up = environ.get("CATTERY_DOCKER_UP")
    if up:
        script = 'eval "$("$0")"; env -0'
        said = run(["bash", "-euc", script, up], environ, timeout=_UP_SECONDS)
        started = dict(line.split("=", 1) for line in said.split("\0") if "=" in line)
        environ |= {name: value for name, value in started.items() if name.startswith("DOCKER_")}
    try:
        run(["docker", "info"], environ)
        run(["docker", "compose", "version"], environ)
    except (AssertionError, FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise NoEngineError(
            "needs a Docker engine with Compose: install and start both, so that `docker info` and "
            "`docker compose version` answer, or set CATTERY_DOCKER_UP to a command that starts one"
        ) from error
    return Engine(
        environ,
        environ.get("CATTERY_DOCKER_ADDRESS", "127.0.0.1"),
        environ.get("CATTERY_DOCKER_LOAD"),
    )


class Installation:
    """Cattery as `scripts/compose.sh up` runs it, with its own settings and secrets."""

    def __init__(
        self, engine: Engine, root: Path, folder: Path, settings: Mapping[str, str]
    ) -> None:
        self.engine = engine
        self._root = root
        self._secrets = folder / "secrets"
        self._env_file = folder / "settings"
        self._env_file.write_text(
            fill_example(root, {**settings, "CATTERY_SECRETS": str(self._secrets)})
        )
        self._environ = {
            **engine.environ,
            "CATTERY_ENV": str(self._env_file),
            "COMPOSE_PROJECT_NAME": PROJECT,
        }

    @property
    def url(self) -> str:
        return f"http://{self.engine.address}:8080"

    @property
    def password(self) -> str:
        return (self._secrets / "admin-password").read_text()

    def up(self) -> float:
        """Start everything as an operator does it; returns how long it took until all was well."""
        began = time.monotonic()
        run(["scripts/compose.sh", "up"], self._environ, cwd=self._root, timeout=_UP_SECONDS)
        return time.monotonic() - began

    def down(self, *, volumes: bool = False) -> float:
        """Stop and remove every container, and with them the data only where that is said."""
        began = time.monotonic()
        self.compose("down", *(["--volumes"] if volumes else []))
        return time.monotonic() - began

    def compose(self, *arguments: str) -> str:
        command = ["docker", "compose", "--env-file", str(self._env_file), *arguments]
        return run(command, self._environ, cwd=self._root)

    def crash(self, service: str) -> None:
        """Kill a container's first process, and have it started again.

        By way of the process where this machine has it: a container that the client kills counts as
        stopped by a person, and only one that dies is started again by its restart policy.
        """
        container = self.inspect(service)
        cgroup = Path(f"/proc/{container.pid}/cgroup")
        if cgroup.exists() and container.id in cgroup.read_text():
            os.kill(container.pid, signal.SIGKILL)
        else:
            self.compose("kill", service)
            self.compose("up", "--detach", "--no-deps", service)

    def wait_until_healthy(self, service: str, *, started_after: str) -> None:
        """Wait until a container that started later than another moment is well."""
        deadline = time.monotonic() + _BACK_WITHIN
        while True:
            container = self.inspect(service)
            if container.started_at > started_after and container.health == "healthy":
                return
            assert time.monotonic() < deadline, f"{service} is not back: {container}"
            time.sleep(_POLL)

    def inspect(self, service: str) -> Container:
        """Look at a service's one container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        (found,) = json.loads(self.engine.docker("inspect", container))
        state = found["State"]
        return Container(found["Id"], state["Pid"], state["StartedAt"], state["Health"]["Status"])

    def tell(self) -> str:
        """Return what every container is and said last."""
        return self.compose("ps", "--all") + self.compose("logs", "--tail", "60")


def fill_example(root: Path, settings: Mapping[str, str]) -> str:
    """Return .env.example with other values for some of its variables."""
    text = (root / ".env.example").read_text()
    for name, value in settings.items():
        text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert count == 1, f"{name} stands {count} times in .env.example"
    return text


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    timeout: float = _COMMAND_SECONDS,
) -> str:
    """Run a command that must succeed; returns what it printed."""
    result = subprocess.run(
        command,
        env=dict(environ),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, f"{list(command)}: {result.stdout}{result.stderr}"[-6_000:]
    return result.stdout
