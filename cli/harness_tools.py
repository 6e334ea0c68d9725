"""Installs the pinned harnesses into the tools folder; `scripts/install.sh` runs this module."""

import subprocess
import sys
from pathlib import Path

from cattery.errors import CatteryError
from cattery.harnesses.registry import REGISTRY
from cattery.sandboxes.local.tools import Installation, plan_installation
from cli.configuration import read_home
from cli.console import Console
from cli.errors import CommandError

_IMAGES = Path(__file__).resolve().parent.parent / "harness_images"


def install_harnesses() -> None:
    """Install each harness from npm unless it is there already; check that it runs.

    Raises:
        CommandError: npm failed; its words are in the message.
        SandboxSetupError: a harness cannot run on this machine.
    """
    _, settings = read_home()
    for name, harness in REGISTRY.items():
        if harness.npm_package is None:
            continue
        plan = plan_installation(name, images=_IMAGES, tools=settings.tools_folder.absolute())
        if not plan.is_current:
            Console().say(f"install: {harness.display_name} {harness.version} into {plan.folder}")
            _install(plan)


def _install(plan: Installation) -> None:
    plan.prepare()
    result = subprocess.run(
        plan.command,
        cwd=plan.folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if result.returncode != 0:
        raise CommandError(
            f"{plan.harness_type} could not be installed. Check the network or the npm registry, "
            f"then repeat. npm said:\n{(result.stderr or result.stdout).strip()}"
        )
    plan.finish()
    plan.read_version()


if __name__ == "__main__":
    try:
        install_harnesses()
    except CatteryError as error:
        sys.exit(f"install: {error.message}")
