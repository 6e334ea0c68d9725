"""The Kubernetes runtime in this process, on the real cluster, in a namespace of its own."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest

from cattery.errors import SandboxError
from cattery.harnesses.port import HarnessType
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi
from cattery.sandboxes.kubernetes.following import Patience
from cattery.sandboxes.kubernetes.runtime import KubernetesRuntime
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.names import SKILLS_CLAIM
from cattery.sandboxes.port import (
    Isolation,
    Observation,
    Progress,
    RuntimeEvent,
    SandboxSpec,
    Step,
    StepName,
    Waiting,
)
from cattery.settings import KubernetesSettings, SandboxSettings
from tests.cluster.conftest import ROOT
from tests.cluster.kubectl import Kubectl
from tests.unit.sandbox_site import toy_type

UNCHECKED = Isolation(confined=True, summary="This test does not look at the network.")
SMALL = {"cpu_request": "20m", "cpu_limit": "1", "memory_request": "32Mi", "disk_request": "16Mi"}
"""So that many fit on a small node."""


@dataclass
class RuntimeSite:
    """One namespace, and the runtimes of as many workers as a test makes."""

    kubectl: Kubectl
    settings: KubernetesSettings
    registry: dict[str, HarnessType]
    sandboxes: SandboxSettings = field(default_factory=SandboxSettings)
    progress: list[Progress] = field(default_factory=list)
    runtimes: list[KubernetesRuntime] = field(default_factory=list)
    patience: Patience | None = None

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    @property
    def step_names(self) -> Sequence[StepName]:
        return tuple(StepName)

    @property
    def steps(self) -> list[Step]:
        return [one for one in self.progress if isinstance(one, Step)]

    @property
    def waits(self) -> list[str | None]:
        return [one.reason for one in self.progress if isinstance(one, Waiting)]

    @property
    def told(self) -> list[str]:
        return [one.reason for one in self.progress if isinstance(one, RuntimeEvent)]

    @property
    def messages(self) -> list[str]:
        """What the cluster said of all starts."""
        return [one.message for one in self.progress if isinstance(one, RuntimeEvent)]

    async def worker(self) -> KubernetesRuntime:
        async def network() -> Isolation:
            return UNCHECKED

        api = await ClusterApi.connect(self.settings, kubeconfig=self.kubectl.kubeconfig)
        made = KubernetesRuntime(
            api,
            ClusterState(api),
            self.settings,
            self.sandboxes,
            self.registry,
            network,
            patience=self.patience,
        )
        self.runtimes.append(made)
        return made

    async def start(self, spec: SandboxSpec) -> Observation:
        return await (await self.worker()).ensure_running(spec, self.report)

    async def report(self, progress: Progress) -> None:
        self.progress.append(progress)

    async def running(self, spec: SandboxSpec) -> Sequence[object]:
        selector = f"cattery.dev/harness-id={spec.harness_id}"
        pods = await asyncio.to_thread(self.items, "pods", "--selector", selector)
        return sorted(str(part(pod, "metadata")["uid"]) for pod in pods)

    async def put_skill(self, slug: str, text: str) -> None:
        """Write into the library's volume as the skill manager does, by a pod of its own."""
        await (await self.worker())._claims.have(())
        pod = _writer_pod(self.settings, slug, text)
        await asyncio.to_thread(self.kubectl.create, pod, namespace=self.namespace)
        name = str(part(pod, "metadata")["name"])
        wait = ("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
        await asyncio.to_thread(self.kubectl.run, "--namespace", self.namespace, *wait)
        await asyncio.to_thread(
            self.kubectl.run, "--namespace", self.namespace, "delete", "pod", name
        )

    def be_impatient(self, seconds: float) -> None:
        # A pod takes its time: it gets some seconds to be there at all.
        self.patience = Patience(start=seconds + 8)

    def items(self, *arguments: str) -> list[JsonObject]:
        return self.kubectl.items(*arguments, namespace=self.namespace)

    async def close(self) -> None:
        await asyncio.gather(*(one.close() for one in self.runtimes), return_exceptions=True)
        self.runtimes.clear()


@pytest.fixture(scope="session")
def toy_image(images: str, kubectl: Kubectl) -> str:
    """The image of the scripted harness, whose tag it returns."""
    assert kubectl
    name, folder = f"cattery-toy:{images}", "tests/cluster/toy_image"
    builder = os.environ.get("IMAGE_BUILD")
    flags = ["-f", f"{folder}/Dockerfile", "--build-arg", f"TAG={images}", "tests/unit"]
    command = [builder, "build", "-t", name] if builder else ["docker", "build", "-t", name]
    subprocess.run([*command, *flags], cwd=ROOT, check=True, timeout=600)
    if not builder:
        load = ["kind", "load", "docker-image", "--name", "cattery", name]
        subprocess.run(load, check=True, timeout=600)
    return images


@pytest.fixture(scope="session")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace that is as strict as the installation's, and gone afterwards."""
    name = f"cattery-test-{uuid4().hex[:8]}"
    level = {"pod-security.kubernetes.io/enforce": "restricted"}
    metadata: JsonObject = {"name": name, "labels": {**level}}
    kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield name
    kubectl.run("delete", "namespace", name, "--timeout=120s", timeout=150)


@pytest.fixture(name="site")
async def open_site(kubectl: Kubectl, namespace: str, toy_image: str) -> AsyncIterator[RuntimeSite]:
    settings = KubernetesSettings.model_validate(
        {"namespace": namespace, "image_tag": toy_image, "start_timeout": timedelta(minutes=2)}
        | SMALL
    )
    made = RuntimeSite(kubectl, settings, {"toy": toy_type("python3")})
    yield made
    worker = await made.worker()
    for one in await worker.observe_all():
        await patiently(partial(worker.remove, one.harness_id))
    await made.close()


async def patiently[T](act: Callable[[], Awaitable[T]]) -> T:
    """Do what a workflow does: try again what may succeed later, for five minutes."""
    async with asyncio.timeout(300):
        while True:
            try:
                return await act()
            except SandboxError as error:
                if error.permanent:
                    raise
                await asyncio.sleep(1)


def part(item: JsonObject, name: str) -> JsonObject:
    """Return an object that is part of another."""
    found: Json = item[name]
    assert isinstance(found, dict)
    return found


def _writer_pod(settings: KubernetesSettings, slug: str, text: str) -> JsonObject:
    code = (
        "import pathlib, sys\n"
        "folder = pathlib.Path('/data') / sys.argv[1]\n"
        "folder.mkdir(exist_ok=True)\n"
        "(folder / 'SKILL.md').write_text(sys.argv[2])"
    )
    restricted: JsonObject = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    user: JsonObject = {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"writer-{uuid4().hex[:8]}"},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": user | {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": f"cattery-toy:{settings.image_tag}",
                    "command": ["python3", "-c", code, slug, text],
                    "securityContext": restricted,
                    "volumeMounts": [{"name": "skills", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "skills", "persistentVolumeClaim": {"claimName": SKILLS_CLAIM}}],
        },
    }
