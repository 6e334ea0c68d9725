"""What the cluster refuses to run as a sandbox, whoever asks: each wall is taken down once."""

import copy
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from cattery.ids import HarnessId, ProjectId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.manifests import (
    SandboxManifest,
    build_file_manager,
    build_probe,
    build_sandbox,
)
from cattery.settings import KubernetesSettings
from tests.cluster.conftest import Deployed
from tests.cluster.kubectl import SANDBOXES, KubectlError

type Change = Callable[[Any], object]
"""Changes a Sandbox object in place."""


def spec(change: Change) -> Change:
    """Change the pod's spec."""
    return lambda sandbox: change(sandbox["spec"]["podTemplate"]["spec"])


def container(change: Change) -> Change:
    """Change the one container."""
    return spec(lambda pod: change(pod["containers"][0]))


def walls(**given: object) -> Change:
    """Change the container's security context."""
    return container(lambda one: one["securityContext"].update(given))


def volume(**given: object) -> Change:
    """Add a volume."""
    return spec(lambda pod: pod["volumes"].append({"name": "more", **given}))


def add_init_container(pod: Any) -> None:
    """Hide a privileged container beside the real one."""
    hidden = copy.deepcopy(pod["containers"][0]) | {"name": "hidden"}
    hidden["securityContext"] = {"privileged": True}
    pod["initContainers"] = [hidden]


def relabel(sandbox: Any) -> None:
    """Give the pod another project than its Sandbox says."""
    labels = sandbox["spec"]["podTemplate"]["metadata"]["labels"]
    labels["cattery.dev/project-id"] = str(uuid4())


def write_to_skills(one: Any) -> None:
    """Mount the skills so that the agent can change them."""
    for mount in one["volumeMounts"]:
        if mount["name"] == "skills":
            mount.pop("readOnly")


REFUSALS: dict[str, tuple[Change, str]] = {
    "the host's network": (spec(lambda pod: pod.update(hostNetwork=True)), "hostNetwork"),
    "the host's processes": (spec(lambda pod: pod.update(hostPID=True)), "hostPID"),
    "the host's memory": (spec(lambda pod: pod.update(hostIPC=True)), "hostIPC"),
    "a port of the host": (
        container(lambda one: one["ports"][0].update(hostPort=4096)),
        "hostPort",
    ),
    "a folder of the host": (volume(hostPath={"path": "/"}), "Volumes may only be"),
    "a token of the cluster": (
        spec(lambda pod: pod.update(automountServiceAccountToken=True)),
        "automountServiceAccountToken",
    ),
    "a token in a projected volume": (
        volume(projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}),
        "Volumes may only be",
    ),
    "an account of its own": (
        spec(lambda pod: pod.update(serviceAccountName="builder")),
        "service account",
    ),
    "root in the pod": (
        spec(lambda pod: pod["securityContext"].update(runAsUser=0)),
        "other than root",
    ),
    "root in the container": (walls(runAsUser=0), "other than root"),
    "no promise not to be root": (
        spec(lambda pod: pod["securityContext"].pop("runAsNonRoot")),
        "other than root",
    ),
    "no seccomp profile": (
        spec(lambda pod: pod["securityContext"].pop("seccompProfile")),
        "seccomp",
    ),
    "a kernel setting": (
        spec(
            lambda pod: pod["securityContext"].update(
                sysctls=[{"name": "net.ipv4.ip_forward", "value": "1"}]
            )
        ),
        "sysctls",
    ),
    "privileges": (walls(privileged=True), "privileged"),
    "more privileges later": (walls(allowPrivilegeEscalation=True), "allowPrivilegeEscalation"),
    "a root that can be written to": (walls(readOnlyRootFilesystem=False), "readOnlyRoot"),
    "a capability": (walls(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), "capabilities"),
    "capabilities that were not dropped": (walls(capabilities={}), "capabilities"),
    "an unmasked /proc": (walls(procMount="Unmasked"), "/proc"),
    "a privileged container before it": (spec(add_init_container), "privileged"),
    "no limit of memory": (
        container(lambda one: one["resources"]["limits"].pop("memory")),
        "limits",
    ),
    "somebody else's image": (
        container(lambda one: one.update(image="docker.io/library/busybox:1")),
        "Images must begin with",
    ),
    "another project's files": (
        volume(persistentVolumeClaim={"claimName": f"cattery-project-{uuid4()}-work"}),
        "workspace of its own project",
    ),
    "skills that it can change": (container(write_to_skills), "write to the skills"),
    "another sandbox's secret": (
        volume(secret={"secretName": "cattery-database"}),
        "secrets whose names",
    ),
    "a secret in the environment": (
        container(lambda one: one.update(envFrom=[{"secretRef": {"name": "cattery-database"}}])),
        "secrets whose names",
    ),
    "a claim of its own making": (
        lambda sandbox: sandbox["spec"].update(
            volumeClaimTemplates=[
                {
                    "metadata": {"name": "more"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                    },
                }
            ]
        ),
        "volumeClaimTemplates",
    ),
    "a service": (lambda sandbox: sandbox["spec"].update(service=True), "service"),
    "no word on whose it is": (
        lambda sandbox: sandbox["metadata"].pop("labels"),
        "labelled app.kubernetes.io/part-of",
    ),
    "a pod that belongs to another project": (relabel, "pod template's labels"),
}


def make_sandbox(deployed: Deployed) -> dict[str, Any]:
    """Build a Sandbox as the product does."""
    harness = HarnessId(uuid4())
    return build_sandbox(
        SandboxManifest(
            harness_id=harness,
            project_id=ProjectId(uuid4()),
            harness_type="opencode",
            image="opencode",
            generation=1,
            launch=f"cattery-opencode-{harness}-0badcafe",
            argv=("true",),
            files=(),
            gateway=None,
            memory_bytes=2**30,
            settings=settings_of(deployed),
        )
    )


def settings_of(deployed: Deployed) -> KubernetesSettings:
    """Return settings that name the deployed images."""
    return KubernetesSettings(image_tag=deployed.tag)


def test_what_the_product_makes_is_let_in(deployed: Deployed) -> None:
    settings = settings_of(deployed)
    deployed.kubectl.try_create(make_sandbox(deployed))
    for project in (ProjectId(uuid4()), None):
        name = "cattery-skillmgr" if project is None else f"cattery-filemgr-{project}"
        deployed.kubectl.try_create(
            build_file_manager(
                project_id=project, generation=1, launch=f"{name}-0badcafe", settings=settings
            )
        )
    deployed.kubectl.try_create(
        build_probe(
            nonce="0badcafe",
            purpose="test",
            launch="cattery-probe-0badcafe-0badcafe",
            gateway=None,
            settings=settings,
        )
    )


@pytest.mark.parametrize("what", REFUSALS)
def test_a_sandbox_is_refused_with(deployed: Deployed, what: str) -> None:
    change, words = REFUSALS[what]
    sandbox = make_sandbox(deployed)
    change(sandbox)
    with pytest.raises(KubectlError, match=words):
        deployed.kubectl.try_create(sandbox)


def test_an_older_version_of_the_api_is_no_way_around(deployed: Deployed) -> None:
    sandbox = make_sandbox(deployed)
    sandbox["apiVersion"] = "agents.x-k8s.io/v1alpha1"
    del sandbox["spec"]["operatingMode"]
    sandbox["spec"]["replicas"] = 1
    sandbox["spec"]["podTemplate"]["spec"]["hostNetwork"] = True
    with pytest.raises(KubectlError, match="hostNetwork"):
        deployed.kubectl.try_create(sandbox)


def test_a_sandbox_cannot_be_given_to_another_project(deployed: Deployed) -> None:
    sandbox = make_sandbox(deployed)
    sandbox["spec"]["operatingMode"] = "Suspended"
    name = sandbox["metadata"]["name"]
    at = ("--namespace", SANDBOXES)
    other = str(uuid4())
    where = ("/metadata", "/spec/podTemplate/metadata")
    change = [
        {
            "op": "replace",
            "path": f"{above}/labels/cattery.dev~1project-id",
            "value": other,
        }
        for above in where
    ]
    deployed.kubectl.create(sandbox)
    try:
        with pytest.raises(KubectlError, match="cannot be changed"):
            deployed.kubectl.run(
                *at, "patch", "sandbox", name, "--type=json", "--patch", json.dumps(change)
            )
    finally:
        deployed.kubectl.run(*at, "delete", "sandbox", name, "--wait=false")


def test_a_pod_without_walls_is_refused_by_the_namespace(deployed: Deployed) -> None:
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "naked"},
        "spec": {"containers": [{"name": "one", "image": f"cattery-filemgr:{deployed.tag}"}]},
    }
    with pytest.raises(KubectlError, match='violates PodSecurity "restricted'):
        deployed.kubectl.try_create(pod)
