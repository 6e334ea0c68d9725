"""The time at which the cluster ends sandboxes by itself: moved on, reached, and got over."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cattery.clock import utc_now
from cattery.ids import HarnessId
from cattery.sandboxes.kubernetes import leases
from cattery.sandboxes.port import SandboxState
from cattery.settings import KubernetesSettings
from tests.conformance import eventually, make_spec
from tests.fake_cluster.cluster import PODS, SANDBOXES, Raw
from tests.unit.kubernetes_site import ClusterSite, open_cluster_site

TWO_HOURS = timedelta(hours=2)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ClusterSite]:
    async with open_cluster_site(tmp_path) as made:
        yield made


def name_of(harness_id: HarnessId) -> str:
    return f"cattery-toy-{harness_id}"


def spec_of(site: ClusterSite, harness_id: HarnessId) -> Raw:
    found = site.cluster.get(SANDBOXES, name_of(harness_id))
    assert found is not None
    spec: Raw = found["spec"]
    return spec


def end_of(site: ClusterSite, harness_id: HarnessId) -> datetime:
    return datetime.fromisoformat(spec_of(site, harness_id)["shutdownTime"])


def set_end(site: ClusterSite, harness_id: HarnessId, at: datetime) -> None:
    def edit(item: Raw) -> None:
        item["spec"]["shutdownTime"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")

    site.cluster.edit(SANDBOXES, name_of(harness_id), edit)


async def test_a_running_sandbox_gets_two_hours_and_again_once_a_part_of_them_is_over(
    site: ClusterSite,
) -> None:
    spec = make_spec()
    await site.start(spec)
    runtime = await site.runtime()
    assert await runtime.keep_running([spec.harness_id]) == 1
    assert spec_of(site, spec.harness_id)["shutdownPolicy"] == "Retain"
    first = end_of(site, spec.harness_id)
    assert first - utc_now() == pytest.approx(TWO_HOURS, abs=timedelta(seconds=10))
    assert await runtime.keep_running([spec.harness_id]) == 0

    set_end(site, spec.harness_id, utc_now() + timedelta(minutes=80))
    await site.cluster.until(
        lambda: end_of(site, spec.harness_id) - utc_now() < timedelta(minutes=81)
    )

    async def extended() -> bool:
        return await runtime.keep_running([spec.harness_id]) == 1

    await eventually(extended, seconds=5)
    assert end_of(site, spec.harness_id) - utc_now() > timedelta(minutes=119)
    assert (await runtime.observe(spec.harness_id)).state is SandboxState.RUNNING


async def test_what_nobody_wants_or_what_is_suspended_is_not_kept(site: ClusterSite) -> None:
    wanted, other = make_spec(), make_spec()
    await site.start(wanted)
    await site.start(other)
    runtime = await site.runtime()
    assert await runtime.keep_running([wanted.harness_id]) == 1
    assert "shutdownTime" not in spec_of(site, other.harness_id)
    await runtime.stop(wanted.harness_id)
    assert "shutdownTime" not in spec_of(site, wanted.harness_id)
    assert await runtime.keep_running([wanted.harness_id]) == 0


async def test_one_whose_time_has_come_is_absent_and_wakes_in_the_next_generation(
    site: ClusterSite,
) -> None:
    spec = make_spec()
    await site.start(spec)
    runtime = await site.runtime()
    await runtime.keep_running([spec.harness_id])
    ended = utc_now().replace(microsecond=0) - timedelta(seconds=1)
    set_end(site, spec.harness_id, ended)
    await site.cluster.until(lambda: site.cluster.get(PODS, name_of(spec.harness_id)) is None)

    seen = await runtime.observe(spec.harness_id)
    assert (seen.state, seen.generation, seen.expired_at) == (SandboxState.ABSENT, 1, ended)
    assert await runtime.keep_running([spec.harness_id]) == 0, "what was ended stays ended"

    again = await site.start(replace(spec, generation=2))
    assert (again.state, again.generation, again.expired_at) == (SandboxState.RUNNING, 2, None)
    assert "shutdownTime" not in spec_of(site, spec.harness_id)
    assert await runtime.keep_running([spec.harness_id]) == 1


async def test_one_whose_time_has_come_can_be_stopped_started_again_and_removed(
    site: ClusterSite,
) -> None:
    spec = make_spec()
    await site.start(spec)
    runtime = await site.runtime()
    set_end(site, spec.harness_id, utc_now() - timedelta(seconds=5))
    await site.cluster.until(lambda: site.cluster.get(PODS, name_of(spec.harness_id)) is None)
    again = await site.start(spec)
    assert (again.state, again.generation) == (SandboxState.RUNNING, 1)

    set_end(site, spec.harness_id, utc_now() - timedelta(seconds=5))
    await runtime.stop(spec.harness_id)
    stopped = await runtime.observe(spec.harness_id)
    assert (stopped.state, stopped.expired_at) == (SandboxState.ABSENT, None)

    set_end(site, spec.harness_id, utc_now() - timedelta(seconds=5))
    await runtime.remove(spec.harness_id)
    assert site.everything()["sandboxes"] == 0


async def test_many_are_extended_some_at_a_time_and_those_first_that_end_soonest(
    site: ClusterSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "AT_ONCE", 2)
    specs = [make_spec() for _ in range(3)]
    for spec in specs:
        await site.start(spec)
    runtime = await site.runtime()
    harness_ids = [spec.harness_id for spec in specs]
    assert await runtime.keep_running(harness_ids) == 2
    assert await runtime.keep_running(harness_ids) == 1
    assert await runtime.keep_running(harness_ids) == 0


def test_a_site_can_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATTERY_K8S_LEASE", "PT0S")
    assert not KubernetesSettings().lease
