"""The version of the Sandbox API: chosen by what is served, the same to everybody else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind
from cattery.sandboxes.kubernetes.discovery import V1Alpha1, V1Beta1, choose_dialect
from cattery.sandboxes.kubernetes.failures import ClusterRefusedError, ClusterUnreachableError
from cattery.sandboxes.kubernetes.state import ClusterState
from tests.conformance import make_spec
from tests.fake_cluster.cluster import PODS, SANDBOXES, SECRETS, FakeCluster
from tests.unit.cluster_site import RESTLESS, make_sandbox, open_api
from tests.unit.kubernetes_site import open_cluster_site


def group(*versions: str) -> JsonObject:
    return {"kind": "APIGroup", "versions": [{"version": version} for version in versions]}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        cluster.sandbox_versions = ("v1alpha1",)
        yield cluster


@pytest.fixture
async def api(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[ClusterApi]:
    async with open_api(cluster, tmp_path) as api:
        yield api


def test_v1alpha1_is_only_for_clusters_that_serve_nothing_newer() -> None:
    assert isinstance(choose_dialect(group("v1beta1", "v1alpha1")), V1Beta1)
    assert isinstance(choose_dialect(group("v1alpha1", "v1beta1")), V1Beta1)
    assert isinstance(choose_dialect(group("v1beta1")), V1Beta1)
    assert isinstance(choose_dialect(group("v1alpha1")), V1Alpha1)
    for nothing in (None, group(), group("v2")):
        with pytest.raises(ClusterRefusedError, match="Install agent-sandbox"):
            choose_dialect(nothing)


def test_a_sandbox_is_the_same_after_both_translations() -> None:
    dialect = V1Alpha1()
    for mode, replicas in (("Running", 1), ("Suspended", 0)):
        sandbox = make_sandbox("one", mode=mode)
        written = dialect.write(sandbox)
        assert isinstance(written["spec"], dict)
        assert written["apiVersion"] == "agents.x-k8s.io/v1alpha1"
        assert written["spec"]["replicas"] == replicas
        assert "operatingMode" not in written["spec"]
        read = dialect.read(written)
        assert {**read, "status": None} == {**sandbox, "status": None}


def test_patches_are_translated() -> None:
    whole = make_sandbox("one", mode="Suspended")["spec"]
    assert isinstance(whole, dict)
    assert V1Alpha1().write_patch(
        [
            {"op": "test", "path": "/metadata/uid", "value": "u"},
            {"op": "replace", "path": "/spec/operatingMode", "value": "Suspended"},
            {"op": "test", "path": "/spec/operatingMode", "value": "Running"},
            {"op": "replace", "path": "/spec", "value": whole},
        ]
    ) == [
        {"op": "test", "path": "/metadata/uid", "value": "u"},
        {"op": "replace", "path": "/spec/replicas", "value": 0},
        {"op": "test", "path": "/spec/replicas", "value": 1},
        {
            "op": "replace",
            "path": "/spec",
            "value": {"podTemplate": whole["podTemplate"], "replicas": 0},
        },
    ]


@pytest.mark.parametrize(("pods", "status"), [(0, "True"), (1, "False")])
def test_the_condition_that_older_controllers_lack_is_added(pods: int, status: str) -> None:
    ready: JsonObject = {"type": "Ready", "status": "False"}
    read = V1Alpha1().read(
        {
            "metadata": {"generation": 3},
            "spec": {"replicas": 0},
            "status": {"replicas": pods, "conditions": [ready]},
        }
    )
    assert read["status"] == {
        "conditions": [
            ready,
            {
                "type": "Suspended",
                "status": status,
                "reason": "PodTerminated" if pods == 0 else "PodNotTerminated",
                "message": "",
                "observedGeneration": 3,
            },
        ]
    }


async def test_an_older_cluster_is_worked_with_in_v1beta1(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    state = ClusterState(api, timing=RESTLESS)
    await state.start()
    made = await api.create(Kind.SANDBOX, make_sandbox("cattery-one"))
    assert made["apiVersion"] == "agents.x-k8s.io/v1beta1"
    await cluster.until(lambda: cluster.is_ready("cattery-one"))
    patched = await api.patch(
        Kind.SANDBOX,
        "cattery-one",
        [{"op": "replace", "path": "/spec/operatingMode", "value": "Suspended"}],
    )
    assert patched is not None
    assert patched["spec"] == make_sandbox("cattery-one", mode="Suspended")["spec"]
    await cluster.until(lambda: not cluster.select(PODS))

    def suspended() -> bool | None:
        view = state.sandboxes.get("cattery-one")
        return view.suspended or None if view else None

    assert await state.wait_for(suspended, about=("cattery-one",), timeout=5)
    listed = await api.list(Kind.SANDBOX)
    assert listed.items == (await api.get(Kind.SANDBOX, "cattery-one"),)
    await state.stop()


async def test_a_controller_that_is_upgraded_is_noticed(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    await api.create(Kind.SANDBOX, make_sandbox("one"))
    cluster.sandbox_versions = ("v1beta1",)
    with pytest.raises(ClusterUnreachableError):  # and learns that the version it knew is gone
        await api.get(Kind.SANDBOX, "one")
    assert await api.get(Kind.SANDBOX, "one") == cluster.get(SANDBOXES, "one")


async def test_a_whole_life_on_the_old_version_leaves_nothing(tmp_path: Path) -> None:
    async with open_cluster_site(tmp_path) as site:
        site.cluster.sandbox_versions = ("v1alpha1",)
        spec = make_spec()
        await site.start(spec)
        [secret] = site.cluster.select(SECRETS)
        [owner] = secret["metadata"]["ownerReferences"]
        assert owner["apiVersion"] == "agents.x-k8s.io/v1alpha1"
        runtime = await site.runtime()
        await runtime.stop(spec.harness_id)
        await site.start(replace(spec, generation=2))
        await runtime.remove(spec.harness_id)
        await site.cluster.until(lambda: site.everything()["secrets"] == 0)
        assert site.everything() == {"sandboxes": 0, "pods": 0, "secrets": 0, "claims": 2}
