"""Cattery itself as an operator installs it: every process up, confined, reachable, replaceable."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from cattery.jsontypes import Json, JsonObject
from tests.cluster.conftest import ROOT, Deployed
from tests.cluster.kubectl import SANDBOXES, SYSTEM, Kubectl, KubectlError

PROCESSES = ("api", "worker", "gateway")
GRANTED = {
    "sandboxes.agents.x-k8s.io": {"get", "list", "watch", "create", "patch", "delete"},
    "persistentvolumeclaims": {"get", "list", "watch", "create", "delete"},
    "secrets": {"create", "delete"},
    "pods": {"get", "list", "watch"},
    "pods/log": {"get"},
    "events": {"list", "watch"},
}


async def test_every_process_is_ready(deployed: Deployed) -> None:
    conditions = {
        _text(pod, "metadata", "labels", "app.kubernetes.io/component"): _condition(pod, "Ready")
        for pod in deployed.kubectl.items("pods", "--field-selector", "status.phase=Running")
        if "deletionTimestamp" not in _object(pod["metadata"])
    }
    assert conditions == dict.fromkeys((*PROCESSES, "postgres", "temporal"), "True")
    async with httpx.AsyncClient(base_url=deployed.base_url) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok", "missing": []}


async def test_a_person_signs_in_and_makes_a_project(admin: httpx.AsyncClient) -> None:
    async with made_project(admin) as project:
        projects = (await admin.get("/projects")).json()
        assert project in [one["project_id"] for one in projects]


async def test_the_web_ui_is_served(deployed: Deployed) -> None:
    async with httpx.AsyncClient(base_url=deployed.base_url) as client:
        page = await client.get("/")
    assert page.status_code == 200
    assert "<title>Cattery" in page.text


def test_the_database_was_migrated_before_anything_else_ran(deployed: Deployed) -> None:
    said = deployed.kubectl.execute("deployment/cattery-api", "cattery", "migrate")
    assert said.splitlines()[-1] == "The database is up to date."


def test_no_log_holds_the_first_password(deployed: Deployed) -> None:
    said = deployed.kubectl.logs("deployment/cattery-api")
    assert deployed.admin_password not in said


async def test_an_operator_gives_a_lost_password_anew(
    deployed: Deployed, admin: httpx.AsyncClient
) -> None:
    name = f"ada-{uuid4().hex[:8]}"
    made = await admin.post(
        "/admin/users", json={"username": name, "password": "a first password", "is_admin": False}
    )
    assert made.status_code == 201, made.text
    said = deployed.kubectl.execute(
        "deployment/cattery-api", "cattery", "admin", "reset-password", name
    )
    password = said.splitlines()[0].rsplit(" ", 1)[1]
    answer = await admin.post("/auth/login", json={"username": name, "password": password})
    assert answer.status_code == 200
    await admin.delete(f"/admin/users/{made.json()['user_id']}")


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_cannot_write_to_its_image(deployed: Deployed, process: str) -> None:
    with pytest.raises(KubectlError, match="Read-only file system"):
        deployed.kubectl.execute(f"deployment/cattery-{process}", "touch", "/home/cattery/x")


@pytest.mark.parametrize("process", PROCESSES)
def test_only_the_worker_holds_a_token_for_the_cluster(deployed: Deployed, process: str) -> None:
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    if process == "worker":
        assert deployed.kubectl.execute(f"deployment/cattery-{process}", "cat", token)
        return
    with pytest.raises(KubectlError, match="No such file"):
        deployed.kubectl.execute(f"deployment/cattery-{process}", "cat", token)


@pytest.mark.parametrize("process", PROCESSES)
def test_only_the_gateway_may_hold_model_keys(deployed: Deployed, process: str) -> None:
    deployment = deployed.kubectl.get("deployment", f"cattery-{process}")
    assert ("cattery-models" in str(deployment)) is (process == "gateway")


def test_the_worker_may_do_what_it_needs_in_one_namespace_and_nothing_else(
    deployed: Deployed,
) -> None:
    assert list_rights(deployed.kubectl, "cattery-worker", SANDBOXES) == GRANTED
    for namespace in (SYSTEM, "kube-system"):
        assert list_rights(deployed.kubectl, "cattery-worker", namespace) == {}


@pytest.mark.parametrize("account", ["cattery-api", "cattery-gateway", "default"])
def test_the_others_may_do_nothing_in_the_cluster(deployed: Deployed, account: str) -> None:
    for namespace in (SANDBOXES, SYSTEM):
        assert list_rights(deployed.kubectl, account, namespace) == {}


def test_the_cluster_takes_the_overlay_for_production(deployed: Deployed) -> None:
    manifests = deployed.kubectl.run("kustomize", str(ROOT / "k8s/overlays/production"))
    said = deployed.kubectl.run(
        *("apply", "--server-side", "--dry-run=server", "--force-conflicts", "--filename", "-"),
        given=manifests,
    )
    assert "deployment.apps/cattery-worker serverside-applied (server dry run)" in said


async def test_a_new_api_pod_takes_over_without_a_failed_request(
    deployed: Deployed, admin: httpx.AsyncClient
) -> None:
    failures: list[str] = []
    over = asyncio.Event()
    asking = asyncio.create_task(_ask_until(over, deployed.base_url, failures))
    await asyncio.to_thread(restart, deployed.kubectl, "cattery-api")
    over.set()
    assert await asking > 20
    assert failures == []
    assert (await admin.get("/projects")).status_code == 200  # sign-ins outlive pods


async def test_a_new_worker_goes_on_with_what_the_old_one_left(
    deployed: Deployed, admin: httpx.AsyncClient
) -> None:
    async with made_project(admin) as project:
        await asyncio.to_thread(restart, deployed.kubectl, "cattery-worker")
    # A deletion is a workflow: it ends because the new worker runs it.
    async with asyncio.timeout(60):
        while (await admin.get(f"/projects/{project}")).status_code != 404:
            await asyncio.sleep(0.5)


def list_rights(kubectl: Kubectl, account: str, namespace: str) -> dict[str, set[str]]:
    """Ask the cluster for an account's verbs by resource, without those that everybody has."""
    said = kubectl.run(
        *("--namespace", namespace, "auth", "can-i", "--list"),
        *("--as", f"system:serviceaccount:{SYSTEM}:{account}"),
    )
    rows = re.findall(r"^(\S+) +\[\] +\[\] +\[(.*)\]$", said, flags=re.MULTILINE)
    return {
        resource: set(verbs.split())
        for resource, verbs in rows
        if not resource.startswith("selfsubject")
    }


def restart(kubectl: Kubectl, deployment: str) -> None:
    """Replace a deployment's pods, as an upgrade does."""
    target = ("--namespace", SYSTEM, "rollout")
    kubectl.run(*target, "restart", f"deployment/{deployment}")
    kubectl.run(*target, "status", f"deployment/{deployment}", "--timeout=120s", timeout=150)


@contextlib.asynccontextmanager
async def made_project(admin: httpx.AsyncClient) -> AsyncIterator[str]:
    """Make a project, and delete it at the end."""
    made = await admin.post("/projects", json={"project_name": f"Cluster {uuid4().hex[:6]}"})
    assert made.status_code == 201, made.text
    project: str = made.json()["project_id"]
    try:
        yield project
    finally:
        await admin.delete(f"/projects/{project}")


async def _ask_until(over: asyncio.Event, base_url: str, failures: list[str]) -> int:
    """Ask for the health again and again, on a new connection each time; return how often."""
    count = 0
    while not over.is_set():
        count += 1
        try:
            async with httpx.AsyncClient(base_url=base_url, timeout=10) as client:
                answer = await client.get("/healthz")
            if answer.status_code != 200:
                failures.append(f"{answer.status_code} {answer.text}")
        except httpx.HTTPError as error:
            failures.append(repr(error))
        await asyncio.sleep(0.05)
    return count


def _condition(pod: JsonObject, kind: str) -> str:
    conditions = _object(pod["status"])["conditions"]
    assert isinstance(conditions, list)
    found = [_object(one) for one in conditions if _object(one)["type"] == kind]
    return str(found[0]["status"])


def _text(value: Json, *path: str) -> str:
    for name in path:
        value = _object(value)[name]
    assert isinstance(value, str)
    return value


def _object(value: Json) -> JsonObject:
    assert isinstance(value, dict)
    return value
