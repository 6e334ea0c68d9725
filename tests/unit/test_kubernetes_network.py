"""The network check on the fake cluster: its probes are real processes, policies are pretended."""

import asyncio
import json
import os
import random
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

from cattery.errors import SandboxError
from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.network_probe import Hope
from cattery.sandboxes.kubernetes import network
from cattery.sandboxes.kubernetes.following import Patience
from cattery.sandboxes.kubernetes.manifests import HARNESS_PORT, build_probe
from cattery.sandboxes.kubernetes.network import DOCTOR, WORKER, check_network
from cattery.sandboxes.kubernetes.network_finding import (
    FROM_HERE,
    GATEWAY,
    NEIGHBOUR,
    NetworkCheck,
    NetworkFinding,
)
from cattery.sandboxes.kubernetes.network_targets import (
    API_SERVER,
    INTERNET,
    METADATA,
    Surroundings,
    find_nameserver,
    look_around,
)
from cattery.sandboxes.kubernetes.state import ClusterState
from cattery.sandboxes.kubernetes.survey import NEEDED
from cattery.settings import KubernetesSettings
from tests.fake_cluster.cluster import (
    NAMESPACE,
    PODS,
    SANDBOXES,
    SECRETS,
    FakeCluster,
    PodScript,
    Raw,
)
from tests.processes import free_port
from tests.unit.cluster_site import open_api

SETTINGS = KubernetesSettings(namespace=NAMESPACE)
PATIENCE = Patience(start=20, waiting=0.2, nudge=0.05)
NOWHERE = "127.255.255.254"
ROLE = Path(__file__).parents[2] / "k8s" / "base" / "worker-role.yaml"


@dataclass
class Probes:
    """Runs what a probe's pod is told to run, as a kubelet would.

    Attributes:
        enforced: what must be closed leads nowhere.
        api_server: where the API is for pods.
        hidden: pods listen elsewhere than at their addresses, and only their logs are there.
    """

    cluster: FakeCluster
    api_server: tuple[str, int]
    enforced: bool = True
    hidden: bool = False
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, pod: Raw) -> None:
        name, ip = pod["metadata"]["name"], pod["status"]["podIP"]
        command = pod["spec"]["containers"][0]["command"]
        assert command[0] == "/opt/cattery/start"
        arguments = [self._expand(word) for word in command[2:]]
        host = "127.0.0.1" if self.hidden else ip
        port = "0" if self.hidden else str(HARNESS_PORT)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(*arguments, "--host", host, "--port", port, "--patience", "0.1"),
            env={"PATH": os.environ["PATH"], TOKEN_VARIABLE: self._token(pod)},
            cwd=ROLE.parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        self.processes[name] = process
        self.reading.append(asyncio.create_task(self._read(name, process)))

    async def stop(self, pod: Raw) -> None:
        process = self.processes.pop(pod["metadata"]["name"])
        if process.returncode is None:
            process.terminate()
        await process.wait()

    async def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            await process.wait()
        await asyncio.gather(*self.reading)

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        text = ""
        while line := await process.stdout.readline():
            text += line.decode()
            self.cluster.set_log(name, text)

    def _token(self, pod: Raw) -> str:
        [secret] = [v["secret"] for v in pod["spec"]["volumes"] if v.get("secret")]
        found = self.cluster.get(SECRETS, secret["secretName"])
        assert found is not None
        match = re.search(f"{TOKEN_VARIABLE}='([^']+)'", found["stringData"]["env"])
        assert match is not None
        return match[1]

    def _expand(self, word: str) -> str:
        host, port = self.api_server
        word = word.replace("$(KUBERNETES_SERVICE_HOST)", host)
        word = word.replace("$(KUBERNETES_SERVICE_PORT)", str(port))
        if not word.startswith("["):
            return word
        targets: list[dict[str, Any]] = json.loads(word)
        for target in targets:
            if target["hope"] == "closed" and (self.enforced or target["name"] in OUTSIDE):
                target |= {"host": NOWHERE, "port": 1}
        return json.dumps(targets)


OUTSIDE = {METADATA, INTERNET}
"""What no test reaches for."""


@dataclass
class Site:
    cluster: FakeCluster
    probes: Probes
    folder: Path
    gateway: str

    async def check(self, *, purpose: str = DOCTOR, inside: bool = True) -> NetworkFinding:
        async with open_api(self.cluster, self.folder) as api:
            state = ClusterState(api)
            await state.start()
            try:
                return await check_network(
                    api,
                    state,
                    SETTINGS,
                    Surroundings(inside, self.gateway),
                    purpose=purpose,
                    patience=PATIENCE,
                )
            finally:
                await state.stop()


@pytest.fixture(name="site")
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    async with FakeCluster() as cluster, answering() as gateway:
        probes = Probes(cluster, ("127.0.0.1", cluster.port))
        cluster.kubelet.runtime = probes
        block = f"127.{random.randrange(1, 250)}.{random.randrange(250)}"
        cluster.kubelet.give_ip = lambda name: f"{block}.{1 + int(name[-2:], 16) % 250}"
        try:
            yield Site(cluster, probes, tmp_path, gateway)
        finally:
            await probes.close()


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    """A gateway that answers; its URL."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_what_must_be_closed_is_closed_and_the_gateway_is_reached(site: Site) -> None:
    finding = await site.check()
    assert {check.name: check.seen for check in finding.checks} == {
        METADATA: Hope.CLOSED,
        API_SERVER: Hope.CLOSED,
        NEIGHBOUR: Hope.CLOSED,
        INTERNET: Hope.CLOSED,
        "DNS": None,
        GATEWAY: Hope.OPEN,
        FROM_HERE: Hope.OPEN,
    }
    assert finding.summary == (
        "The cluster enforces its network policies: a sandbox reached nothing that it must not "
        "(4 tried)."
    )
    kinds = (SANDBOXES, PODS, SECRETS)
    await site.cluster.until(lambda: not any(site.cluster.select(kind) for kind in kinds))


async def test_a_neighbour_that_is_reached_is_a_network_that_enforces_nothing(site: Site) -> None:
    site.probes.enforced = False
    finding = await site.check()
    assert {check.name for check in finding.checks if not check.ok} == {API_SERVER, NEIGHBOUR}
    assert not finding.enforced
    assert re.match(
        r"The cluster does not enforce its network policies: a sandbox reached the cluster's API "
        r"\(127\.0\.0\.1:\d+\) and another sandbox \(127\.[\d.]+:4096\)\. Install",
        finding.summary,
    )


async def test_a_gateway_that_is_not_reached_is_said(site: Site) -> None:
    site.gateway = f"http://127.0.0.1:{free_port()}"
    finding = await site.check()
    assert (finding.enforced, finding.gateway_reached, finding.is_well) == (True, False, False)
    assert "a sandbox does not reach the model gateway" in finding.summary


async def test_results_are_read_from_the_log_where_pods_are_out_of_reach(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "REACH_SECONDS", 0.1)
    site.probes.hidden = True
    finding = await site.check(inside=False)
    assert finding.is_well
    assert {check.name: check.seen for check in finding.checks}[FROM_HERE] is None
    assert len(finding.checks) == 7


async def test_probes_that_were_left_behind_go_and_those_of_others_stay(site: Site) -> None:
    site.cluster.script_pods(PodScript(unschedulable="no room"), name="cattery-probe-0000000*")
    for number, purpose in enumerate((WORKER, DOCTOR)):
        nonce = f"0000000{number}"
        body = build_probe(
            nonce=nonce,
            purpose=purpose,
            launch=f"cattery-probe-{nonce}-1",
            gateway=None,
            settings=SETTINGS,
        )
        site.cluster.create(SANDBOXES, body)
    with capture_logs() as logs:
        await site.check(purpose=WORKER)
    assert site.cluster.names(SANDBOXES) == ["cattery-probe-00000001"], logs


async def test_a_check_that_is_given_up_removes_its_probes(site: Site) -> None:
    checking = asyncio.create_task(site.check())
    await site.cluster.until(lambda: site.probes.processes)
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
    assert checking.cancelled()
    assert site.cluster.select(SANDBOXES) == []


@pytest.mark.parametrize("why", ["image_error", "quota"])
async def test_a_check_that_cannot_be_made_says_why(site: Site, why: str) -> None:
    if why == "quota":
        site.cluster.set_quota(sandboxes=0)
    else:
        site.cluster.script_pods(PodScript(image_error="not found"))
    with pytest.raises(SandboxError, match="quota" if why == "quota" else "image"):
        await site.check()
    assert site.cluster.select(SANDBOXES) == []


async def test_what_is_known_outside_of_a_cluster_is_where_its_api_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    known = await look_around(None, "https://192.0.2.1:6443")
    assert known == Surroundings(False, None, api_server=("192.0.2.1", 6443))
    assert await look_around(None, "https://127.0.0.1:6443") == Surroundings(False, None)


def test_the_name_server_is_read_from_what_the_resolver_reads() -> None:
    text = "search a b\n# nameserver 1.2.3.4\nnameserver 10.96.0.10\nnameserver 10.96.0.11\n"
    assert find_nameserver(text) == "10.96.0.10"
    assert find_nameserver("search a\n") is None


def test_a_finding_is_written_whole() -> None:
    leak = NetworkCheck(INTERNET, "1.1.1.1:443", Hope.CLOSED, Hope.OPEN, "accepted")
    assert NetworkFinding((leak,)).write() == {
        "enforced": False,
        "gateway_reached": True,
        "well": False,
        "summary": NetworkFinding((leak,)).summary,
        "checks": [
            {
                "name": "the Internet",
                "where": "1.1.1.1:443",
                "wanted": "closed",
                "seen": "open",
                "ok": False,
                "detail": "accepted",
            }
        ],
    }


def test_the_rights_that_doctor_looks_for_are_those_that_are_granted() -> None:
    role = next(one for one in yaml.safe_load_all(ROLE.read_text()) if one["kind"] == "Role")
    granted = {
        (verb, resource, rule["apiGroups"][0])
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {(right.verb, right.resource, right.group) for right in NEEDED} == granted
