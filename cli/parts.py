"""Cattery's own processes as `cattery up` runs them: the gateway, the API and the workers."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.configuration import UpSettings, read_jwt_secret
from cli.environment import api_environment, gateway_environment, worker_environment
from cli.home import Home
from cli.probes import http_answers
from cli.supervisor import Part

_METRICS_ADDRESS = "CATTERY_WORKER_METRICS_ADDRESS"


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the processes need to know of each other.

    Attributes:
        database_url: libpq URL. Secret where it carries a password.
        demo_model: whether the built-in demo model answers.
    """

    home: Home
    settings: UpSettings
    tools: Path
    database_url: str
    temporal_address: str
    temporal_ui_url: str | None
    gateway_port: int
    demo_model: bool

    def shared(self) -> dict[str, str]:
        """Return the variables that each of our processes gets."""
        return {
            "CATTERY_HOME": str(self.home.folder),
            "CATTERY_TOOLS": str(self.tools),
            "CATTERY_LOG_FORMAT": "json",
            "DATABASE_URL": self.database_url,
            "PYTHONUNBUFFERED": "1",
        }

    def orchestration(self) -> dict[str, str]:
        """Return the variables of those that talk to Temporal and know sandboxes."""
        return {
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": self.settings.temporal_namespace,
            "CATTERY_GATEWAY_URL": f"http://127.0.0.1:{self.gateway_port}",
        }


def gateway_part(wiring: Wiring, environ: Mapping[str, str]) -> Part:
    """Describe the model gateway."""
    port = wiring.gateway_port
    own = wiring.shared() | {
        "CATTERY_GATEWAY_HOST": "127.0.0.1",
        "CATTERY_GATEWAY_PORT": str(port),
    }
    return Part(
        name="gateway",
        command=_command("gateway"),
        env=gateway_environment(environ, own),
        is_ready=_answers("127.0.0.1", port, "/healthz"),
        port=port,
    )


def api_part(wiring: Wiring, environ: Mapping[str, str]) -> Part:
    """Describe the HTTP process."""
    settings = wiring.settings
    jwt_secret = read_jwt_secret(wiring.home, environ)
    own = {
        **wiring.shared(),
        **wiring.orchestration(),
        "CATTERY_HOST": settings.host,
        "CATTERY_PORT": str(settings.port),
        "CATTERY_JWT_SECRET": jwt_secret,
        "CATTERY_DEMO_MODEL": "1" if wiring.demo_model else "0",
    }
    if settings.web_dist is not None:
        own["CATTERY_WEB_DIST"] = str(settings.web_dist.absolute())
    if wiring.temporal_ui_url is not None:
        own["CATTERY_TEMPORAL_UI_URL"] = wiring.temporal_ui_url
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::", "") else settings.host  # noqa: S104
    return Part(
        name="api",
        command=_command("api"),
        env=api_environment(environ, own),
        is_ready=_answers(host, settings.port, "/readyz"),
        port=settings.port,
    )


def worker_part(wiring: Wiring, environ: Mapping[str, str], number: int) -> Part:
    """Describe one worker; it touches its ready file once it polls."""
    name = f"worker-{number}"
    ready_file = wiring.home.run_folder / f"{name}.ready"
    own = {
        **wiring.shared(),
        **wiring.orchestration(),
        "CATTERY_WORKER_READY_FILE": str(ready_file),
        # Nobody takes its work over while everything stops.
        "CATTERY_WORKER_GRACEFUL_SHUTDOWN": "PT3S",
        **_metrics_address(environ, number),
    }

    async def is_ready() -> bool:
        return ready_file.exists()

    return Part(
        name=name,
        command=_command("worker"),
        env=worker_environment(environ, own),
        is_ready=is_ready,
        prepare=lambda: ready_file.unlink(missing_ok=True),
    )


def _metrics_address(environ: Mapping[str, str], number: int) -> Mapping[str, str]:
    """Give each worker a port of its own for metrics: the first has the one that was named."""
    host, _, port = environ.get(_METRICS_ADDRESS, "").rpartition(":")
    if not port.isdecimal():
        return {}
    return {_METRICS_ADDRESS: f"{host}:{int(port) + number - 1}"}


def _command(name: str) -> list[str]:
    # -P: a folder `cli` in the working directory must not stand in for ours.
    return [sys.executable, "-P", "-m", "cli.main", name]


def _answers(host: str, port: int, path: str) -> Callable[[], Awaitable[bool]]:
    return lambda: http_answers(host, port, path)
