"""A worker that dies between any two calls: the next one converges, with nothing left or doubled.

Each lifecycle is run once to count its moments (before and after each change that it makes in the
cluster), then once for each moment: there the worker dies and says nothing more, and another one
is given the same task, as Temporal gives it. (F5 of the fault table.)
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cattery.sandboxes.kubernetes.runtime import KubernetesRuntime
from cattery.sandboxes.names import SKILLS_CLAIM
from cattery.sandboxes.port import SandboxSpec, SandboxState
from tests.conformance import make_spec
from tests.fake_cluster.cluster import CLAIMS, NAMESPACE
from tests.unit.kubernetes_site import ClusterSite, open_cluster_site

type Act = Callable[[ClusterSite, KubernetesRuntime, SandboxSpec], Awaitable[object]]


@dataclass(frozen=True)
class Lifecycle:
    """What is done first, what is cut, and what must be there in the end."""

    prepare: tuple[Act, ...]
    act: Act
    left: dict[str, int]
    generation: int
    state: SandboxState


async def start(site: ClusterSite, runtime: KubernetesRuntime, spec: SandboxSpec) -> None:
    await runtime.ensure_running(spec, site.report)


async def start_next(site: ClusterSite, runtime: KubernetesRuntime, spec: SandboxSpec) -> None:
    await runtime.ensure_running(replace(spec, generation=2), site.report)


async def stop(_: ClusterSite, runtime: KubernetesRuntime, spec: SandboxSpec) -> None:
    await runtime.stop(spec.harness_id)


async def evict(site: ClusterSite, _: KubernetesRuntime, spec: SandboxSpec) -> None:
    site.cluster.evict(f"cattery-toy-{spec.harness_id}")


async def remove(_: ClusterSite, runtime: KubernetesRuntime, spec: SandboxSpec) -> None:
    await runtime.remove(spec.harness_id)
    await runtime.delete_workspace(spec.project_id)


RUNNING = {"sandboxes": 1, "pods": 1, "secrets": 1, "claims": 2}
STOPPED = {"sandboxes": 1, "pods": 0, "secrets": 0, "claims": 2}
GONE = {"sandboxes": 0, "pods": 0, "secrets": 0, "claims": 1}
LIFECYCLES = {
    "create": Lifecycle((), start, RUNNING, 1, SandboxState.RUNNING),
    "stop": Lifecycle((start,), stop, STOPPED, 1, SandboxState.ABSENT),
    "restart": Lifecycle((start,), start_next, RUNNING, 2, SandboxState.RUNNING),
    "start-after-stop": Lifecycle((start, stop), start_next, RUNNING, 2, SandboxState.RUNNING),
    "heal": Lifecycle((start, evict), start, RUNNING, 1, SandboxState.RUNNING),
    "delete": Lifecycle((start,), remove, GONE, 0, SandboxState.ABSENT),
    "delete-stopped": Lifecycle((start, stop), remove, GONE, 0, SandboxState.ABSENT),
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ClusterSite]:
    async with open_cluster_site(tmp_path) as made:
        yield made


@pytest.mark.parametrize("name", LIFECYCLES)
async def test_every_cut_converges_with_nothing_left_or_doubled(
    site: ClusterSite, name: str
) -> None:
    lifecycle = LIFECYCLES[name]
    moments = await _run_whole(site, lifecycle)
    assert moments > 0
    for number in range(1, moments + 1):
        await _run_cut(site, lifecycle, number)
    print(f"{name}: {moments} cuts tried, {moments} converged")


async def _run_whole(site: ClusterSite, lifecycle: Lifecycle) -> int:
    """Run it undisturbed and count its moments."""
    spec = await _prepare(site, lifecycle)
    before = len(site.cluster.moments)
    await lifecycle.act(site, await site.runtime(), spec)
    moments = len(site.cluster.moments) - before
    await _check(site, lifecycle, spec)
    await _clear(site, spec)
    return moments


async def _run_cut(site: ClusterSite, lifecycle: Lifecycle, number: int) -> None:
    """Run it, die at one moment, and have another worker do it again."""
    spec = await _prepare(site, lifecycle)
    doomed = await site.runtime()
    task: asyncio.Task[object] = asyncio.ensure_future(lifecycle.act(site, doomed, spec))
    died = asyncio.Event()

    def kill() -> None:
        task.cancel()
        died.set()

    site.cluster.cut_at(number, kill)
    await asyncio.gather(task, return_exceptions=True)
    assert died.is_set(), f"moment {number} did not come again"
    await doomed.close()
    await lifecycle.act(site, await site.runtime(), spec)
    await _check(site, lifecycle, spec)
    await _clear(site, spec)


async def _prepare(site: ClusterSite, lifecycle: Lifecycle) -> SandboxSpec:
    spec = make_spec()
    for act in lifecycle.prepare:
        await act(site, await site.runtime(), spec)
    return spec


async def _check(site: ClusterSite, lifecycle: Lifecycle, spec: SandboxSpec) -> None:
    await site.cluster.until(lambda: site.everything() == lifecycle.left)
    seen = await (await site.runtime()).observe(spec.harness_id)
    assert (seen.state, seen.generation) == (lifecycle.state, lifecycle.generation)


async def _clear(site: ClusterSite, spec: SandboxSpec) -> None:
    runtime = await site.runtime()
    await runtime.remove(spec.harness_id)
    await runtime.delete_workspace(spec.project_id)
    await site.close()
    site.runtimes.clear()
    if site.cluster.get(CLAIMS, SKILLS_CLAIM):  # so that each start has to make it
        site.cluster.store.delete(CLAIMS, NAMESPACE, SKILLS_CLAIM)
    await site.cluster.until(lambda: not any(site.everything().values()))
