"""How an ACP agent is started: our bridge, with the command of the manifest behind it."""

from dataclasses import replace

from cattery.harnesses.launching import build_launch
from cattery.harnesses.manifest import Manifest, ManifestError
from cattery.harnesses.port import Launch, LaunchInput


def launch_acp(manifest: Manifest, given: LaunchInput) -> Launch:
    """Build the launch. The bridge's Python is that of the type's own installation."""
    if manifest.launch is None:
        raise ManifestError(f"{manifest.id}: launch: expected a table with `argv`")
    agent = build_launch(manifest, manifest.launch, given)
    installation = manifest.install.shares or manifest.id
    return replace(
        agent,
        argv=(
            f"{given.tools}/{installation}/venv/bin/python",
            *("-P", "-m", "bridges.acp", "--host", given.host, "--port", str(given.port)),
            *("--", *agent.argv),
        ),
        env={
            "LANG": "C.UTF-8",
            **agent.env,
            "PYTHONPATH": given.tools,
            "PYTHONDONTWRITEBYTECODE": "1",
            "BRIDGE_PASSWORD": given.password,
        },
    )
