"""A cluster in this process: a real HTTP API on loopback, with fake controllers behind it.

    async with FakeCluster() as cluster:
        api = await ClusterApi.connect(settings, kubeconfig=cluster.write_kubeconfig(tmp_path))

It serves Sandboxes (v1beta1, v1alpha1), pods, claims, secrets and events of any namespace as
Kubernetes does (`store.py`, `server.py`), and behaves as agent-sandbox 0.5.6 and a kubelet do
(`controllers.py`, `kubelet.py`). Everything happens at once unless `cluster.kubelet.pace` or
`.termination` say how many seconds a step takes. `NAMESPACE` is where its helpers look.

Look          `get(SANDBOXES, name)`, `select(PODS)`, `await until(lambda: …)` after any change
Count         `calls`: every request, with verb, kind, name, status; `count("create", SANDBOXES)`
Fail calls    `fail("create", SANDBOXES, 500)`, `"reset"`, `"hang"`; `nth=2, times=3, after=True`
              fails after it took effect; `retry_after=1`; `*` stands for any verb, kind or name
Cut           `hook`: awaited at each `Moment`, before and after every mutating call took effect;
              raising breaks the connection. `cut_at(n, kill)` does that at the n-th moment from
              now: `kill()` is called, the caller gets no answer. `moments` has those that passed:
              run once to count them, then once for each.
Watches       `drop_watches()`, `expire_watches()` (410, the past is forgotten), `silence_watches()`
              (open ones stay open and say nothing more); each takes one kind, or means all.
              `bookmark_seconds`, and `watch_seconds` after which the server ends any watch
Pods          `script_pods(PodScript(image_error="…"), name="cattery-*")`: where they get stuck;
              `script_pods(PodScript())` lets them go on
Break pods    `evict`, `fail_pod`, `kill_container(oom=…)`, `delete_pod`, `lose_node`, `find_node`
Hold          `hold(SANDBOXES, name)` and `release(…)` a foreign finalizer
Quota         `set_quota(pods=3)`, also `persistentvolumeclaims`, `sandboxes`; `set_quota()`: none
Parts         `controller.paused = True` / `controller.resume()`; the same of `collector`
Addresses     `kubelet.give_ip`: `one_ip` (127.0.0.1, the default) or `fresh_ips()`, loopback too;
              `kubelet.runtime`: a `PodRuntime`, to start what answers there
Rights        `allowed = {("get", PODS), …}` makes the rest a 403; `token = "…"` the others a 401
Versions      `sandbox_versions = ("v1alpha1",)` is a controller up to 0.4.6; `()` is none at all
Logs, events  `set_log(name, text, previous=True)`, `say(PODS, name, "Reason", "message")`
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, override

import orjson
from aiohttp import web

from tests.fake_cluster.controllers import GarbageCollector
from tests.fake_cluster.faults import Call, Fault, How, Moment
from tests.fake_cluster.kubelet import (
    PodRuntime,
    PodScript,
    emit_event,
    fresh_ips,
    one_ip,
    show_ended,
    show_failed,
    show_ready,
    show_running,
)
from tests.fake_cluster.server import ApiServer
from tests.fake_cluster.store import (
    CLAIMS,
    EVENTS,
    KINDS,
    PODS,
    SANDBOXES,
    SECRETS,
    Raw,
    RefusalError,
)

__all__ = [
    "CLAIMS",
    "EVENTS",
    "NAMESPACE",
    "PODS",
    "SANDBOXES",
    "SECRETS",
    "Call",
    "FakeCluster",
    "Moment",
    "PodRuntime",
    "PodScript",
    "Raw",
    "RefusalError",
    "fresh_ips",
    "one_ip",
]

NAMESPACE = "cattery-sandboxes"
FOREIGN_FINALIZER = "example.com/hold"


class FakeCluster(ApiServer):
    """The whole cluster. What it offers to tests is listed at the top of this module."""

    def __init__(self) -> None:
        super().__init__()
        self.hook: Callable[[Moment], Awaitable[None]] | None = None
        self.collector = GarbageCollector(self.store)
        self.url = ""
        self._cut: tuple[int, Callable[[], object]] | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        """Serve, on any free port or on one that it had before (`stop` keeps all objects)."""
        if not self._tasks:
            parts = (self.controller.run(), self.collector.run())
            self._tasks = [asyncio.create_task(part) for part in parts]
        await self.open(port)

    async def stop(self) -> None:
        await self.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.kubelet.stop()

    async def open(self, port: int = 0) -> None:
        """Make the API answer, again after `close`: objects stay and controllers work on."""
        self._runner = web.AppRunner(
            self.make_app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.01
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Take the API away: connections are refused until `open(cluster.port)`."""
        self.drop_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def write_kubeconfig(self, folder: Path) -> Path:
        """Write a kubeconfig that leads here, and return its path."""
        path = folder / "kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": self.token or "fake-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }
        path.write_bytes(orjson.dumps(config))
        return path

    # Look

    def get(self, plural: str, name: str) -> Raw | None:
        return self.store.find(plural, NAMESPACE, name)

    def select(self, plural: str, selector: str = "") -> list[Raw]:
        return self.store.select(plural, NAMESPACE, selector)

    def names(self, plural: str, selector: str = "") -> list[str]:
        return [item["metadata"]["name"] for item in self.select(plural, selector)]

    def is_ready(self, sandbox: str) -> bool:
        """Whether the Sandbox's condition Ready is true."""
        item = self.get(SANDBOXES, sandbox) or {}
        conditions = item.get("status", {}).get("conditions", ())
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    async def until(self, look: Callable[[], object], *, timeout: float = 5) -> None:
        """Wait until something is so, looking after every change and every few moments."""
        async with asyncio.timeout(timeout):
            while not look():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.store.next_change.wait(), 0.02)

    def count(self, verb: str, plural: str, name: str = "*") -> int:
        """Count calls of a kind, the failed ones too."""
        wanted = Fault(verb, plural, 0, name=name, times=len(self.calls))
        return sum(wanted.hits(call) for call in self.calls)

    # Fail calls, cut

    def fail(
        self,
        verb: str,
        plural: str,
        how: How,
        *,
        name: str = "*",
        nth: int = 1,
        times: int = 1,
        after: bool = False,
        retry_after: int | None = None,
        message: str = "",
    ) -> Fault:
        """Fail calls that fit, counted from now; `faults.clear()` ends all of it."""
        fault = Fault(
            verb, plural, how, name, nth, times, after, retry_after=retry_after, message=message
        )
        self.faults.append(fault)
        return fault

    def cut_at(self, number: int, kill: Callable[[], object]) -> None:
        """Kill the client at the n-th moment from now; only once."""
        self._cut = (len(self.moments) + number, kill)

    @override
    async def pass_moment(self, moment: Moment) -> None:
        if self._cut is not None and moment.number == self._cut[0]:
            kill, self._cut = self._cut[1], None
            kill()
            raise ConnectionError
        if self.hook is not None:
            await self.hook(moment)

    # Watches

    def drop_watches(self, plural: str | None = None) -> None:
        for watch in list(self.watches):
            if plural in (None, watch.plural):
                watch.abort()

    def expire_watches(self, plural: str | None = None) -> None:
        self.store.compact()
        for watch in self.watches:
            watch.expired = watch.expired or plural in (None, watch.plural)

    def silence_watches(self, plural: str | None = None) -> None:
        for watch in self.watches:
            watch.silent = watch.silent or plural in (None, watch.plural)

    # Pods

    def script_pods(self, script: PodScript, name: str = "*") -> None:
        self.kubelet.script(script, name)

    def fail_pod(self, name: str, reason: str, message: str, *, code: int = 137) -> None:
        """Make a pod Failed, which nothing in the cluster repairs."""
        self._edit_pod(name, lambda pod: show_failed(pod, reason, message, code=code))

    def evict(self, name: str) -> None:
        message = (
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi."
        )
        self.fail_pod(name, "Evicted", message)
        self.say(PODS, name, "Evicted", message)

    def kill_container(
        self, name: str, *, code: int = 137, oom: bool = False, restarted: bool = True
    ) -> None:
        """End a pod's container; it runs again, or with `restarted=False` is backed off."""
        reason = "OOMKilled" if oom else "Error"
        self._edit_pod(name, lambda pod: show_ended(pod, code, restarted=restarted, reason=reason))
        if restarted:
            self._edit_pod(name, lambda pod: show_ready(pod, ready=True))

    def recover_container(self, name: str) -> None:
        """Let a container that was backed off run again."""
        self._edit_pod(name, show_running)
        self._edit_pod(name, lambda pod: show_ready(pod, ready=True))

    def unready_pod(self, name: str) -> None:
        """Let a running pod's probe fail."""
        self._edit_pod(name, lambda pod: show_ready(pod, ready=False))

    def delete_pod(self, name: str) -> None:
        """Delete a pod as `kubectl delete pod` does."""
        self.store.delete(PODS, NAMESPACE, name)

    def lose_node(self, name: str, *, evicting: bool = False) -> None:
        """Make a pod's node silent; `evicting` is five minutes later: deleted, never confirmed."""
        self.kubelet.lost.add(name)

        def edit(pod: Raw) -> None:
            show_ready(pod, ready=False)
            if evicting:
                message = f"Node {self.kubelet.node} which was running pod {name} is unresponsive"
                pod["status"] |= {"reason": "NodeLost", "message": message}

        self._edit_pod(name, edit)
        self.say(PODS, name, "NodeNotReady", "Node is not ready")
        if evicting:
            self.delete_pod(name)

    def find_node(self, name: str) -> None:
        """Bring a lost node back: the pod is ready again, or goes where it was deleted."""
        self.kubelet.lost.discard(name)
        pod = self.get(PODS, name)
        if pod is not None and not pod["metadata"].get("deletionTimestamp"):
            self._edit_pod(name, lambda pod: show_ready(pod, ready=True))
        self.kubelet.wake()

    def _edit_pod(self, name: str, edit: Callable[[Raw], None]) -> None:
        self.store.change(PODS, NAMESPACE, name, edit)

    # The rest

    def create(self, plural: str, body: Raw) -> Raw:
        """Make an object as somebody else would."""
        return self.store.create(plural, NAMESPACE, body)

    def edit(self, plural: str, name: str, edit: Callable[[Raw], None]) -> None:
        """Change an object as somebody else would."""
        self.store.change(plural, NAMESPACE, name, edit)

    def hold(self, plural: str, name: str, finalizer: str = FOREIGN_FINALIZER) -> None:
        def add(item: Raw) -> None:
            item["metadata"].setdefault("finalizers", []).append(finalizer)

        self.edit(plural, name, add)

    def release(self, plural: str, name: str, finalizer: str = FOREIGN_FINALIZER) -> None:
        self.edit(plural, name, lambda item: item["metadata"]["finalizers"].remove(finalizer))

    def set_quota(self, **limits: int) -> None:
        """Limit how many objects there may be: `pods`, `persistentvolumeclaims`, `sandboxes`."""
        names = {"sandboxes": "count/sandboxes.agents.x-k8s.io"}
        self.store.quota = {names.get(name, name): limit for name, limit in limits.items()}

    def set_log(self, name: str, text: str, *, previous: bool = False) -> None:
        self.logs[name, previous] = text

    def say(self, plural: str, name: str, reason: str, message: str, kind: str = "Warning") -> None:
        emit_event(self.store, NAMESPACE, KINDS[plural][1], name, kind, reason, message)
