"""Installs the pinned harnesses into the tools folder; `scripts/install.sh` runs this module."""

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cattery.errors import CatteryError
from cattery.harnesses.registry import HarnessRegistry, load_registry
from cattery.sandboxes.local.tools import (
    BRIDGES,
    Installation,
    install_bridges,
    plan_installation,
)
from cattery.settings import HarnessSettings
from cli.configuration import read_home, read_settings
from cli.console import Console
from cli.errors import CommandError

PROGRAMS = ".programs"
"""In the tools folder: what is installed, a path a line, for `scripts/install.sh` to look at."""
_AT_ONCE = 2
"""They wait for the network more than for a processor."""
_SPEAKING = threading.Lock()


def install_harnesses() -> None:
    """Install each harness that this site offers unless it is there already; check that it runs.

    Raises:
        CommandError: some could not be installed, the message says which and why. The others are.
        ManifestError: a manifest is wrong.
        SandboxSetupError: this machine cannot run them.
    """
    _, settings = read_home()
    tools = settings.tools_folder.absolute()
    harnesses = read_settings(HarnessSettings)
    registry = load_registry(harnesses)
    plans = [
        plan_installation(registry.manifests[name], images=harnesses.folder, tools=tools)
        for name in registry
    ]
    tools.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(tools):
        _install_bridges(registry, harnesses.folder.parent / BRIDGES, tools)
        # Those that share another's installation come after it.
        wanted = [plan for plan in plans if not plan.is_current]
        own = [plan for plan in wanted if plan.manifest.install.shares is None]
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            failures = [text for text in pool.map(_try_install, own) if text]
        failures += [text for plan in wanted if plan not in own for text in _check_shared(plan)]
    if failures:
        raise CommandError("\n".join(failures))
    (tools / PROGRAMS).write_text("".join(f"{plan.program}\n" for plan in plans))


@contextmanager
def _locked(tools: Path) -> Iterator[None]:
    """Let one installer at a time into a tools folder, which several clones may share."""
    with (tools / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"install: waiting for another installation into {tools}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install_bridges(registry: HarnessRegistry, source: Path, tools: Path) -> None:
    if not any(registry.manifests[name].install.bridges for name in registry):
        return
    if install_bridges(source, tools):
        _say(f"install: our bridges into {tools / BRIDGES}")


def _try_install(plan: Installation) -> str | None:
    """Install one harness; return in words what went wrong."""
    name, version = plan.manifest.display_name, plan.manifest.version
    begun = time.monotonic()
    _say(f"install: {name} {version} into {plan.folder}")
    try:
        plan.prepare()
        for command in plan.commands():
            _run(plan, command.argv, command.folder, command.source)
        plan.finish()
        _check_version(plan)
    except CatteryError as error:
        return error.message
    except OSError as error:
        return f"{name} could not be installed into {plan.folder}: {error}."
    _say(f"install: {name} {version} is there, {time.monotonic() - begun:.0f} s")
    return None


def _say(text: str) -> None:
    """Print a line whole, whoever else prints one meanwhile."""
    with _SPEAKING:
        Console().say(text)


def _run(plan: Installation, argv: tuple[str, ...], folder: Path, source: str) -> None:
    result = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if result.returncode != 0:
        raise CommandError(
            f"{plan.manifest.id} could not be installed. Check the network or the {source} "
            "registry, then repeat; or leave it out, by naming the others in "
            f"CATTERY_HARNESS_TYPES. {source} said:\n{(result.stderr or result.stdout).strip()}"
        )


def _check_shared(plan: Installation) -> Iterator[str]:
    if not plan.is_current:
        yield (
            f"{plan.manifest.id} shares the installation of {plan.manifest.install.shares}, which "
            f"has no {plan.program}. Add {plan.manifest.install.shares} to CATTERY_HARNESS_TYPES."
        )


def _check_version(plan: Installation) -> None:
    found = plan.read_version()
    if not plan.is_expected(found):
        raise CommandError(
            f"{plan.manifest.id} was installed, but says that it is {found!r} and not "
            f"{plan.manifest.version}: its manifest and its pinned packages differ."
        )


if __name__ == "__main__":
    try:
        install_harnesses()
    except CatteryError as error:
        sys.exit(f"install: {error.message}")
