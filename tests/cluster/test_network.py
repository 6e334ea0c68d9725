"""The network check, with real policies and a network that enforces them or does not."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest

from cattery.jsontypes import JsonObject
from cattery.network_probe import Hope
from cattery.sandboxes.kubernetes.api import ClusterApi
from cattery.sandboxes.kubernetes.network import DOCTOR, check_network
from cattery.sandboxes.kubernetes.network_finding import (
    FROM_HERE,
    GATEWAY,
    NEIGHBOUR,
    NetworkFinding,
)
from cattery.sandboxes.kubernetes.network_targets import (
    API_SERVER,
    API_SERVER_OUTSIDE,
    DNS_TCP,
    DNS_UDP,
    INTERNET,
    METADATA,
    Surroundings,
    look_around,
)
from cattery.sandboxes.kubernetes.policies import Site, build_policies
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.settings import KubernetesSettings
from tests.cluster.conftest import ROOT
from tests.cluster.kubectl import Kubectl

pytestmark = pytest.mark.cluster

MUST_BE_CLOSED = {METADATA, API_SERVER, API_SERVER_OUTSIDE, NEIGHBOUR, INTERNET, DNS_UDP, DNS_TCP}


@dataclass
class NetworkSite:
    """A pair of namespaces with policies, and a gateway that answers."""

    kubectl: Kubectl
    site: Site
    settings: KubernetesSettings
    gateway: str

    async def check(self, *, gateway: str | None = None) -> NetworkFinding:
        api = await ClusterApi.connect(self.settings, kubeconfig=self.kubectl.kubeconfig)
        state = ClusterState(api)
        try:
            await state.start()
            around = await look_around(gateway or self.gateway, api.server)
            dns = await asyncio.to_thread(find_dns, self.kubectl)
            known = Surroundings(around.inside, around.gateway_url, dns, around.api_server)
            return await check_network(api, state, self.settings, known, purpose=DOCTOR)
        finally:
            await state.stop()
            await api.close()

    def run_doctor(self) -> JsonObject:
        ours = {
            "KUBECONFIG": str(self.kubectl.kubeconfig),
            "K8S_NAMESPACE": self.settings.namespace,
            "CATTERY_K8S_IMAGE_TAG": self.settings.image_tag,
            "CATTERY_GATEWAY_URL": self.gateway,
        }
        kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        result = subprocess.run(
            [sys.executable, "-m", "cli.main", "doctor", "--cluster", "--json"],
            cwd=ROOT,
            env=kept | ours,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        found: JsonObject = json.loads(result.stdout)
        assert result.returncode == (1 if found["failed"] else 0)
        return found

    def left(self) -> list[JsonObject]:
        kinds = "sandboxes.agents.x-k8s.io,pods,secrets"
        return self.kubectl.items(kinds, namespace=self.site.sandboxes)


@pytest.fixture(name="site")
async def open_site(kubectl: Kubectl, images: str) -> AsyncIterator[NetworkSite]:
    nonce = uuid4().hex[:8]
    site = Site(f"cattery-net-{nonce}", f"cattery-net-{nonce}-boxes")
    for name in (site.system, site.sandboxes):
        level: JsonObject = {"pod-security.kubernetes.io/enforce": "restricted"}
        kubectl.create(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": level}}
        )
    try:
        for policy in build_policies(site):
            kubectl.create(policy, namespace=namespace_of(policy))
        kubectl.create(gateway_pod(images), namespace=site.system)
        await asyncio.to_thread(
            kubectl.run,
            *("--namespace", site.system, "wait", "--for=condition=Ready", "pod/gateway"),
            "--timeout=60s",
        )
        address = address_of(kubectl, site.system)
        settings = KubernetesSettings(
            namespace=site.sandboxes, image_tag=images, start_timeout=timedelta(minutes=1)
        )
        yield NetworkSite(kubectl, site, settings, f"http://{address}:8081")
    finally:
        kubectl.run("delete", "namespace", site.system, site.sandboxes, "--wait=false")


async def test_a_network_that_enforces_the_policies_is_found_to(site: NetworkSite) -> None:
    finding = await site.check()
    seen = {check.name: check.seen for check in finding.checks}
    assert seen == dict.fromkeys(MUST_BE_CLOSED, Hope.CLOSED) | dict.fromkeys(
        (GATEWAY, FROM_HERE), Hope.OPEN
    )
    assert finding.is_well
    assert "enforces its network policies: a sandbox reached nothing" in finding.summary
    assert not [one for one in site.left() if one["kind"] != "Secret"]

    doctor = await asyncio.to_thread(site.run_doctor)
    assert doctor["failed"] == 0, doctor
    assert isinstance(doctor["findings"], list)
    assert len(doctor["findings"]) == 6 + len(finding.checks) - 1  # one for DNS: it is not known

    finding = await site.check(gateway=site.gateway.replace(":8081", ":8082"))
    assert (finding.enforced, finding.gateway_reached, finding.is_well) == (True, False, False)
    assert "a sandbox does not reach the model gateway" in finding.summary


async def test_policies_that_are_not_there_are_found_missing(site: NetworkSite) -> None:
    site.kubectl.run("--namespace", site.site.sandboxes, "delete", "networkpolicy", "--all")
    finding = await site.check()
    assert not finding.enforced
    leaks = {check.name for check in finding.checks if not check.ok}
    assert {NEIGHBOUR, API_SERVER, DNS_UDP, DNS_TCP} <= leaks <= MUST_BE_CLOSED
    assert "does not enforce its network policies: a sandbox reached" in finding.summary


def namespace_of(item: JsonObject) -> str:
    metadata = item["metadata"]
    assert isinstance(metadata, dict)
    return str(metadata["namespace"])


def find_dns(kubectl: Kubectl) -> str:
    spec = kubectl.get("service", "kube-dns", namespace="kube-system")["spec"]
    assert isinstance(spec, dict)
    return str(spec["clusterIP"])


def address_of(kubectl: Kubectl, namespace: str) -> str:
    status = kubectl.get("pod", "gateway", namespace=namespace)["status"]
    assert isinstance(status, dict)
    return str(status["podIP"])


def gateway_pod(tag: str) -> JsonObject:
    """Return a pod that policies take for the gateway; any answer is one."""
    ours: JsonObject = {
        "app.kubernetes.io/part-of": "cattery",
        "app.kubernetes.io/component": "gateway",
    }
    user: JsonObject = {"runAsNonRoot": True, "runAsUser": 1000}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "gateway", "labels": ours},
        "spec": {
            "securityContext": user | {"seccompProfile": {"type": "RuntimeDefault"}},
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": f"cattery-filemgr:{tag}",
                    "command": ["python3", "-m", "filemgr.probe", "--port", "8081"],
                    "env": [{"name": "CATTERY_FILEMGR_TOKEN", "value": "nobody-has-this"}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8081}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
