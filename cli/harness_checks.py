"""Which of the harnesses that this site offers are installed here, and whether they run."""

from cattery.harnesses.registry import load_registry
from cattery.sandboxes.local.tools import Installation, plan_installation
from cattery.settings import HarnessSettings, HomeSettings
from cli.configuration import read_settings
from cli.errors import CommandError


def plan_harnesses(home: HomeSettings) -> list[Installation]:
    """Say of each harness that this site offers how it is installed.

    Raises:
        ManifestError: a manifest is wrong.
        SandboxSetupError: this machine cannot run them.
    """
    settings = read_settings(HarnessSettings)
    registry = load_registry(settings)
    tools = home.tools_folder.absolute()
    return [
        plan_installation(registry.manifests[name], images=settings.folder, tools=tools)
        for name in registry
    ]


def require_harnesses(home: HomeSettings) -> list[str]:
    """Check that something can run; say in a sentence each what cannot, for want of a program.

    Raises:
        CommandError: no harness is installed at all.
    """
    plans = plan_harnesses(home)
    missing = [plan.manifest for plan in plans if not plan.program.exists()]
    if len(missing) == len(plans):
        names = ", ".join(manifest.display_name for manifest in missing)
        raise CommandError(
            f"No harness is installed in {home.tools_folder} ({names}). Run `make install`, which "
            "installs the pinned ones there, or point CATTERY_TOOLS to the folder that has them."
        )
    return [
        f"{manifest.display_name} is not installed and is not offered. To have it: make install"
        for manifest in missing
    ]


def examine_harness(plan: Installation) -> tuple[bool, str]:
    """Say whether a harness is well, and in words how it is; asks the program, which takes seconds.

    Raises:
        SandboxSetupError: it does not run.
    """
    if not plan.program.exists():
        return False, f"is not installed in {plan.tools}. Run: make install"
    found = plan.read_version()
    if not plan.is_expected(found):
        return False, f"is {found}, tested with {plan.manifest.version}. Run: make install"
    if not plan.is_current:
        return False, f"{plan.manifest.version} was installed otherwise than now. Run: make install"
    return True, f"{plan.manifest.version} in {plan.tools}"
