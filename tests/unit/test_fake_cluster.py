"""The fake cluster does what agent-sandbox 0.5.6 and Kubernetes 1.34 do: others rely on it."""

from collections.abc import AsyncIterator

import pytest

from tests.fake_cluster.cluster import (
    CLAIMS,
    NAMESPACE,
    PODS,
    SANDBOXES,
    SECRETS,
    FakeCluster,
    Raw,
    fresh_ips,
)
from tests.unit.cluster_site import make_claim, make_sandbox, make_secret


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        yield cluster


def mount(sandbox: Raw, volume: Raw) -> Raw:
    sandbox["spec"]["podTemplate"]["spec"].setdefault("volumes", []).append(volume)
    return sandbox


def set_mode(mode: str) -> list[Raw]:
    return [{"op": "replace", "path": "/spec/operatingMode", "value": mode}]


def condition(item: Raw | None, kind: str) -> tuple[str, str]:
    found = next(c for c in (item or {})["status"]["conditions"] if c["type"] == kind)
    return found["status"], found["reason"]


async def start(cluster: FakeCluster, name: str = "one") -> Raw:
    made = cluster.create(SANDBOXES, make_sandbox(name))
    await cluster.until(lambda: cluster.is_ready(name))
    return made


async def test_a_deleted_pod_is_made_again_at_another_address(cluster: FakeCluster) -> None:
    cluster.kubelet.give_ip = fresh_ips()
    await start(cluster)
    before = cluster.get(PODS, "one") or {}
    cluster.delete_pod("one")

    def is_again() -> bool:
        pod = cluster.get(PODS, "one") or before
        return pod["metadata"]["uid"] != before["metadata"]["uid"] and "podIP" in pod["status"]

    await cluster.until(is_again)
    await cluster.until(lambda: cluster.is_ready("one"))
    after = cluster.get(PODS, "one") or {}
    assert (before["status"]["podIP"], after["status"]["podIP"]) == ("127.0.1.2", "127.0.1.3")


async def test_a_failed_pod_is_replaced_only_by_way_of_suspension(cluster: FakeCluster) -> None:
    await start(cluster)
    cluster.evict("one")
    failed = cluster.get(PODS, "one")
    await cluster.until(lambda: not cluster.is_ready("one"))
    assert condition(cluster.get(SANDBOXES, "one"), "Ready") == ("False", "PodFailed")
    assert cluster.get(PODS, "one") == failed
    cluster.store.patch(SANDBOXES, NAMESPACE, "one", set_mode("Suspended"))
    await cluster.until(lambda: cluster.get(PODS, "one") is None)
    suspended = ("True", "PodTerminated")
    await cluster.until(lambda: condition(cluster.get(SANDBOXES, "one"), "Suspended") == suspended)
    cluster.store.patch(SANDBOXES, NAMESPACE, "one", set_mode("Running"))
    await cluster.until(lambda: cluster.is_ready("one"))


async def test_a_changed_template_reaches_a_running_pods_metadata_only(
    cluster: FakeCluster,
) -> None:
    await start(cluster)

    def edit(item: Raw) -> None:
        template = item["spec"]["podTemplate"]
        template["metadata"]["annotations"] = {"cattery.dev/generation": "2"}
        template["spec"]["containers"] = [{"name": "harness", "image": "other"}]

    cluster.edit(SANDBOXES, "one", edit)
    generation = "cattery.dev/generation"
    await cluster.until(
        lambda: (cluster.get(PODS, "one") or {})["metadata"]["annotations"][generation] == "2"
    )
    pod = cluster.get(PODS, "one") or {}
    assert pod["spec"]["containers"] == [{"name": "harness", "image": "image"}]


async def test_a_pod_waits_for_its_secret_and_its_claim(cluster: FakeCluster) -> None:
    sandbox = mount(make_sandbox("one"), {"name": "a", "secret": {"secretName": "launch"}})
    mount(sandbox, {"name": "b", "persistentVolumeClaim": {"claimName": "work"}})
    cluster.create(SANDBOXES, sandbox)
    await cluster.until(lambda: "not found" in str(cluster.get(PODS, "one")))
    cluster.create(CLAIMS, make_claim("work"))
    await cluster.until(lambda: "ContainerCreating" in str(cluster.get(PODS, "one")))
    assert (cluster.get(CLAIMS, "work") or {})["status"]["phase"] == "Bound"
    cluster.create(SECRETS, make_secret("launch"))
    await cluster.until(lambda: cluster.is_ready("one"))


async def test_what_a_sandbox_owns_goes_with_it_and_a_claim_after_its_last_pod(
    cluster: FakeCluster,
) -> None:
    sandbox = mount(make_sandbox("one"), {"name": "b", "persistentVolumeClaim": {"claimName": "w"}})
    cluster.create(CLAIMS, make_claim("w"))
    made = cluster.create(SANDBOXES, sandbox)
    secret = make_secret("launch")
    secret["metadata"] = {"name": "launch", "ownerReferences": [{"uid": made["metadata"]["uid"]}]}
    cluster.create(SECRETS, secret)
    await cluster.until(lambda: cluster.is_ready("one"))
    cluster.store.delete(CLAIMS, NAMESPACE, "w")
    cluster.hold(SANDBOXES, "one")
    cluster.store.delete(SANDBOXES, NAMESPACE, "one")
    await cluster.until(lambda: "deletionTimestamp" in str(cluster.get(SANDBOXES, "one")))
    assert [cluster.names(kind) for kind in (PODS, SECRETS, CLAIMS)] == [["one"], ["launch"], ["w"]]
    cluster.release(SANDBOXES, "one")
    await cluster.until(
        lambda: not any(cluster.names(kind) for kind in (SANDBOXES, PODS, SECRETS, CLAIMS))
    )


async def test_a_lost_nodes_pod_stays_until_the_node_is_back(cluster: FakeCluster) -> None:
    cluster.create(SANDBOXES, make_sandbox("one"))
    await cluster.until(lambda: cluster.is_ready("one"))
    cluster.lose_node("one", evicting=True)
    await cluster.until(lambda: not cluster.is_ready("one"))
    lost = cluster.get(PODS, "one") or {}
    assert (lost["status"]["phase"], lost["status"]["reason"]) == ("Running", "NodeLost")
    cluster.find_node("one")
    uid = lost["metadata"]["uid"]
    await cluster.until(lambda: (cluster.get(PODS, "one") or lost)["metadata"]["uid"] != uid)
    await cluster.until(lambda: cluster.is_ready("one"))


async def test_a_paused_controller_does_nothing(cluster: FakeCluster) -> None:
    cluster.controller.paused = True
    cluster.create(SANDBOXES, make_sandbox("one"))
    cluster.create(CLAIMS, make_claim("w"))
    assert (cluster.names(PODS), "status" in (cluster.get(SANDBOXES, "one") or {})) == ([], False)
    cluster.controller.resume()
    await cluster.until(lambda: cluster.is_ready("one"))
