"""The worker uses each right that it has, and asks for none that it has not.

Runs last, after the whole story: what the API server's audit log says of the worker's account is
held against the Role, in both directions. `CATTERY_CLUSTER_AUDIT` names that log.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cattery.jsontypes import Json, JsonObject
from tests.cluster.conftest import Deployed
from tests.cluster.kubectl import SANDBOXES, SYSTEM

WORKER = f"system:serviceaccount:{SYSTEM}:cattery-worker"
UNHEARD = {("list", "events"), ("watch", "events")}
"""Audit logs leave events out, usually; the story sees that they reach the harness."""


def test_the_worker_uses_just_the_rights_that_it_has(
    deployed: Deployed, request: pytest.FixtureRequest
) -> None:
    path = os.environ.get("CATTERY_CLUSTER_AUDIT")
    if not path:
        pytest.skip("needs the API server's audit log: set CATTERY_CLUSTER_AUDIT to its path")
    ran = {item.path.name for item in request.session.items}
    if "test_story.py" not in ran:
        pytest.skip("needs the whole story to have run before: make test-cluster")
    granted = set(_granted(deployed))
    used: set[tuple[str, str]] = set()
    refused: set[tuple[str, str]] = set()
    for verb, resource, code in _heard(Path(path), deployed.since):
        (refused if code == 403 else used).add((verb, resource))
    assert granted - UNHEARD == used - UNHEARD
    assert refused - granted == set()


def _granted(deployed: Deployed) -> Iterator[tuple[str, str]]:
    role = deployed.kubectl.get("role", "cattery-worker", namespace=SANDBOXES)
    for rule in _objects(role["rules"]):
        for resource in _texts(rule["resources"]):
            for verb in _texts(rule["verbs"]):
                yield verb, resource


def _heard(path: Path, since: str) -> Iterator[tuple[str, str, int]]:
    """Return verb, resource and status of every call of the worker in the sandboxes' namespace."""
    with path.open() as lines:
        for line in lines:
            if WORKER not in line:
                continue
            call: JsonObject = json.loads(line)
            about, status = call.get("objectRef"), call.get("responseStatus")
            if not isinstance(about, dict) or about.get("namespace") != SANDBOXES:
                continue
            if str(call["stageTimestamp"]) < since:
                continue  # of an earlier deployment, perhaps of other code
            code = status.get("code") if isinstance(status, dict) else 0
            part = f"/{about['subresource']}" if "subresource" in about else ""
            yield str(call["verb"]), f"{about['resource']}{part}", code if type(code) is int else 0


def _objects(found: Json) -> list[JsonObject]:
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, dict)]


def _texts(found: Json) -> list[str]:
    assert isinstance(found, list)
    return [str(one) for one in found]
