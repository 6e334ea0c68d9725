"""Builds every object that we create in a cluster, by pure functions from typed inputs.

The same input gives the same object, so a repeated create is the same create. Nothing here calls
the API. Nothing secret stands in a Sandbox object: it names the launch secret.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from kubernetes.aio import client as k8s

from cattery.ids import HarnessId, ProjectId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.launch_secret import build_launch_secret, order_files
from cattery.sandboxes.kubernetes.pod_template import (
    GatewayAlias,
    Mount,
    Needs,
    Pod,
    build_pod_spec,
    to_json,
)
from cattery.sandboxes.kubernetes.quantities import format_bytes, parse_quantity
from cattery.sandboxes.names import (
    GENERATION_ANNOTATION,
    LAUNCH_ANNOTATION,
    PROBE_LABEL,
    SKILL_MANAGER,
    SKILLS_CLAIM,
    Component,
    label,
    name_file_manager,
    name_sandbox,
    name_workspace,
)
from cattery.settings import KubernetesSettings

__all__ = [
    "DATA",
    "FILE_MANAGER_PORT",
    "HARNESS_PORT",
    "HOME",
    "SKILLS",
    "TOOLS",
    "WORK",
    "GatewayAlias",
    "SandboxManifest",
    "build_file_manager",
    "build_launch_secret",
    "build_probe",
    "build_sandbox",
    "build_skills_claim",
    "build_workspace_claim",
    "name_probe",
]

WORK: Final = "/work"
HOME: Final = "/home/agent"
SKILLS: Final = "/skills"
TOOLS: Final = "/opt/cattery"
DATA: Final = "/data"
"""Where a file manager sees its volume."""
HARNESS_PORT: Final = 4096
FILE_MANAGER_PORT: Final = 4097

_SMALL: Final = Needs(cpu=("50m", "1"), memory=("64Mi", "512Mi"), disk=("64Mi", "1Gi"))
"""For programs of ours that stream files through and keep none."""
_PYTHON: Final = ("python3", "-P", "-m")
"""-P: a folder that others write to is never searched for modules."""
_AWAY: Final = (("CATTERY_WORK", "/tmp"),)  # noqa: S108 - the pod's own
"""The start program enters this folder; there is no workspace in pods of ours."""


@dataclass(frozen=True, slots=True)
class SandboxManifest:
    """What a harness's sandbox is built from.

    Attributes:
        image: name of its image, without `cattery-`, registry and tag.
        generation: which start it is for.
        launch: name of the launch secret of that start.
        argv: the harness's command.
        files: paths beneath HOME that the launch secret fills.
        gateway: the gateway's name and address; `None` where its URL has no name.
        memory_bytes: the limit.
    """

    harness_id: HarnessId
    project_id: ProjectId
    harness_type: str
    image: str
    generation: int
    launch: str
    argv: tuple[str, ...]
    files: tuple[str, ...]
    gateway: GatewayAlias | None
    memory_bytes: int
    settings: KubernetesSettings


def build_sandbox(manifest: SandboxManifest) -> JsonObject:
    """Build the Sandbox object of a harness.

    Raises:
        SandboxSetupError: a setting of the operator makes no valid pod.
    """
    name = name_sandbox(manifest.harness_type, manifest.harness_id)
    claim = name_workspace(manifest.project_id)
    home = f"homes/{manifest.harness_id}"
    pod = Pod(
        image=manifest.image,
        command=manifest.argv,
        env=(),
        port=HARNESS_PORT,
        launch=manifest.launch,
        files=order_files(manifest.files),
        mounts=(
            Mount("workspace", claim, WORK, sub_path="work"),
            Mount("workspace", claim, HOME, sub_path=home),
            Mount("skills", SKILLS_CLAIM, SKILLS, read_only=True),
        ),
        needs=_needs_of_agents(manifest.settings, manifest.memory_bytes),
        project_id=manifest.project_id,
        gateway=manifest.gateway,
        is_hostile=True,
    )
    labels = label(
        Component.SANDBOX, name, project_id=manifest.project_id, harness_id=manifest.harness_id
    )
    return _wrap(name, labels, manifest.generation, pod, manifest.settings)


def build_file_manager(
    *, project_id: ProjectId | None, generation: int, launch: str, settings: KubernetesSettings
) -> JsonObject:
    """Build the Sandbox object of a project's file manager, or (`None`) of the skill manager.

    Raises:
        SandboxSetupError: a setting of the operator makes no valid pod.
    """
    if project_id is None:
        name, component, claim, kind = (
            SKILL_MANAGER,
            Component.SKILL_MANAGER,
            SKILLS_CLAIM,
            "skills",
        )
    else:
        name, component = name_file_manager(project_id), Component.FILE_MANAGER
        claim, kind = name_workspace(project_id), "workspace"
    where = ("--root", DATA, "--port", str(FILE_MANAGER_PORT), "--kind", kind)
    pod = Pod(
        image="filemgr",
        command=(*_PYTHON, "filemgr", *where),
        env=_AWAY,
        port=FILE_MANAGER_PORT,
        launch=launch,
        files=(),
        mounts=(Mount("data", claim, DATA),),
        needs=_SMALL,
        project_id=project_id,
        gateway=None,
        is_hostile=False,
    )
    labels = label(component, name, project_id=project_id)
    return _wrap(name, labels, generation, pod, settings)


def name_probe(nonce: str) -> str:
    """Return the name of a network probe."""
    return f"cattery-probe-{nonce}"


def build_probe(
    *,
    nonce: str,
    purpose: str,
    launch: str,
    gateway: GatewayAlias | None,
    settings: KubernetesSettings,
    arguments: tuple[str, ...] = (),
) -> JsonObject:
    """Build the Sandbox object of a network probe, which policies take for a harness's sandbox.

    It belongs to no harness, listens on the harnesses' port and mounts no claim.

    Args:
        nonce: makes its name, see `name_probe`.
        purpose: who starts it, for the label by which it is found again.
        launch: name of its launch secret; the token in it guards the port.
        gateway: as of a sandbox.
        settings: as of a sandbox.
        arguments: more of `python -m filemgr.probe`, such as `--targets`.

    Raises:
        SandboxSetupError: a setting of the operator makes no valid pod.
    """
    name = name_probe(nonce)
    pod = Pod(
        image="filemgr",
        command=(*_PYTHON, "filemgr.probe", "--port", str(HARNESS_PORT), *arguments),
        env=_AWAY,
        port=HARNESS_PORT,
        launch=launch,
        files=(),
        mounts=(),
        needs=_SMALL,
        project_id=None,
        gateway=gateway,
        is_hostile=True,
    )
    labels = label(Component.SANDBOX, name) | {PROBE_LABEL: purpose}
    return _wrap(name, labels, 1, pod, settings)


def build_workspace_claim(project_id: ProjectId, settings: KubernetesSettings) -> JsonObject:
    """Build the claim of a project's workspace, which holds its sandboxes' HOMEs too."""
    name = name_workspace(project_id)
    labels = label(Component.WORKSPACE, name, project_id=project_id)
    return _build_claim(
        name, labels, settings.workspace_access, settings.workspace_size, settings.storage_class
    )


def build_skills_claim(settings: KubernetesSettings) -> JsonObject:
    """Build the claim of the skills library."""
    labels = label(Component.SKILLS, SKILLS_CLAIM)
    return _build_claim(
        SKILLS_CLAIM, labels, settings.skills_access, settings.skills_size, settings.storage_class
    )


def _wrap(
    name: str, labels: dict[str, str], generation: int, pod: Pod, settings: KubernetesSettings
) -> JsonObject:
    """Put a pod's spec into a Sandbox object (v1beta1); its pod gets the object's own name."""
    ours: JsonObject = {GENERATION_ANNOTATION: str(generation)}
    return {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {
            "name": name,
            "labels": {**labels},
            "annotations": {**ours, LAUNCH_ANNOTATION: pod.launch},
        },
        "spec": {
            "operatingMode": "Running",
            "podTemplate": {
                "metadata": {"labels": {**labels}, "annotations": {**ours}},
                "spec": build_pod_spec(pod, settings),
            },
        },
    }


def _needs_of_agents(settings: KubernetesSettings, memory_bytes: int) -> Needs:
    """Return what a harness needs. A request above its limit would be refused: it is lowered."""
    wanted = parse_quantity(settings.memory_request)
    limit = format_bytes(memory_bytes)
    fits = wanted is None or wanted <= Decimal(memory_bytes)
    return Needs(
        cpu=(settings.cpu_request, settings.cpu_limit),
        memory=(settings.memory_request if fits else limit, limit),
        disk=(settings.disk_request, settings.disk_limit),
    )


def _build_claim(
    name: str, labels: dict[str, str], access: str, size: str, storage_class: str | None
) -> JsonObject:
    return to_json(
        k8s.V1PersistentVolumeClaim(
            api_version="v1",
            kind="PersistentVolumeClaim",
            metadata=k8s.V1ObjectMeta(name=name, labels=labels),
            spec=k8s.V1PersistentVolumeClaimSpec(
                access_modes=[access],
                resources=k8s.V1VolumeResourceRequirements(requests={"storage": size}),
                storage_class_name=storage_class or None,
            ),
        )
    )
