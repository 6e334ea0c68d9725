"""The pods that we run: what they all have in common, which is how they are confined.

Every one passes the `restricted` Pod Security standard and goes further: a read-only root, no
service account, no DNS, limits on everything (design: security.md 6.3). Only what differs between
a harness and a file manager is given.
"""

from dataclasses import dataclass
from typing import Final

from kubernetes.aio import client as k8s
from pydantic import ValidationError

from cattery.errors import SandboxSetupError
from cattery.ids import ProjectId
from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.views import MAIN_CONTAINER
from cattery.sandboxes.names import PROJECT_LABEL
from cattery.settings import KubernetesSettings

LAUNCH: Final = "/run/cattery"
"""Where the launch secret is mounted; harness_images/start.sh reads it."""
START: Final = "/opt/cattery/start"
OWNER: Final = 1000
"""User and group of everything in a pod; images and volumes agree on it."""
PART_OF_LABEL: Final = "app.kubernetes.io/part-of"
PART_OF: Final = "cattery"
TMP_SIZE: Final = "1Gi"
GRACE_SECONDS: Final = 10
"""Between being asked to end and being ended. Nothing of worth is held in memory."""

_LAUNCH_VOLUME: Final = "launch"
_TMP_VOLUME: Final = "tmp"
_LEAST_STARTUP_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class GatewayAlias:
    """The model gateway's host name and its address, for pods that can look nothing up."""

    host: str
    address: str


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of a claim, or all of it, in a pod."""

    volume: str
    claim: str
    path: str
    sub_path: str | None = None
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a container asks for and may not exceed, as quantities."""

    cpu: tuple[str, str]
    memory: tuple[str, str]
    disk: tuple[str, str]

    def of_request(self) -> dict[str, str]:
        """Return what it asks for."""
        return {name: pair[0] for name, pair in self._named().items()}

    def of_limit(self) -> dict[str, str]:
        """Return what it may not exceed."""
        return {name: pair[1] for name, pair in self._named().items()}

    def _named(self) -> dict[str, tuple[str, str]]:
        return {"cpu": self.cpu, "memory": self.memory, "ephemeral-storage": self.disk}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of ours: what is its own.

    Attributes:
        image: name of our image, without registry and tag.
        command: what the image's start program becomes.
        env: plain settings. What is secret, or the user's, is in the launch secret.
        launch: name of that secret; `files` are the paths beneath HOME that it fills, in order.
        project_id: whose workspace it mounts, if it does.
        is_hostile: whether it runs what an agent does: stronger walls, where there are any.
    """

    image: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    port: int
    launch: str
    files: tuple[str, ...]
    mounts: tuple[Mount, ...]
    needs: Needs
    project_id: ProjectId | None
    gateway: GatewayAlias | None
    is_hostile: bool


def build_pod_spec(pod: Pod, settings: KubernetesSettings) -> JsonObject:
    """Build the pod's spec.

    Raises:
        SandboxSetupError: a setting of the operator makes no valid pod.
    """
    spec = k8s.V1PodSpec(
        containers=[_build_container(pod, settings)],
        volumes=_build_volumes(pod),
        restart_policy="Always",
        termination_grace_period_seconds=GRACE_SECONDS,
        automount_service_account_token=False,
        enable_service_links=False,
        # Names are for the gateway to look up; nothing answers at this address.
        dns_policy="None",
        dns_config=k8s.V1PodDNSConfig(nameservers=["127.0.0.1"]),
        host_aliases=_build_aliases(pod.gateway),
        security_context=k8s.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=OWNER,
            run_as_group=OWNER,
            fs_group=OWNER,
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
        ),
        affinity=_build_affinity(pod.project_id, settings),
        node_selector=settings.node_selector or None,
        tolerations=_build_tolerations(settings),
        image_pull_secrets=_build_pull_secrets(settings),
        runtime_class_name=(settings.runtime_class or None) if pod.is_hostile else None,
        host_users=False if pod.is_hostile and settings.user_namespaces else None,
    )
    return to_json(spec)


def to_json(
    model: k8s.V1PodSpec | k8s.V1Secret | k8s.V1PersistentVolumeClaim,
) -> JsonObject:
    """Write a typed object as the API takes it."""
    body: JsonObject = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return body


def name_image(name: str, settings: KubernetesSettings) -> str:
    """Name an image of ours in full, as settings say where it is."""
    tag = settings.image_tag
    image = f"{settings.image_registry}cattery-{name}"
    return f"{image}{tag}" if tag.startswith("@") else f"{image}:{tag}"


def name_file_key(index: int) -> str:
    """Name the key in the launch secret under which a file's content stands."""
    return f"file-{index}"


def _build_container(pod: Pod, settings: KubernetesSettings) -> k8s.V1Container:
    needs = pod.needs
    return k8s.V1Container(
        name=MAIN_CONTAINER,
        image=name_image(pod.image, settings),
        image_pull_policy="IfNotPresent",
        command=[START, *pod.command],
        env=[k8s.V1EnvVar(name=name, value=value) for name, value in pod.env] or None,
        ports=[k8s.V1ContainerPort(name="main", container_port=pod.port, protocol="TCP")],
        resources=k8s.V1ResourceRequirements(requests=needs.of_request(), limits=needs.of_limit()),
        security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=False,
            privileged=False,
            read_only_root_filesystem=True,
            capabilities=k8s.V1Capabilities(drop=["ALL"]),
        ),
        # Only whether the port is open: what answers there asks for a password. How long a start
        # may take is ours to say, so the cluster's own patience is no shorter.
        startup_probe=_probe(pod.port, every=1, failures=_startup_seconds(settings)),
        readiness_probe=_probe(pod.port, every=5, failures=3),
        volume_mounts=[
            k8s.V1VolumeMount(name=_LAUNCH_VOLUME, mount_path=LAUNCH, read_only=True),
            k8s.V1VolumeMount(name=_TMP_VOLUME, mount_path="/tmp"),  # noqa: S108 - the pod's own
            *(_build_mount(mount) for mount in pod.mounts),
        ],
    )


def _probe(port: int, *, every: int, failures: int) -> k8s.V1Probe:
    return k8s.V1Probe(
        tcp_socket=k8s.V1TCPSocketAction(port=port),
        period_seconds=every,
        timeout_seconds=1,
        failure_threshold=failures,
    )


def _startup_seconds(settings: KubernetesSettings) -> int:
    return max(_LEAST_STARTUP_SECONDS, int(settings.start_timeout.total_seconds()))


def _build_mount(mount: Mount) -> k8s.V1VolumeMount:
    return k8s.V1VolumeMount(
        name=mount.volume,
        mount_path=mount.path,
        sub_path=mount.sub_path,
        read_only=True if mount.read_only else None,
    )


def _build_volumes(pod: Pod) -> list[k8s.V1Volume]:
    claims = {mount.volume: mount.claim for mount in pod.mounts}
    return [
        k8s.V1Volume(name=_LAUNCH_VOLUME, secret=_build_launch_source(pod)),
        k8s.V1Volume(name=_TMP_VOLUME, empty_dir=k8s.V1EmptyDirVolumeSource(size_limit=TMP_SIZE)),
        *(
            k8s.V1Volume(
                name=volume,
                persistent_volume_claim=k8s.V1PersistentVolumeClaimVolumeSource(claim_name=claim),
            )
            for volume, claim in claims.items()
        ),
    ]


def _build_launch_source(pod: Pod) -> k8s.V1SecretVolumeSource:
    items = [("env", "env"), ("links", "links")]
    items += [(name_file_key(n), f"home/{path}") for n, path in enumerate(pod.files)]
    return k8s.V1SecretVolumeSource(
        secret_name=pod.launch,
        default_mode=0o440,
        items=[k8s.V1KeyToPath(key=key, path=path) for key, path in items],
        optional=False,
    )


def _build_aliases(gateway: GatewayAlias | None) -> list[k8s.V1HostAlias] | None:
    if gateway is None:
        return None
    return [k8s.V1HostAlias(ip=gateway.address, hostnames=[gateway.host])]


def _build_affinity(
    project_id: ProjectId | None, settings: KubernetesSettings
) -> k8s.V1Affinity | None:
    """Keep pods that share a volume for one node on the same node.

    There is never more than one term. The scheduler takes several together as one: it looks for
    pods that match all of them, and where there are none, as for the first pod of a project, it
    lets the pod go anywhere (interpodaffinity, `satisfyPodAffinity`). So where all pods must be
    on one node because of the skills, that alone is said.
    """
    if settings.skills_access == "ReadWriteOnce":
        shared = {PART_OF_LABEL: PART_OF}
    elif settings.workspace_access == "ReadWriteOnce" and project_id is not None:
        shared = {PROJECT_LABEL: str(project_id)}
    else:
        return None
    term = k8s.V1PodAffinityTerm(
        topology_key="kubernetes.io/hostname",
        label_selector=k8s.V1LabelSelector(match_labels=shared),
    )
    return k8s.V1Affinity(
        pod_affinity=k8s.V1PodAffinity(required_during_scheduling_ignored_during_execution=[term])
    )


def _build_tolerations(settings: KubernetesSettings) -> list[k8s.V1Toleration] | None:
    """Read the operator's tolerations; their one number is written as a text there.

    Raises:
        SandboxSetupError: one is none.
    """
    try:
        return [_read_toleration(one) for one in settings.tolerations] or None
    except (ValidationError, ValueError) as error:
        raise SandboxSetupError(
            "CATTERY_K8S_TOLERATIONS is not a list of Kubernetes' tolerations (key, operator, "
            f"value, effect, tolerationSeconds): {settings.tolerations!r}. Correct it."
        ) from error


def _read_toleration(given: dict[str, str]) -> k8s.V1Toleration:
    seconds = given.get("tolerationSeconds")
    texts = {key: value for key, value in given.items() if key != "tolerationSeconds"}
    toleration = k8s.V1Toleration.model_validate(texts)
    if seconds is not None:
        toleration.toleration_seconds = int(seconds)
    return toleration


def _build_pull_secrets(
    settings: KubernetesSettings,
) -> list[k8s.V1LocalObjectReference] | None:
    if not settings.image_pull_secret:
        return None
    return [k8s.V1LocalObjectReference(name=settings.image_pull_secret)]
