"""Breaks parts of the cluster on purpose, by the command that `CATTERY_CLUSTER_FAULT` names.

It takes `apiserver stop|start`, `controller stop|start`, `kubelet stop|start` and
`pod kill NAMESPACE/NAME`, and mends whatever it broke.
"""

import asyncio
import os
import subprocess
from dataclasses import dataclass

import pytest

from tests.cluster.kubectl import Kubectl, KubectlError
from tests.conformance import eventually


@dataclass
class Faults:
    """The command, and how often the API server was away."""

    command: str
    kubectl: Kubectl
    outages: int = 0

    async def take_api_server_away(self, seconds: float) -> None:
        """Crash the API server, and start it again after a while.

        The agent-sandbox controller ends itself without it, and the kubelet waits longer before
        each restart: it gets a fresh pod, so that many outages in a row do not keep it away.
        """
        await asyncio.to_thread(self.run, "apiserver", "stop")
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(self.run, "apiserver", "start")
            await eventually(lambda: asyncio.to_thread(self._renew_controller), seconds=180)
        self.outages += 1

    def _renew_controller(self) -> bool:
        """Give it a fresh pod; false where the cluster is not there yet."""
        place = ("--namespace", "agent-sandbox-system")
        pods = ("pods", "--selector", "app=agent-sandbox-controller")
        rollout = ("rollout", "status", "deployment/agent-sandbox-controller", "--timeout=60s")
        try:
            self.kubectl.run(*place, "delete", *pods, "--wait=false")
            self.kubectl.run(*place, *rollout)
        except KubectlError:
            return False
        return True

    def run(self, *arguments: str) -> None:
        result = subprocess.run(
            [self.command, *arguments], capture_output=True, text=True, check=False, timeout=180
        )
        assert result.returncode == 0, f"{' '.join(arguments)}: {result.stderr[-1_000:]}"


def find_faults(kubectl: Kubectl) -> Faults:
    """Return the means to break this cluster, or skip the test."""
    command = os.environ.get("CATTERY_CLUSTER_FAULT")
    if not command:
        pytest.skip("needs a cluster that can be broken on purpose: set CATTERY_CLUSTER_FAULT")
    return Faults(command, kubectl)
