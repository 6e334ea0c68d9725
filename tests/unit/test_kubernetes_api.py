"""The cluster's API through real HTTP: what it does, what its failures turn into (F9 to F11)."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.errors import SandboxSetupError
from cattery.sandboxes.kubernetes.api import ClusterApi, Kind, Listing, WatchLine, WatchType
from cattery.sandboxes.kubernetes.failures import (
    AlreadyExistsError,
    ClusterForbiddenError,
    ClusterRefusedError,
    ClusterUnreachableError,
    PatchConflictError,
    QuotaExceededError,
    WatchExpiredError,
    describe_quota,
)
from cattery.settings import KubernetesSettings
from tests.fake_cluster.cluster import CLAIMS, PODS, SANDBOXES, SECRETS, FakeCluster, PodScript
from tests.unit.cluster_site import IMPATIENT, make_claim, make_sandbox, make_secret, open_api

SUSPEND = {"op": "replace", "path": "/spec/operatingMode", "value": "Suspended"}


@pytest.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with FakeCluster() as cluster:
        yield cluster


@pytest.fixture
async def api(cluster: FakeCluster, tmp_path: Path) -> AsyncIterator[ClusterApi]:
    async with open_api(cluster, tmp_path) as api:
        yield api


async def test_an_object_is_created_read_listed_and_deleted(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    made = await api.create(Kind.SANDBOX, make_sandbox("one"))
    await cluster.until(lambda: cluster.is_ready("one"))
    found = await api.get(Kind.SANDBOX, "one")
    listed = await api.list(Kind.SANDBOX, labels="app.kubernetes.io/part-of=cattery")
    other = await api.list(Kind.SANDBOX, labels="app.kubernetes.io/part-of=other")
    assert made["spec"] == make_sandbox("one")["spec"]
    assert found == cluster.get(SANDBOXES, "one")
    assert listed == Listing((found or {},), str(cluster.store.version))
    assert other.items == ()
    assert await api.delete(Kind.SANDBOX, "one") is True
    assert await api.delete(Kind.SANDBOX, "one") is False
    assert await api.get(Kind.SANDBOX, "one") is None


async def test_a_patch_is_applied_whole_or_not_at_all(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    made = await api.create(Kind.SANDBOX, make_sandbox("one"))
    uid = cluster.get(SANDBOXES, "one")["metadata"]["uid"]  # type: ignore[index]
    same = {"op": "test", "path": "/metadata/uid", "value": uid}
    other = {"op": "test", "path": "/metadata/uid", "value": "other"}
    missing = {"op": "remove", "path": "/metadata/annotations/none"}
    for unfit in (other, missing):
        with pytest.raises(PatchConflictError, match='sandbox "one" in namespace'):
            await api.patch(Kind.SANDBOX, "one", [SUSPEND, unfit])
    assert made["spec"] == (await api.get(Kind.SANDBOX, "one") or {})["spec"]
    patched = await api.patch(Kind.SANDBOX, "one", [same, SUSPEND])
    assert patched is not None
    assert patched["spec"] == make_sandbox("one", mode="Suspended")["spec"]
    assert await api.patch(Kind.SANDBOX, "none", [SUSPEND]) is None


async def test_only_the_very_object_is_deleted(api: ClusterApi, cluster: FakeCluster) -> None:
    cluster.create(CLAIMS, make_claim("one"))
    uid = cluster.get(CLAIMS, "one")["metadata"]["uid"]  # type: ignore[index]
    assert await api.delete(Kind.CLAIM, "one", uid="another") is False
    assert cluster.names(CLAIMS) == ["one"]
    assert await api.delete(Kind.CLAIM, "one", uid=uid) is True
    await cluster.until(lambda: not cluster.names(CLAIMS))


async def test_a_long_list_comes_in_pages_and_is_begun_again_when_they_expire(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    for number in range(1_100):
        cluster.create(SECRETS, make_secret(f"s-{number:04}"))
    cluster.fail("list", SECRETS, 410, nth=2)
    listed = await api.list(Kind.SECRET)
    assert [i["metadata"]["name"] for i in listed.items] == cluster.names(SECRETS)  # type: ignore[index,call-overload]
    assert cluster.count("list", SECRETS) == 2 + 3


@pytest.mark.parametrize("how", [500, "reset", "hang"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_fault_of_the_cluster_is_waited_out(
    api: ClusterApi, cluster: FakeCluster, how: int, after: bool
) -> None:
    cluster.fail("create", CLAIMS, how, times=2, after=after)
    cluster.fail("get", CLAIMS, how, times=2)
    cluster.fail("delete", CLAIMS, how, times=2, after=after)
    if after:
        with pytest.raises(AlreadyExistsError):
            await api.create(Kind.CLAIM, make_claim("one"))
    else:
        await api.create(Kind.CLAIM, make_claim("one"))
    assert await api.get(Kind.CLAIM, "one") == cluster.get(CLAIMS, "one")
    assert await api.delete(Kind.CLAIM, "one") is not after
    assert cluster.names(CLAIMS) == []
    assert [cluster.count(verb, CLAIMS) for verb in ("create", "get", "delete")] == [
        2 if after else 3,
        3,
        2 if after else 3,
    ]


async def test_what_stands_before_the_cluster_may_fail_too(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    for status in (502, 503, 504):
        cluster.fail("list", PODS, status)
        assert (await api.list(Kind.POD)).items == ()
    assert [call.status for call in cluster.calls] == [502, 200, 503, 200, 504, 200]


async def test_a_fault_that_lasts_is_told_with_what_to_check(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.fail("get", PODS, 500, times=1_000, message="etcdserver: no leader")
    with pytest.raises(ClusterUnreachableError) as failure:
        await api.get(Kind.POD, "one")
    assert not failure.value.permanent
    assert failure.value.message == (
        'The cluster could not get the pod "one" in namespace "cattery-sandboxes": it answers 500 '
        "(etcdserver: no leader). Check that its API server is up and that the worker reaches it."
    )
    assert cluster.count("get", PODS) > 5


async def test_an_api_server_that_comes_back_is_not_noticed(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    await api.list(Kind.POD)
    await cluster.close()
    asyncio.get_running_loop().call_later(
        0.2, lambda: asyncio.ensure_future(cluster.open(cluster.port))
    )
    assert (await api.list(Kind.POD)).items == ()


async def test_no_api_server_is_told(cluster: FakeCluster, tmp_path: Path) -> None:
    enough = replace(IMPATIENT, connect=timedelta(seconds=10), answer=timedelta(seconds=10))
    async with open_api(cluster, tmp_path, patience=enough) as api:
        await cluster.close()
        with pytest.raises(ClusterUnreachableError, match="the connection fails"):
            await api.list(Kind.POD)


async def test_the_servers_wish_to_be_left_alone_is_honoured(
    api: ClusterApi, cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.fail("list", PODS, 429, retry_after=1)
    with pytest.raises(ClusterUnreachableError, match="it answers 429"):
        await api.list(Kind.POD)
    assert cluster.count("list", PODS) == 1
    cluster.fail("list", PODS, 429, retry_after=1)
    patience = type(IMPATIENT)(total=timedelta(seconds=5))
    async with open_api(cluster, tmp_path, patience=patience) as patient:
        began = time.monotonic()
        await patient.list(Kind.POD)
    assert 1 <= time.monotonic() - began < 3
    assert cluster.count("list", PODS) == 3


async def test_what_exists_is_not_made_again(api: ClusterApi, cluster: FakeCluster) -> None:
    cluster.create(SANDBOXES, make_sandbox("one"))
    with pytest.raises(AlreadyExistsError, match=r'sandbox "one" .* exists already'):
        await api.create(Kind.SANDBOX, make_sandbox("one"))
    assert cluster.count("create", SANDBOXES) == 1


async def test_a_race_for_the_quotas_counter_is_tried_again(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.fail("create", CLAIMS, 409, times=2, message="the object has been modified")
    await api.create(Kind.CLAIM, make_claim("one"))
    assert cluster.names(CLAIMS) == ["one"]


async def test_a_change_at_the_same_time_is_a_conflict(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.create(SANDBOXES, make_sandbox("one"))
    cluster.fail("patch", SANDBOXES, 409)
    with pytest.raises(PatchConflictError, match="changed by somebody else"):
        await api.patch(Kind.SANDBOX, "one", [SUSPEND])
    assert cluster.count("patch", SANDBOXES) == 1


async def test_a_full_quota_says_which_and_how_full(api: ClusterApi, cluster: FakeCluster) -> None:
    cluster.set_quota(sandboxes=1)
    cluster.create(SANDBOXES, make_sandbox("one"))
    with pytest.raises(QuotaExceededError) as failure:
        await api.create(Kind.SANDBOX, make_sandbox("two"))
    assert (failure.value.code, failure.value.permanent) == ("sandbox_quota", False)
    assert failure.value.message == (
        'The quota "sandboxes" is used up: 1 of 1 count/sandboxes.agents.x-k8s.io are used, 1 more '
        "is needed. It goes on when something else stops, or when an operator raises the quota of "
        'namespace "cattery-sandboxes".'
    )


def test_a_quota_of_several_resources_is_described_whole() -> None:
    message = (
        'pods "a" is forbidden: exceeded quota: team, requested: limits.memory=4Gi,pods=1, '
        "used: limits.memory=8Gi,pods=3, limited: limits.memory=10Gi,pods=3"
    )
    assert describe_quota(message) == (
        'The quota "team" is used up: 8Gi of 10Gi limits.memory are used, 4Gi more is needed; '
        "3 of 3 pods are used, 1 more is needed."
    )
    assert describe_quota('pods "a" is forbidden: violates PodSecurity') is None


async def test_a_missing_right_names_verb_resource_and_namespace(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.allowed = {("get", SANDBOXES)}
    with pytest.raises(ClusterForbiddenError) as failure:
        await api.create(Kind.SANDBOX, make_sandbox("one"))
    assert failure.value.permanent
    assert failure.value.message == (
        'The worker ("system:serviceaccount:cattery-system:cattery-worker") may not create the '
        'sandbox "one" in namespace "cattery-sandboxes". Check its Role there: it needs the verb '
        '"create" on "sandboxes" of API group "agents.x-k8s.io".'
    )
    with pytest.raises(ClusterForbiddenError, match='needs the verb "get" on "pods/log"'):
        await api.read_log("one", lines=1)


async def test_a_policys_refusal_is_final_and_quoted(api: ClusterApi, cluster: FakeCluster) -> None:
    why = 'pods "one" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    cluster.fail("create", SANDBOXES, 403, message=why)
    with pytest.raises(ClusterRefusedError, match="runAsNonRoot") as failure:
        await api.create(Kind.SANDBOX, make_sandbox("one"))
    assert failure.value.permanent
    with pytest.raises(ClusterRefusedError, match="labels: Invalid value"):
        await api.create(
            Kind.CLAIM, {"metadata": {"name": "c", "labels": {"a": "not a label!"}}, "spec": {}}
        )
    assert cluster.select(SANDBOXES) == []


async def test_new_credentials_are_taken_up(cluster: FakeCluster, tmp_path: Path) -> None:
    async with open_api(cluster, tmp_path) as api:
        cluster.token = "rotated"
        cluster.write_kubeconfig(tmp_path)
        assert (await api.list(Kind.POD)).items == ()
        cluster.token = "again"
        with pytest.raises(ClusterForbiddenError, match="credentials"):
            await api.list(Kind.POD)


async def test_an_api_that_is_not_served_never_passes_for_an_absent_object(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    await api.list(Kind.SANDBOX)
    cluster.sandbox_versions = ()
    with pytest.raises(ClusterUnreachableError, match="does not serve sandboxes"):
        await api.get(Kind.SANDBOX, "one")
    with pytest.raises(ClusterRefusedError, match="Install agent-sandbox"):
        await api.get(Kind.SANDBOX, "one")
    cluster.sandbox_versions = ("v1alpha1",)
    assert await api.get(Kind.SANDBOX, "one") is None


async def test_no_configuration_says_where_it_was_looked_for(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(SandboxSetupError, match=f"{missing} cannot be used.*Set KUBECONFIG"):
        await ClusterApi.connect(KubernetesSettings(), kubeconfig=missing)


async def test_a_log_is_read_from_its_end(api: ClusterApi, cluster: FakeCluster) -> None:
    cluster.script_pods(PodScript(image_error="not found"))
    cluster.create(SANDBOXES, make_sandbox("one"))
    await cluster.until(lambda: "ImagePullBackOff" in str(cluster.get(PODS, "one")))
    assert await api.read_log("one", lines=5) == ""
    assert await api.read_log("none", lines=5) == ""
    cluster.script_pods(PodScript())
    await cluster.until(lambda: cluster.is_ready("one"))
    cluster.set_log("one", "a\nb\nc\n")
    assert await api.read_log("one", lines=2) == "b\nc\n"
    assert await api.read_log("one", lines=2, previous=True) == ""
    cluster.kill_container("one")
    cluster.set_log("one", "before\n", previous=True)
    assert await api.read_log("one", lines=2, previous=True) == "before\n"
    cluster.lose_node("one")
    with pytest.raises(ClusterUnreachableError, match="no route to host"):
        await api.read_log("one", lines=2)


async def test_a_watch_tells_what_changed_after_its_version(
    api: ClusterApi, cluster: FakeCluster
) -> None:
    cluster.create(SECRETS, make_secret("before"))
    listed = await api.list(Kind.SECRET)
    cluster.watch_seconds, cluster.bookmark_seconds = 0.3, 0.1
    second = timedelta(seconds=1)
    lines = api.watch(Kind.SECRET, resource_version=listed.resource_version, lasting=second)
    cluster.create(SECRETS, make_secret("one"))
    cluster.hold(SECRETS, "one")
    cluster.release(SECRETS, "one")
    cluster.store.delete(SECRETS, "cattery-sandboxes", "one")
    told = [line async for line in lines]
    assert [line.type for line in told[:4]] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    version = {"resourceVersion": str(cluster.store.version)}
    bookmark = WatchLine(WatchType.BOOKMARK, {"kind": "Secret", "metadata": dict(version)})
    assert told[4:] == [bookmark] * len(told[4:])
    assert len(told) > 4


async def test_a_watch_from_too_long_ago_says_so(api: ClusterApi, cluster: FakeCluster) -> None:
    listed = await api.list(Kind.POD)
    cluster.expire_watches()
    lines = api.watch(
        Kind.POD, resource_version=listed.resource_version, lasting=timedelta(seconds=1)
    )
    with pytest.raises(WatchExpiredError):
        await anext(lines)


async def test_a_watch_that_breaks_off_fails(api: ClusterApi, cluster: FakeCluster) -> None:
    version = (await api.list(Kind.POD)).resource_version
    lines = api.watch(Kind.POD, resource_version=version, lasting=timedelta(seconds=1))
    first = asyncio.ensure_future(anext(lines))
    await cluster.until(lambda: cluster.watches)
    cluster.drop_watches()
    with pytest.raises(ClusterUnreachableError, match="watch the pods"):
        await first


async def test_calls_are_cut_at_any_moment(api: ClusterApi, cluster: FakeCluster) -> None:
    for moment, made in ((1, []), (2, ["one"])):
        task = asyncio.create_task(api.create(Kind.CLAIM, make_claim("one")))
        cluster.cut_at(moment, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert cluster.names(CLAIMS) == made
    assert [m.when for m in cluster.moments] == ["before", "before", "after"]
