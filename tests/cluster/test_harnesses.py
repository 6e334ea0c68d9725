"""Every harness type in a pod: the bench's rows for a cluster, with the real programs.

The rows are those of `tests/harness_bench` that say `on_cluster`; the model is the bench's, on this
machine, and the gateway alone reaches it.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from cattery.harnesses.manifest import Manifest, load_manifests
from tests.cluster.conftest import ROOT, Deployed
from tests.cluster.harness_place import ClusterPlace, PodSandboxes, run_rows, scripted_gateway
from tests.cluster.kubectl import KubectlError
from tests.e2e.client import Client
from tests.harness_bench.scenario import Subject
from tests.harness_bench.table import Outcome

MANIFESTS = [one for one in load_manifests(ROOT / "harness_images").values() if not one.planned]
LEAST_ROWS = 3
_CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
"""


@pytest.fixture(scope="module", name="place")
async def open_place(deployed: Deployed, harness_images: str) -> AsyncIterator[ClusterPlace]:
    assert harness_images == deployed.tag
    timeout = aiohttp.ClientTimeout(total=90)
    async with (
        scripted_gateway(deployed.kubectl) as model,
        aiohttp.ClientSession(timeout=timeout) as http,
    ):
        client = Client(http, deployed.base_url, deployed.token)
        yield ClusterPlace(deployed.kubectl, client, model)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: str(one.id))
async def test_a_harness_in_a_pod(
    place: ClusterPlace, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    async with place.subject(manifest) as (subject, took):
        cells = await run_rows(subject)
        await _check_walls(place, subject)
    rows = [f"{name} {cell.outcome} {cell.seconds:.1f} s" for name, cell in cells.items()]
    with capsys.disabled():
        print(f"\n{manifest.id}: {', '.join([*took, *rows])}; {time.monotonic() - began:.0f} s")
    assert len(cells) >= LEAST_ROWS, f"only {list(cells)} are meant for a cluster"
    failed = {name: cell.detail for name, cell in cells.items() if cell.outcome is Outcome.FAILED}
    assert not failed, "\n\n".join(f"{name}: {detail}" for name, detail in failed.items())


async def _check_walls(place: ClusterPlace, subject: Subject) -> None:
    """Hold who reaches whom: the model is the gateway's alone, the harness's port is not."""
    sandboxes = PodSandboxes(place.kubectl)
    name, address = await asyncio.to_thread(sandboxes.pod_of, subject.harness_id)
    model = f"{place.model.url}/v1/models"
    with pytest.raises(KubectlError, match=r"exit code (7|28)"):  # refused, or never answered
        await asyncio.to_thread(sandboxes.run, name, "curl", "-s", "-m", "3", model)

    def connect(process: str) -> str:
        port = str(subject.manifest.port)
        return place.kubectl.execute(
            f"deployment/cattery-{process}", "python", "-c", _CONNECT, address, port
        )

    assert await asyncio.to_thread(connect, "api") == ""
    with pytest.raises(KubectlError, match=r"TimeoutError|ConnectionRefusedError|timed out"):
        await asyncio.to_thread(connect, "gateway")
