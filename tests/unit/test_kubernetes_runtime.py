"""The Kubernetes runtime on a cluster with every fault: what it makes, says and ends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cattery.clock import utc_now
from cattery.errors import SandboxError, SandboxSetupError, SandboxWaitingError
from cattery.harnesses.port import HarnessEndpoint
from cattery.ids import HarnessId, ProjectId, new_id
from cattery.sandboxes.kubernetes.following import Patience
from cattery.sandboxes.names import name_workspace
from cattery.sandboxes.port import FileManagerSpec, Isolation, Observation, SandboxState
from tests.conformance import PASSWORD, bare, eventually, make_spec
from tests.fake_cluster.cluster import CLAIMS, PODS, SANDBOXES, SECRETS, PodScript, Raw, fresh_ips
from tests.unit.kubernetes_site import ClusterSite, deaf, open_cluster_site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ClusterSite]:
    async with open_cluster_site(tmp_path) as made:
        yield made


async def test_a_start_makes_one_of_each_and_tells_every_step(site: ClusterSite) -> None:
    spec = make_spec()
    started = await site.start(spec)

    assert started == Observation(
        harness_id=spec.harness_id,
        generation=1,
        state=SandboxState.RUNNING,
        name=f"cattery-toy-{spec.harness_id}",
        endpoint=HarnessEndpoint("http://127.0.0.1:4096", PASSWORD),
    )
    assert site.everything() == {"sandboxes": 1, "pods": 1, "secrets": 1, "claims": 2}
    assert set(site.steps) == {"workspace", "scheduled", "image", "started", "answering"}
    for step in site.steps.values():
        assert step.finished_at is not None
        assert step.started_at <= step.finished_at
    assert "Scheduled" in site.told
    mutations = [(c.verb, c.plural) for c in site.cluster.calls if c.is_mutating]
    assert mutations == [
        ("create", CLAIMS),
        ("create", CLAIMS),
        ("create", SANDBOXES),
        ("create", SECRETS),
    ]
    nothing_secret = str(site.cluster.select(SANDBOXES)) + str(site.cluster.select(PODS))
    assert spec.gateway_token not in nothing_secret
    assert spec.password not in nothing_secret


async def test_another_worker_adopts_what_runs(site: ClusterSite) -> None:
    spec = make_spec()
    first = await site.start(spec)
    again = await site.start(replace(spec, gateway_token="of-another-attempt"))
    assert again == first
    assert site.everything() == {"sandboxes": 1, "pods": 1, "secrets": 1, "claims": 2}
    assert bare(await (await site.runtime()).observe(spec.harness_id)) == bare(first)


async def test_what_belongs_to_a_project_is_listed_by_label_until_it_is_gone(
    site: ClusterSite,
) -> None:
    spec, other = make_spec(), make_spec()
    await site.start(spec)
    await site.start(other)
    runtime = await site.runtime()
    name = f"cattery-toy-{spec.harness_id}"
    assert await runtime.list_belongings(harness_id=spec.harness_id) == [
        f"sandbox {name}",
        f"pod {name}",
    ]
    claim = f"volume claim {name_workspace(spec.project_id)}"
    assert await runtime.list_belongings(project_id=spec.project_id) == [
        f"sandbox {name}",
        f"pod {name}",
        claim,
    ]
    await runtime.remove(spec.harness_id)
    assert await runtime.list_belongings(harness_id=spec.harness_id) == []
    assert await runtime.list_belongings(project_id=spec.project_id) == [claim]
    await runtime.delete_workspace(spec.project_id)
    assert await runtime.list_belongings(project_id=spec.project_id) == []
    assert len(await runtime.list_belongings(project_id=other.project_id)) == 3


@pytest.mark.parametrize("is_bare", [False, True])
async def test_a_sandbox_of_another_owner_is_replaced(site: ClusterSite, is_bare: bool) -> None:
    spec = make_spec()
    await site.start(spec)
    name = f"cattery-toy-{spec.harness_id}"

    def take_over(item: dict[str, dict[str, dict[str, str]]]) -> None:
        item["metadata"]["labels"]["cattery.dev/project-id"] = str(new_id())
        if is_bare:
            del item["metadata"]["annotations"]

    before = site.cluster.get(SANDBOXES, name)
    assert before is not None
    site.cluster.edit(SANDBOXES, name, take_over)
    assert (await site.start(spec)).state is SandboxState.RUNNING
    after = site.cluster.get(SANDBOXES, name)
    assert after is not None
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["metadata"]["labels"]["cattery.dev/project-id"] == str(spec.project_id)
    await site.cluster.until(lambda: site.everything()["secrets"] == 1)


async def test_a_stop_keeps_object_and_volume_and_a_start_rolls_it(site: ClusterSite) -> None:
    spec = make_spec()
    await site.start(spec)
    runtime = await site.runtime()
    await runtime.stop(spec.harness_id)
    await runtime.stop(spec.harness_id)
    assert site.everything() == {"sandboxes": 1, "pods": 0, "secrets": 0, "claims": 2}
    assert (await runtime.observe(spec.harness_id)).state is SandboxState.ABSENT

    again = await site.start(replace(spec, generation=2))
    assert (again.generation, again.state) == (2, SandboxState.RUNNING)
    assert site.everything() == {"sandboxes": 1, "pods": 1, "secrets": 1, "claims": 2}
    with pytest.raises(SandboxSetupError, match="generation 1 is out of date"):
        await site.start(spec)

    await runtime.remove(spec.harness_id)
    await runtime.remove(spec.harness_id)
    await runtime.delete_workspace(spec.project_id)
    await runtime.delete_workspace(spec.project_id)
    assert site.everything() == {"sandboxes": 0, "pods": 0, "secrets": 0, "claims": 1}


async def test_an_end_is_waited_for_and_not_only_asked_for(site: ClusterSite) -> None:
    site.cluster.kubelet.termination = 0.3
    spec = make_spec()
    await site.start(spec)
    runtime = await site.runtime()
    await runtime.stop(spec.harness_id)
    assert site.cluster.select(PODS) == []
    await site.start(replace(spec, generation=2))
    await runtime.remove(spec.harness_id)
    assert site.cluster.select(PODS) == site.cluster.select(SANDBOXES) == []


async def test_an_image_that_is_not_there_is_named(site: ClusterSite) -> None:
    site.cluster.script_pods(PodScript(image_error="manifest for cattery-toy:dev not found"))
    with pytest.raises(SandboxError, match="cattery-toy:dev") as caught:
        await site.start(make_spec())
    assert "not found" in caught.value.message
    assert site.steps["image"].finished_at is None


async def test_a_crash_is_told_with_exit_code_and_log_without_secrets(site: ClusterSite) -> None:
    spec = make_spec()
    name = f"cattery-toy-{spec.harness_id}"
    site.cluster.script_pods(PodScript(crash=3))
    for previous in (True, False):
        words = f"my token {spec.gateway_token}\nlast words\n"
        site.cluster.set_log(name, words, previous=previous)
    with pytest.raises(SandboxError, match="exit code 3") as caught:
        await site.start(spec)
    assert "my token [redacted]\nlast words" in caught.value.message


async def test_no_room_on_any_node_is_told_after_the_time_is_up(site: ClusterSite) -> None:
    site.patience = Patience(start=0.5)
    words = "0/3 nodes are available: 3 Insufficient memory."
    site.cluster.script_pods(PodScript(unschedulable=words))
    with pytest.raises(SandboxError, match="memory"):
        await site.start(make_spec())
    assert "memory" in site.steps["scheduled"].detail


async def test_a_program_that_does_not_answer_is_told_with_its_log(site: ClusterSite) -> None:
    site.patience = Patience(start=0.5)
    spec = make_spec()
    deaf.add("127.0.0.1")
    site.cluster.set_log(f"cattery-toy-{spec.harness_id}", "still thinking\n")
    with pytest.raises(SandboxError, match="did not answer within") as caught:
        await site.start(spec)
    assert "still thinking" in caught.value.message


@pytest.mark.parametrize("limit", ["pods", "sandboxes", "persistentvolumeclaims"])
async def test_a_quota_is_waited_for_and_is_no_failure(site: ClusterSite, limit: str) -> None:
    site.cluster.set_quota(**{limit: 0})
    spec = make_spec()
    with pytest.raises(SandboxWaitingError, match="quota"):
        await site.start(spec)
    assert site.waits[0] is not None

    site.patience = Patience(start=30, waiting=30, nudge=0.05)
    site.progress.clear()
    starting = asyncio.create_task(site.start(spec))
    await eventually(lambda: site.waits)
    assert not starting.done()
    site.cluster.set_quota()
    assert (await starting).state is SandboxState.RUNNING
    assert site.waits[-1] is None


async def test_a_network_that_enforces_nothing_starts_no_sandbox(site: ClusterSite) -> None:
    site.isolation = Isolation(confined=False, summary="The network is not enforced.")
    with pytest.raises(SandboxSetupError, match=r"is not enforced.*ALLOW_UNENFORCED_NETWORK"):
        await site.start(make_spec())
    site.isolation = Isolation(confined=False, summary="It could not be checked.", known=False)
    with pytest.raises(SandboxWaitingError, match="could not be checked"):
        await site.start(make_spec())
    assert site.cluster.select(SANDBOXES) == []
    site.settings = site.settings.model_copy(update={"allow_unenforced_network": True})
    assert (await site.start(make_spec())).state is SandboxState.RUNNING


async def test_where_an_unenforced_network_is_allowed_no_start_waits_for_its_check(
    site: ClusterSite,
) -> None:
    site.network_is_checked = False
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await site.start(make_spec())
    assert site.cluster.select(SANDBOXES) == []
    site.settings = site.settings.model_copy(update={"allow_unenforced_network": True})
    async with asyncio.timeout(30):
        assert (await site.start(make_spec())).state is SandboxState.RUNNING


async def test_an_evicted_pod_is_recoverable_and_rolled_in_its_generation(
    site: ClusterSite,
) -> None:
    site.cluster.kubelet.give_ip = fresh_ips()
    spec = make_spec()
    first = await site.start(spec)
    site.cluster.evict(first.name)
    seen = await (await site.runtime()).observe(spec.harness_id)
    assert (seen.state, seen.recoverable) == (SandboxState.FAILED, True)
    assert "low on resource: memory" in seen.reason

    healed = await site.start(spec)
    assert (healed.state, healed.generation) == (SandboxState.RUNNING, 1)
    assert healed.endpoint != first.endpoint
    assert site.everything() == {"sandboxes": 1, "pods": 1, "secrets": 1, "claims": 2}


async def test_a_program_that_hangs_is_given_another_pod(site: ClusterSite) -> None:
    site.cluster.kubelet.give_ip = fresh_ips()
    spec = make_spec()
    first = await site.start(spec)
    long_ago = (utc_now() - timedelta(minutes=10)).isoformat(timespec="seconds")

    def hang(pod: Raw) -> None:
        status = pod["status"]
        status["containerStatuses"][0]["ready"] = False
        status["containerStatuses"][0]["state"] = {"running": {"startedAt": long_ago}}
        for condition in status["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition |= {"status": "False", "lastTransitionTime": long_ago}

    site.cluster.edit(PODS, first.name, hang)
    seen = await (await site.runtime()).observe(spec.harness_id)
    assert (seen.state, seen.recoverable) == (SandboxState.FAILED, True)
    healed = await site.start(spec)
    assert (healed.generation, healed.endpoint != first.endpoint) == (1, True)


async def test_changes_are_told_as_they_come(site: ClusterSite) -> None:
    site.cluster.kubelet.give_ip = fresh_ips()
    spec = make_spec()
    first = await site.start(spec)
    told: list[Observation] = []

    async def notice(observed: Observation) -> None:
        told.append(observed)

    watching = asyncio.create_task((await site.runtime()).watch(notice))
    await eventually(lambda: [one.state for one in told] == [SandboxState.RUNNING])

    site.cluster.delete_pod(first.name)
    await eventually(lambda: told[-1].endpoint not in (None, told[0].endpoint))
    site.cluster.kill_container(first.name, oom=True)
    await eventually(lambda: told[-1].restarts == 1)
    site.cluster.evict(first.name)
    await eventually(lambda: told[-1].state is SandboxState.FAILED)
    assert told[-1].recoverable
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_node_that_went_is_told_and_nothing_is_started_beside_its_pod(
    site: ClusterSite,
) -> None:
    spec = make_spec()
    first = await site.start(spec)
    site.cluster.lose_node(first.name, evicting=True)
    seen = await (await site.runtime()).observe(spec.harness_id)
    assert seen.state is SandboxState.STARTING
    assert "node" in seen.reason
    runtime = await site.runtime()
    runtime._ending._patience = 0.3
    with pytest.raises(SandboxError, match="node"):
        await runtime.ensure_running(replace(spec, generation=2), site.report)
    assert site.everything()["pods"] == 1
    site.cluster.find_node(first.name)
    assert (await site.start(replace(spec, generation=2))).state is SandboxState.RUNNING


async def test_what_holds_a_deletion_up_is_named_and_never_forced(site: ClusterSite) -> None:
    spec = make_spec()
    first = await site.start(spec)
    site.cluster.hold(SANDBOXES, first.name)
    runtime = await site.runtime()
    runtime._ending._patience = 0.3
    with pytest.raises(SandboxError, match=r"example\.com/hold"):
        await runtime.remove(spec.harness_id)
    site.cluster.release(SANDBOXES, first.name)
    await runtime.remove(spec.harness_id)

    claim = name_workspace(spec.project_id)
    site.cluster.hold(CLAIMS, claim)
    runtime._claims._patience = 0.3
    with pytest.raises(SandboxError, match=r"example\.com/hold"):
        await runtime.delete_workspace(spec.project_id)
    site.cluster.release(CLAIMS, claim)
    await runtime.delete_workspace(spec.project_id)


async def test_a_start_outlives_an_api_server_that_is_away(site: ClusterSite) -> None:
    site.cluster.kubelet.pace = 0.2
    starting = asyncio.create_task(site.start(make_spec()))
    await site.cluster.until(lambda: site.cluster.select(PODS))
    port = site.cluster.port
    await site.cluster.close()
    await asyncio.sleep(1)
    await site.cluster.open(port)
    assert (await starting).state is SandboxState.RUNNING


async def test_a_log_goes_back_before_a_restart(site: ClusterSite) -> None:
    spec = make_spec()
    first = await site.start(spec)
    site.cluster.kill_container(first.name)
    site.cluster.set_log(first.name, "before\n", previous=True)
    site.cluster.set_log(first.name, "after\n")
    runtime = await site.runtime()
    assert await runtime.read_log(spec.harness_id) == "before\nafter\n"
    assert await runtime.read_log(HarnessId(new_id())) == ""


async def test_a_file_manager_starts_and_stops_with_its_volume_kept(site: ClusterSite) -> None:
    runtime = await site.runtime()
    for project in (ProjectId(new_id()), None):
        manager = FileManagerSpec(project, 1, "file-manager-token")
        runtime._following = _AnsweringAtOnce(runtime._following)  # type: ignore[assignment]
        url = await runtime.ensure_file_manager(manager, site.report)
        assert url == "http://127.0.0.1:4097"
        assert "file-manager-token" not in str(site.cluster.select(SANDBOXES))
        claims = len(site.cluster.select(CLAIMS))
        await runtime.stop_file_manager(project)
        await runtime.stop_file_manager(project)
        assert site.everything() == {"sandboxes": 0, "pods": 0, "secrets": 0, "claims": claims}


class _AnsweringAtOnce:
    """Follows as the real one, but asks nobody."""

    def __init__(self, following: object) -> None:
        self._following = following

    async def follow(self, wanted: object, noun: str, _probe: object, report: object) -> str:
        async def probe(_: str) -> None:
            return

        return str(await self._following.follow(wanted, noun, probe, report))  # type: ignore[attr-defined]
