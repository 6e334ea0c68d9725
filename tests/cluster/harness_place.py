"""The deployed Cattery with the bench's model behind its gateway, and harnesses in its pods."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from cattery.harnesses.manifest import Manifest, Transport
from cattery.jsontypes import Json, JsonObject
from tests.cluster.harness_terminals import TERMINALS
from tests.cluster.kubectl import SANDBOXES, SYSTEM, Kubectl, KubectlError
from tests.e2e.client import Client, objects_of, text_of
from tests.harness_bench.__main__ import run_scenario, scenarios_of
from tests.harness_bench.model import ScriptedModel
from tests.harness_bench.scenario import Scenario, Subject
from tests.harness_bench.site import model_for
from tests.harness_bench.table import Cell

PATIENCE = 180.0
"""For a pod on a node with two cores that does other things as well."""
SLOWER = 2.0
"""What a scenario may take in a pod, beside what it may take on this machine."""
_STEP = ("started", "finished")
_GATEWAY = "deployment/cattery-gateway"
_POLICY = "harness-bench-model"


@dataclass(frozen=True, slots=True)
class PodSandboxes:
    """Sandboxes as pods."""

    kubectl: Kubectl

    async def kill_program(self, harness_id: str) -> None:
        """Kill every process of the container; its first one ends with them."""
        name, _ = await asyncio.to_thread(self.pod_of, harness_id)
        with contextlib.suppress(KubectlError):  # the shell that kills may go with the others
            await asyncio.to_thread(self.run, name, "sh", "-c", "kill -9 -1")

    def run(self, pod: str, *command: str) -> str:
        """Run a command in a sandbox, beside its harness."""
        return self.kubectl.execute(f"pod/{pod}", *command, namespace=SANDBOXES)

    def pod_of(self, harness_id: str) -> tuple[str, str]:
        """Return the name and the address of the pod that runs a harness now."""
        selector = f"cattery.dev/harness-id={harness_id}"
        pods = self.kubectl.items("pods", "--selector", selector, namespace=SANDBOXES)
        assert len(pods) == 1, pods
        return text_of(pods[0]["metadata"], "name"), text_of(pods[0]["status"], "podIP")


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A signed-in user of the deployed site, for any number of harnesses."""

    kubectl: Kubectl
    client: Client
    model: ScriptedModel

    @asynccontextmanager
    async def subject(self, manifest: Manifest) -> AsyncIterator[tuple[Subject, list[str]]]:
        """Make a harness in a project of its own; everything goes at the end.

        Yields the harness, ready, and what each step of its start took.
        """
        project_id = await self.client.create_project(f"Cluster {manifest.id}")
        body: Json = {
            "harness_name": manifest.display_name,
            "model": model_for(manifest),
            "type": manifest.id,
            "env_vars": {},
        }
        made = await self.client.post(f"/projects/{project_id}/harnesses", body)
        harness_id = text_of(made, "harness_id")
        try:
            took = _durations(await self._wait_until_ready(harness_id))
            took.append(f"files {await self._open_files(project_id):.1f} s")
            sandboxes = PodSandboxes(self.kubectl)
            yield (
                Subject(manifest, self.client, project_id, harness_id, self.model, sandboxes),
                took,
            )
        finally:
            await self.client.ask("DELETE", f"/projects/{project_id}")

    async def _wait_until_ready(self, harness_id: str) -> JsonObject:
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.client.get(f"/harnesses/{harness_id}")
                assert isinstance(found, dict)
                assert found["sandbox_status"] != "failed", found
                if found["sandbox_status"] == "ready":
                    return found
                await asyncio.sleep(0.2)

    async def _open_files(self, project_id: str) -> float:
        """Look at the project's files, which starts its file manager; return how long it took."""
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.client.ask("GET", f"/projects/{project_id}/files/list")
                if answer.status == 200:
                    return time.monotonic() - began
                assert answer.status == 503, answer
                await asyncio.sleep(0.5)


async def run_rows(subject: Subject) -> dict[str, Cell]:
    """Run the bench's rows for this harness that are meant for a cluster, one after the other."""
    if subject.manifest.transport is Transport.TERMINAL:
        rows = TERMINALS
    else:
        rows = tuple(row for row in scenarios_of(subject.manifest) if row.on_cluster)
    return {row.name: await run_scenario(subject, _patiently(row)) for row in rows}


@asynccontextmanager
async def scripted_gateway(kubectl: Kubectl) -> AsyncIterator[ScriptedModel]:
    """Have the gateway ask a model on this machine, which no other pod reaches."""
    host = await asyncio.to_thread(_find_host, kubectl)
    model = await ScriptedModel().start(host)
    names = ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL")
    try:
        await asyncio.to_thread(_drop_policy, kubectl)  # of a run that was killed
        await asyncio.to_thread(kubectl.create, _policy(model.url), namespace=SYSTEM)
        values = (model.url, f"{model.url}/v1")
        settings = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
        await asyncio.to_thread(_set_gateway, kubectl, *settings)
        yield model
    finally:
        await asyncio.to_thread(_set_gateway, kubectl, *(f"{name}-" for name in names))
        await asyncio.to_thread(_drop_policy, kubectl)
        await model.stop()


def _patiently(row: Scenario) -> Scenario:
    return replace(row, within=row.within * SLOWER)


def _durations(harness: JsonObject) -> list[str]:
    said = []
    for step in objects_of(harness["steps"]):
        began, ended = (datetime.fromisoformat(text_of(step, f"{at}_at")) for at in _STEP)
        said.append(f"{step['name']} {(ended - began).total_seconds():.1f} s")
    return said


def _find_host(kubectl: Kubectl) -> str:
    """Return the address of this machine on the way to the cluster's node: pods reach it."""
    [node] = [
        item for item in kubectl.items("nodes") if "kwok.x-k8s.io/node" not in str(item["metadata"])
    ][:1]
    status = node["status"]
    assert isinstance(status, dict)
    address = next(
        text_of(one, "address")
        for one in objects_of(status["addresses"])
        if one["type"] == "InternalIP"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((address, 9))
        host: str = way.getsockname()[0]
        return host


def _set_gateway(kubectl: Kubectl, *settings: str) -> None:
    """Change variables of the gateway and wait until pods that have them answer."""
    there = ("--namespace", SYSTEM)
    kubectl.run(*there, "set", "env", _GATEWAY, *settings)
    kubectl.run(*there, "rollout", "status", _GATEWAY, "--timeout=120s", timeout=130)


def _drop_policy(kubectl: Kubectl) -> None:
    kubectl.run(*("--namespace", SYSTEM, "delete", "networkpolicy", _POLICY, "--ignore-not-found"))


def _policy(url: str) -> JsonObject:
    """Let the gateway, and nothing else, reach the model."""
    address = urlsplit(url)
    ours = {"app.kubernetes.io/part-of": "cattery", "app.kubernetes.io/component": "gateway"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": _POLICY},
        "spec": {
            "podSelector": {"matchLabels": {**ours}},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [{"ipBlock": {"cidr": f"{address.hostname}/32"}}],
                    "ports": [{"protocol": "TCP", "port": address.port}],
                }
            ],
        },
    }
