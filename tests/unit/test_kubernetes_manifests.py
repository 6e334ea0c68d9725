"""Objects for the cluster are whole, confined, and survive a real shell.

The files in `golden/kubernetes` are what is created, in full. After a change that is meant, write
them anew and read the difference:

    CATTERY_REWRITE_GOLDEN=1 .venv/bin/pytest tests/unit/test_kubernetes_manifests.py
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from hypothesis import example, given, settings as hypothesis_settings, strategies as st

from cattery.errors import SandboxSetupError
from cattery.ids import HarnessId, ProjectId
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.kubernetes.launch_secret import write_environment
from cattery.sandboxes.kubernetes.manifests import (
    GatewayAlias,
    SandboxManifest,
    build_file_manager,
    build_launch_secret,
    build_probe,
    build_sandbox,
    build_skills_claim,
    build_workspace_claim,
    name_probe,
)
from cattery.sandboxes.kubernetes.reading import as_list, as_object
from cattery.sandboxes.names import Component, label
from cattery.settings import KubernetesSettings

RESOURCES = {"cpu", "memory", "ephemeral-storage"}
GOLDEN = Path(__file__).parent / "golden" / "kubernetes"
HARNESS = HarnessId(UUID("11111111-2222-4333-8444-555555555555"))
PROJECT = ProjectId(UUID("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"))
GATEWAY = GatewayAlias("cattery-gateway.cattery-system.svc", "10.96.12.34")
NAME = f"cattery-opencode-{HARNESS}"
FILES = {".config/opencode/package.json": "{}", ".config/a.json": '{"a": "it\'s"}'}

PLAIN = KubernetesSettings()
FULL = KubernetesSettings(
    image_registry="registry.example.com/cattery/",
    image_tag="1.4.0",
    image_pull_secret="registry-credentials",
    runtime_class="gvisor",
    user_namespaces=True,
    storage_class="shared",
    workspace_access="ReadWriteMany",
    skills_access="ReadWriteMany",
    node_selector={"pool": "agents"},
    tolerations=[
        {"key": "agents", "operator": "Exists", "effect": "NoSchedule"},
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": "60",
        },
    ],
)
ONE_PROJECT_ONE_NODE = KubernetesSettings(skills_access="ReadWriteMany")


def sandbox(settings: KubernetesSettings, memory_bytes: int = 4 * 1024**3) -> JsonObject:
    return build_sandbox(
        SandboxManifest(
            harness_id=HARNESS,
            project_id=PROJECT,
            harness_type="opencode",
            image="opencode",
            generation=3,
            launch=f"{NAME}-0badcafe",
            argv=("/opt/cattery/opencode/node_modules/.bin/opencode", "serve"),
            files=tuple(FILES),
            gateway=GATEWAY if settings is PLAIN else None,
            memory_bytes=memory_bytes,
            settings=settings,
        )
    )


def file_manager(project_id: ProjectId | None, settings: KubernetesSettings) -> JsonObject:
    return build_file_manager(
        project_id=project_id, generation=1, launch="l-0badcafe", settings=settings
    )


def probe(settings: KubernetesSettings) -> JsonObject:
    return build_probe(
        nonce="0badcafe",
        purpose="doctor",
        launch="cattery-probe-0badcafe-1",
        gateway=GATEWAY,
        settings=settings,
        arguments=("--timeout", "2"),
    )


def launch_secret() -> JsonObject:
    return build_launch_secret(
        owner=(NAME, "99999999-0000-4000-8000-000000000000"),
        name=f"{NAME}-0badcafe",
        labels=label(Component.SANDBOX, NAME, project_id=PROJECT, harness_id=HARNESS),
        env={"PORT": "4096", "ANTHROPIC_API_KEY": "token", "GREETING": "it's\n$HOME \\ `x`"},
        files=FILES,
        links={".agents/skills": "/skills"},
    )


ALL: dict[str, JsonObject] = {
    "sandbox": sandbox(PLAIN),
    "sandbox-shared-volumes": sandbox(FULL),
    "file-manager": file_manager(PROJECT, PLAIN),
    "file-manager-shared-volumes": file_manager(PROJECT, FULL),
    "skill-manager": file_manager(None, PLAIN),
    "probe": probe(FULL),
    "workspace-claim": build_workspace_claim(PROJECT, PLAIN),
    "skills-claim": build_skills_claim(FULL),
    "launch-secret": launch_secret(),
}
PODS = [body for body in ALL.values() if body["kind"] == "Sandbox"]


@pytest.mark.parametrize("name", ALL)
def test_what_is_created_is_what_was_agreed(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("CATTERY_REWRITE_GOLDEN"):
        path.write_text(yaml.safe_dump(ALL[name], sort_keys=False, width=100))
    assert ALL[name] == yaml.safe_load(path.read_text())


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(ALL)


def dig(found: Json, *path: str | int) -> Json:
    for step in path:
        if isinstance(step, int):
            assert isinstance(found, list)
            found = found[step]
        else:
            assert isinstance(found, dict)
            found = found.get(step)
    return found


def spec_of(body: Json) -> dict[str, Json]:
    spec = dig(body, "spec", "podTemplate", "spec")
    assert isinstance(spec, dict)
    return spec


def main_container(body: Json) -> Json:
    return dig(spec_of(body), "containers", 0)


def violations(spec: Json) -> Iterator[str]:
    """Check a pod against the `restricted` standard, as its page lists it, and against our own."""
    for field in ("hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"):
        if dig(spec, field):
            yield field
    context = dig(spec, "securityContext") or {}
    if dig(context, "runAsNonRoot") is not True or dig(context, "runAsUser") in (0, None):
        yield "runs as root"
    if dig(context, "seccompProfile") != {"type": "RuntimeDefault"}:
        yield "seccomp"
    for volume in as_list(dig(spec, "volumes")):
        kind = set(as_object(volume)) - {"name"}
        if not kind <= {"secret", "emptyDir", "persistentVolumeClaim"}:
            yield f"volume of kind {kind}"
    for container in as_list(dig(spec, "containers")):
        yield from container_violations(container)
    for field in ("automountServiceAccountToken", "enableServiceLinks"):
        if dig(spec, field) is not False:
            yield field
    if (dig(spec, "dnsPolicy"), dig(spec, "dnsConfig")) != ("None", {"nameservers": ["127.0.0.1"]}):
        yield "DNS"


def container_violations(container: Json) -> Iterator[str]:
    context = as_object(dig(container, "securityContext"))
    if context.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation"
    if context.get("privileged"):
        yield "privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "writable root"
    if set(context) & {"runAsUser", "runAsNonRoot", "procMount", "seccompProfile"}:
        yield "a security context of its own"
    if any("hostPort" in as_object(port) for port in as_list(dig(container, "ports"))):
        yield "host port"
    for side in ("requests", "limits"):
        if set(as_object(dig(container, "resources", side))) != RESOURCES:
            yield side
    for handler in ("startupProbe", "readinessProbe"):
        probed = as_object(dig(container, handler))
        if set(probed) & {"httpGet", "exec"} or set(as_object(probed.get("tcpSocket"))) != {"port"}:
            yield "a probe that is more than an open port"


def test_every_pod_is_confined() -> None:
    assert len(PODS) >= 6
    assert [list(violations(spec_of(body))) for body in PODS] == [[]] * len(PODS)


def test_the_check_of_confinement_sees_what_is_not() -> None:
    open_pod: dict[str, Json] = {
        "hostNetwork": True,
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
        "containers": [
            {
                "securityContext": {"privileged": True, "runAsUser": 0},
                "ports": [{"hostPort": 1}],
                "resources": {"limits": {"cpu": "1"}},
                "startupProbe": {"httpGet": {}},
                "readinessProbe": {"tcpSocket": {"host": "10.0.0.1"}},
            }
        ],
    }
    assert len(list(violations(open_pod))) == 17


def test_only_what_runs_agents_gets_the_runtime_class_and_user_namespaces() -> None:
    walls = [
        (spec_of(body).get("runtimeClassName"), spec_of(body).get("hostUsers"))
        for body in (sandbox(FULL), probe(FULL), file_manager(PROJECT, FULL), sandbox(PLAIN))
    ]
    strong, none = ("gvisor", False), (None, None)
    assert walls == [strong, strong, none, none]


def affinity_of(body: JsonObject) -> list[Json]:
    if "affinity" not in spec_of(body):
        return []
    path = ("affinity", "podAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = dig(spec_of(body), *path)
    assert isinstance(terms, list)
    return [dig(term, "labelSelector", "matchLabels") for term in terms]


def test_pods_share_a_node_as_their_volumes_demand() -> None:
    """Never by two terms: the scheduler would let a project's first pod go anywhere."""
    everything, project = (
        [{"app.kubernetes.io/part-of": "cattery"}],
        [{"cattery.dev/project-id": str(PROJECT)}],
    )
    for settings, of_sandbox, of_skills in (
        (PLAIN, everything, everything),
        (ONE_PROJECT_ONE_NODE, project, []),
        (FULL, [], []),
    ):
        assert affinity_of(sandbox(settings)) == of_sandbox
        assert affinity_of(file_manager(PROJECT, settings)) == of_sandbox
        assert affinity_of(file_manager(None, settings)) == of_skills
        assert affinity_of(probe(settings)) == of_skills


def test_pods_carry_the_labels_that_their_affinity_looks_for() -> None:
    for body in PODS:
        labels = dig(body, "spec", "podTemplate", "metadata", "labels")
        assert labels == dig(body, "metadata", "labels")


def test_a_memory_limit_below_the_request_lowers_the_request() -> None:
    small = main_container(sandbox(PLAIN, memory_bytes=256 * 1024**2))
    memory = [dig(small, "resources", side, "memory") for side in ("requests", "limits")]
    assert memory == ["256Mi", "256Mi"]


def test_an_image_is_named_by_tag_or_digest() -> None:
    def image(tag: str) -> Json:
        settings = KubernetesSettings(image_registry="r.example.com/", image_tag=tag)
        return dig(main_container(sandbox(settings)), "image")

    assert image("1.0") == "r.example.com/cattery-opencode:1.0"
    assert image("1.0@sha256:ab") == "r.example.com/cattery-opencode:1.0@sha256:ab"
    assert image("@sha256:ab") == "r.example.com/cattery-opencode@sha256:ab"


def test_nothing_of_the_launch_stands_in_a_sandbox() -> None:
    body = yaml.safe_dump(sandbox(PLAIN))
    for secret in ("ANTHROPIC", "token", "GREETING", "it's"):
        assert secret not in body


def test_a_probe_has_no_owner_among_harnesses() -> None:
    name = dig(probe(PLAIN), "metadata", "name")
    assert name == name_probe("0badcafe") == "cattery-probe-0badcafe"
    assert dig(probe(PLAIN), "metadata", "labels") == label(
        Component.SANDBOX, "cattery-probe-0badcafe"
    ) | {"cattery.dev/probe": "doctor"}


@pytest.mark.parametrize("wrong", [{"kee": "x"}, {"key": "x", "tolerationSeconds": "soon"}])
def test_a_wrong_toleration_is_the_operators_to_correct(wrong: dict[str, str]) -> None:
    with pytest.raises(SandboxSetupError, match="CATTERY_K8S_TOLERATIONS"):
        sandbox(KubernetesSettings(tolerations=[wrong]))


VALUES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60
) | st.text(st.sampled_from("'\"\\$`\n\t !*?~#;&|()<>{}[]=%-\r"), max_size=30)


@hypothesis_settings(max_examples=40, deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=8))
@example(values=["'", "''", "'\\''", "\\", "\\n", "$(touch x)", "\n\n", "-n", "a\nexport B='c'"])
def test_variables_pass_through_a_real_shell_as_they_are(values: list[str]) -> None:
    env = {f"V_{n}": value for n, value in enumerate(values)}
    script = 'eval "$1"; env -0'
    ran = subprocess.run(
        ["/bin/sh", "-euc", script, "sh", write_environment(env)],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in ran.stdout.decode().split("\0") if line)
    assert {name: found.get(name) for name in env} == env


@pytest.mark.parametrize(
    ("name", "value"), [("A-B", "x"), ("1A", "x"), ("", "x"), ("A\nB", "x"), ("A", "x\0y")]
)
def test_a_variable_that_no_shell_can_set_is_refused(name: str, value: str) -> None:
    with pytest.raises(SandboxSetupError, match="environment variable"):
        write_environment({name: value})


def test_a_link_that_would_break_its_line_is_refused() -> None:
    with pytest.raises(SandboxSetupError, match="link"):
        build_launch_secret(
            owner=("n", "u"), name="n", labels={}, env={}, files={}, links={"a\tb": "/skills"}
        )
