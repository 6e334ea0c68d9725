"""`make bench-cluster`: what a sandbox on a cluster costs, beside the same Sandbox made by hand.

    python -m tests.bench.cluster [--rounds N] [--scale N] [--json FILE]

Needs KUBECONFIG, agent-sandbox and the image `cattery-opencode:$TAG` (`make test-cluster` has
them). Prints, from the product's own call on: until the Sandbox object is visible, until the
harness is ready, cold and resumed, beside a bare Sandbox with the same pod; and the calls to the
API server that each lifecycle takes. `--scale N` makes N sandboxes on kwok's fake nodes through
the product and deletes them again, and prints what that costs the worker.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import override
from uuid import uuid4

import uvloop
from pydantic import SecretStr

from api.temporal_lifecycles import TemporalLifecycles
from cattery.db import harnesses, projects, users
from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.db.states import HarnessStatus
from cattery.errors import SandboxError
from cattery.ids import HarnessId, ProjectId, UserId, new_id
from cattery.jsontypes import Json, JsonObject
from cattery.sandboxes.asking import PAUSE
from cattery.sandboxes.kubernetes.api import ClusterApi
from cattery.sandboxes.kubernetes.failures import Attempt
from cattery.sandboxes.kubernetes.kinds import Kind
from cattery.sandboxes.kubernetes.launching import Launching
from cattery.sandboxes.kubernetes.placement import Wanted
from cattery.sandboxes.kubernetes.probing import probe_harness
from cattery.sandboxes.kubernetes.runtime import KubernetesRuntime
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.names import name_sandbox
from cattery.sandboxes.port import Isolation, SandboxSpec
from cattery.settings import DatabaseSettings, KubernetesSettings, SandboxSettings
from cattery.temporal.schedules import ensure_search_attributes
from tests.bench import scale
from tests.bench.tables import describe_run, quantile
from tests.harness_types import clone_registry
from tests.postgres_server import running_postgres
from tests.processes import running_temporal
from workers.process import WorkerParts, running_workers
from workers.settings import WorkerSettings

GATEWAY = "http://127.0.0.1:9"
"""Nobody listens: no turn is run."""
ROUNDS = 10
OWNER = "bench"


class CountingApi(ClusterApi):
    """Counts the calls by verb and kind; watches are no calls."""

    calls: Counter[str]

    @override
    def _attempt(self, verb: str, kind: Kind, name: str = "") -> Attempt:
        if verb != "watch":
            self.calls[f"{verb} {kind.plural}"] += 1
        return super()._attempt(verb, kind, name)


@dataclass
class Bench:
    """The platform with one project, and a second client that makes bare Sandboxes."""

    database: Database
    lifecycles: TemporalLifecycles
    runtime: KubernetesRuntime
    product: CountingApi
    bare: ClusterApi
    state: ClusterState
    settings: KubernetesSettings
    owner: UserId
    project: ProjectId
    times: dict[str, list[float]] = field(default_factory=dict)
    calls: dict[str, Counter[str]] = field(default_factory=dict)

    async def measure(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        """Keep how long something took, in milliseconds."""
        began = time.perf_counter()
        await act()
        self.times.setdefault(name, []).append((time.perf_counter() - began) * 1_000)

    @asynccontextmanager
    async def counting(self, name: str) -> AsyncIterator[None]:
        """Keep the calls that the product made meanwhile."""
        self.product.calls.clear()
        yield
        self.calls[name] = Counter(self.product.calls)

    async def make_harness(self) -> HarnessId:
        new = harnesses.NewHarness(name="b", model="gpt-5.5", type="opencode", env_vars={})
        async with self.database.write() as rows:
            made = await harnesses.create_harness(rows, self.project, self.owner, new)
        return made.harness_id

    async def wait_for(self, harness_id: HarnessId, status: HarnessStatus) -> None:
        while True:
            async with self.database.read() as rows:
                row = await harnesses.get_harness(rows, harness_id, self.owner)
            assert row.sandbox_status is not HarnessStatus.FAILED, row.failure
            if row.sandbox_status is status:
                return
            await asyncio.sleep(0.01)

    async def wait_until_visible(self, name: str) -> None:
        await self.state.wait_for(lambda: self.state.sandboxes.get(name), about=(name,), timeout=60)

    async def wait_until_ready(self, name: str) -> None:
        """Wait for the condition Ready of the present spec, as `kubectl wait` does."""

        def look() -> bool | None:
            view = self.state.sandboxes.get(name)
            ready = view.conditions.get("Ready") if view else None
            if view is None or ready is None or view.suspended:
                return None
            is_fresh = (ready.observed_generation or 0) >= view.metadata_generation
            return True if ready.status == "True" and is_fresh else None

        await self.state.wait_for(look, about=(name,), timeout=120)

    def plan_bare(self) -> tuple[Wanted, SandboxSpec]:
        spec = SandboxSpec(
            harness_id=HarnessId(new_id()),
            project_id=self.project,
            harness_type="opencode",
            generation=1,
            model="gpt-5.5",
            env={},
            gateway_url=GATEWAY,
            gateway_token="bench-token",
            password="bench-password",
        )
        launching = Launching(self.settings, SandboxSettings())
        return launching.plan_harness(spec, clone_registry()["opencode"], None), spec


async def run_round(bench: Bench) -> None:
    """Make one sandbox by the product and one by hand; suspend, resume and delete both."""
    harness_id = await bench.make_harness()
    name = name_sandbox("opencode", harness_id)

    async def start() -> None:
        await bench.lifecycles.start_sandbox(harness_id)
        await bench.wait_for(harness_id, HarnessStatus.READY)

    visible = asyncio.create_task(
        bench.measure("product: create → object visible", lambda: bench.wait_until_visible(name))
    )
    async with bench.counting("start, cold"):
        await bench.measure("product: create → answers, cold", start)
    await visible
    await bench.wait_until_ready(name)
    async with bench.counting("stop"):
        await bench.measure(
            "product: stop → pod gone", lambda: bench.lifecycles.stop_sandbox(harness_id)
        )
    async with bench.counting("start, resumed"):
        await bench.measure("product: resume → answers", start)
    await bench.lifecycles.stop_sandbox(harness_id)
    async with bench.counting("delete"):
        await bench.runtime.remove(harness_id)
    await _run_bare(bench)  # it finds the volumes that the product has made


async def _run_bare(bench: Bench) -> None:
    wanted, spec = bench.plan_bare()
    probe = probe_harness(clone_registry()["opencode"], spec.password)

    async def answers() -> None:
        await bench.wait_until_ready(wanted.name)
        view = bench.state.pods.get(wanted.name)
        assert view is not None
        while True:
            try:
                return await probe(view.ip)
            except SandboxError:
                await asyncio.sleep(PAUSE)

    async def create() -> None:
        launch = f"{wanted.name}-bench"
        made = await bench.bare.create(Kind.SANDBOX, wanted.build(launch))
        uid = str(_part(made, "metadata")["uid"])
        await bench.bare.create(Kind.SECRET, wanted.build_launch(launch, uid))
        await answers()

    async def change(mode: str) -> None:
        operation: JsonObject = {"op": "replace", "path": "/spec/operatingMode", "value": mode}
        await bench.bare.patch(Kind.SANDBOX, wanted.name, [operation])

    async def suspend() -> None:
        await change("Suspended")
        await bench.state.wait_for(
            lambda: True if bench.state.pods.get(wanted.name) is None else None,
            about=(wanted.name,),
            timeout=60,
        )

    async def resume() -> None:
        await change("Running")
        await answers()

    await bench.measure("bare: create → Ready, cold", create)
    await bench.measure("bare: suspend → pod gone", suspend)
    await bench.measure("bare: resume → Ready", resume)
    await bench.bare.delete(Kind.SANDBOX, wanted.name)


@asynccontextmanager
async def running_bench() -> AsyncIterator[Bench]:
    """Run the platform with a worker in this process, in a namespace of its own."""
    async with AsyncExitStack() as stack:
        namespace = f"cattery-bench-{uuid4().hex[:6]}"
        stack.enter_context(scale.namespace(namespace))
        settings = KubernetesSettings(
            namespace=namespace,
            image_tag=os.environ.get("TAG", "dev"),
            cpu_request="20m",
            memory_request="64Mi",
            disk_request="16Mi",
        )
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cattery-bench-")))
        (home / "postgres").mkdir()
        url = stack.enter_context(running_postgres(home / "postgres", {"fsync": "on"}))
        upgrade(url)
        temporal = await stack.enter_async_context(running_temporal(home))
        await ensure_search_attributes(temporal.client)
        database = connect(DatabaseSettings(url=SecretStr(url)))
        stack.push_async_callback(database.close)
        product, bare = await CountingApi.connect(settings), await ClusterApi.connect(settings)
        product.calls = Counter()
        stack.push_async_callback(bare.close)
        runtime = KubernetesRuntime(
            product,
            ClusterState(product),
            settings,
            SandboxSettings(),
            clone_registry(),
            _unchecked,
        )
        stack.push_async_callback(runtime.close)
        state = ClusterState(bare)
        await state.start()
        stack.push_async_callback(state.stop)
        parts = WorkerParts(temporal.client, database, runtime, clone_registry(), GATEWAY)
        await stack.enter_async_context(running_workers(parts, WorkerSettings()))
        async with database.write() as rows:
            owner = (await users.create_user(rows, OWNER, "x", is_admin=True)).user_id
        async with database.write() as rows:
            project = (await projects.create_project(rows, owner, "Bench")).project_id
        lifecycles = TemporalLifecycles(temporal.client, database)
        yield Bench(database, lifecycles, runtime, product, bare, state, settings, owner, project)


async def _unchecked() -> Isolation:
    return Isolation(confined=True, summary="A benchmark looks at no network.")


def _part(item: JsonObject, name: str) -> JsonObject:
    found: Json = item[name]
    assert isinstance(found, dict)
    return found


def show(bench: Bench) -> JsonObject:
    """Print the tables and return them."""
    print(f"{'milliseconds':<44}{'p50':>8}{'p99':>8}{'max':>8}{'rounds':>8}")
    rows: dict[str, Json] = {}
    for name, times in sorted(bench.times.items()):
        row = (statistics.median(times), quantile(times, 0.99), max(times))
        print(f"{name:<44}" + "".join(f"{value:8.0f}" for value in row) + f"{len(times):8}")
        rows[name] = [round(value, 1) for value in row]
    for what, ours, theirs in (
        ("cold start", "product: create → answers, cold", "bare: create → Ready, cold"),
        ("resume", "product: resume → answers", "bare: resume → Ready"),
        ("stop", "product: stop → pod gone", "bare: suspend → pod gone"),
    ):
        more = statistics.median(bench.times[ours]) - statistics.median(bench.times[theirs])
        print(f"added by the product to a {what}: p50 {more:.0f} ms")
        rows[f"added: {what}"] = round(more, 1)
    print("calls to the API server, watches aside:")
    for name, calls in bench.calls.items():
        listed = ", ".join(f"{count} {call}" for call, count in sorted(calls.items()))
        print(f"  {name:<18}{sum(calls.values()):3}   {listed}")
        rows[f"calls: {name}"] = dict(calls)
    return rows


async def main(arguments: argparse.Namespace) -> None:
    """Run what was asked for and print it."""
    print(describe_run())
    results: dict[str, Json] = {}
    if arguments.rounds:
        async with running_bench() as bench:
            await run_round(bench)  # the volume, the image, the first connections
            bench.times.clear()
            for _ in range(arguments.rounds):
                await run_round(bench)
            results["lifecycles"] = show(bench)
    if arguments.scale:
        results["scale"] = await scale.run(arguments.scale)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    assert __doc__
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.cluster", description=__doc__.split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="lifecycles to measure")
    parser.add_argument("--scale", type=int, default=0, help="sandboxes on fake nodes")
    parser.add_argument("--json", help="write the figures to this file too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    uvloop.run(main(parse()))
