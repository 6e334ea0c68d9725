"""What tests of the Kubernetes runtime's parts share: a fake cluster, its API, objects for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from cattery.jsontypes import JsonObject
from cattery.sandboxes.kubernetes.api import ClusterApi, Patience
from cattery.sandboxes.kubernetes.watching import WatchTiming
from cattery.settings import KubernetesSettings
from tests.fake_cluster.cluster import NAMESPACE, FakeCluster

IMPATIENT = Patience(
    total=timedelta(milliseconds=400),
    brief=timedelta(milliseconds=50),
    first_delay=timedelta(milliseconds=2),
    longest_delay=timedelta(milliseconds=20),
    connect=timedelta(milliseconds=500),
    answer=timedelta(milliseconds=100),
    watch_grace=timedelta(milliseconds=200),
)
"""The same policy, a hundred times as fast."""

RESTLESS = WatchTiming(
    lasting=timedelta(seconds=1),
    brief=timedelta(milliseconds=20),
    first_delay=timedelta(milliseconds=2),
    longest_delay=timedelta(milliseconds=20),
)
"""Watches that are renewed as often as the API allows: it counts in whole seconds."""


@asynccontextmanager
async def open_api(
    cluster: FakeCluster, folder: Path, *, patience: Patience = IMPATIENT
) -> AsyncIterator[ClusterApi]:
    """Connect to a fake cluster as the worker does."""
    settings = KubernetesSettings(namespace=NAMESPACE)
    api = await ClusterApi.connect(
        settings, kubeconfig=cluster.write_kubeconfig(folder), patience=patience
    )
    try:
        yield api
    finally:
        await api.close()


def make_sandbox(name: str, *, mode: str = "Running", generation: str = "1") -> JsonObject:
    """Return the least Sandbox that the cluster takes."""
    labels: JsonObject = {"app.kubernetes.io/part-of": "cattery"}
    return {
        "apiVersion": "agents.x-k8s.io/v1beta1",
        "kind": "Sandbox",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "operatingMode": mode,
            "podTemplate": {
                "metadata": {
                    "labels": labels,
                    "annotations": {"cattery.dev/generation": generation},
                },
                "spec": {"containers": [{"name": "harness", "image": "image"}]},
            },
        },
    }


def make_claim(name: str) -> JsonObject:
    """Return the least claim."""
    labels: JsonObject = {"app.kubernetes.io/part-of": "cattery"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {}}


def make_secret(name: str) -> JsonObject:
    """Return a Secret with nothing in it."""
    return {"metadata": {"name": name}, "type": "Opaque", "immutable": True}
