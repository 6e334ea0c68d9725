"""The cluster as a person sees it: kubectl, with its answers as objects."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from cattery.jsontypes import JsonObject

SYSTEM = "cattery-system"
SANDBOXES = "cattery-sandboxes"


class KubectlError(AssertionError):
    """kubectl failed; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl and the cluster that it speaks to."""

    program: str
    kubeconfig: Path

    def run(self, *arguments: str, given: str = "", timeout: float = 120) -> str:
        """Run it and return what it printed.

        Raises:
            KubectlError: it failed.
        """
        result = subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if result.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def get(self, *arguments: str, namespace: str = SYSTEM) -> JsonObject:
        """Get an object, or a list of them (`items`)."""
        found: JsonObject = json.loads(
            self.run("--namespace", namespace, "get", *arguments, "--output", "json")
        )
        return found

    def items(self, *arguments: str, namespace: str = SYSTEM) -> list[JsonObject]:
        """Get the objects of a list."""
        found = self.get(*arguments, namespace=namespace)["items"]
        assert isinstance(found, list)
        return [item for item in found if isinstance(item, dict)]

    def try_create(self, manifest: JsonObject, *, namespace: str = SANDBOXES) -> None:
        """Have the cluster judge an object, admission included, without making it.

        Raises:
            KubectlError: it refuses the object.
        """
        self.run(
            *("--namespace", namespace, "create", "--dry-run=server", "--filename", "-"),
            given=json.dumps(manifest),
        )

    def create(self, manifest: JsonObject, *, namespace: str = SANDBOXES) -> None:
        """Make an object."""
        self.run("--namespace", namespace, "create", "--filename", "-", given=json.dumps(manifest))

    def execute(self, target: str, *command: str, namespace: str = SYSTEM) -> str:
        """Run a command in a pod, such as `deployment/cattery-api`."""
        return self.run("--namespace", namespace, "exec", target, "--", *command)

    def logs(self, target: str, *arguments: str, namespace: str = SYSTEM) -> str:
        """Return what a pod's containers wrote."""
        return self.run("--namespace", namespace, "logs", target, "--all-containers", *arguments)

    def describe_namespaces(self) -> str:
        """Return what a person would look at first when something failed."""
        parts = []
        for namespace in (SYSTEM, SANDBOXES):
            for words in (
                ("get", "sandboxes,pods,persistentvolumeclaims", "--output", "wide"),
                ("get", "events", "--sort-by", ".lastTimestamp"),
            ):
                try:
                    parts.append(self.run("--namespace", namespace, *words)[-8_000:])
                except (KubectlError, subprocess.TimeoutExpired) as error:
                    parts.append(str(error))
        return "\n".join(parts)

    def recent_logs(self) -> str:
        """Return the last lines of our own processes."""
        parts = []
        for name in ("api", "worker", "gateway"):
            try:
                parts.append(self.logs(f"deployment/cattery-{name}", "--tail", "40"))
            except (KubectlError, subprocess.TimeoutExpired) as error:
                parts.append(str(error))
        return "\n".join(parts)
