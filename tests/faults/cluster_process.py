"""The fake cluster as a process of its own, so that it outlives the workers that are killed.

Run as `python -m tests.faults.cluster_process FOLDER`. It writes FOLDER/kubeconfig, keeps its
volumes in FOLDER/volumes, and ends with its stdin.
"""

import asyncio
import gc
import sys
from pathlib import Path

from tests.fake_cluster.cluster import FakeCluster, fresh_ips
from tests.faults.scripted_pods import ScriptedPods


async def serve(folder: Path) -> None:
    async with FakeCluster() as cluster:
        cluster.kubelet.give_ip = fresh_ips()
        cluster.kubelet.runtime = ScriptedPods(cluster.store, folder / "volumes")
        cluster.bookmark_seconds = 5.0
        cluster.write_kubeconfig(folder)
        print(cluster.url, flush=True)
        gc.freeze()
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        await reader.read()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
