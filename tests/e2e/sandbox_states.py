"""What a cluster would tell of a sandbox, written into a harness's row to look at its page.

The harness keeps running on this machine meanwhile: to the sweeper all is well with it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from cattery.jsontypes import Json, JsonObject
from cli.home import Home
from cli.ports import read_ports
from cli.stores import embedded_database_url
from tests.e2e.site import Site

_POD: Final = "cattery-h-7c1e5f0a"
_IMAGE: Final = "cattery-opencode:0.2.0"
_UPDATE: Final = """
UPDATE harness SET status = %(status)s, failure = %(failure)s, waiting = %(waiting)s,
  steps = %(steps)s, runtime_events = %(events)s, recoveries = %(recoveries)s
WHERE id = %(id)s
"""
_CRASH_LOG: Final = "\n".join(
    [
        '{"level":"info","msg":"opencode 1.4.2 starts","port":4096}',
        "error: The configuration at /home/agent/.config/opencode/opencode.json is not valid:",
        '  provider.gateway.models: expected an object, got "claude-sonnet-4-6"',
        "    at loadConfig (/opt/cattery/opencode/src/config/config.ts:212:13)",
        "    at async main (/opt/cattery/opencode/src/index.ts:48:20)",
    ]
)


async def show_state(site: Site, harness_id: str, state: str) -> None:
    """Write a state, as if a worker had, into the row of a harness."""
    home = Home(site.home)
    url = embedded_database_url(home, read_ports(home)["postgres"])
    values = {"status": "starting", "failure": None, "waiting": None} | STATES[state]()
    written = {name: Jsonb(values.get(name, [])) for name in ("steps", "events", "recoveries")}
    async with await AsyncConnection.connect(url) as connection:
        await connection.execute(_UPDATE, {**values, **written, "id": harness_id})


def _starting() -> JsonObject:
    return {
        "steps": [
            _step("workspace", 34, 31.6, "already there"),
            _step("scheduled", 31.6, 31.2, "cattery-worker-2"),
            _step("image", 31.2, None, f"pulling {_IMAGE}"),
        ],
        "events": [_scheduled(31), _event(30, "Pulling", f'Pulling image "{_IMAGE}"')],
    }


def _waiting() -> JsonObject:
    return {
        "waiting": (
            'The quota "cattery" is used up: 16Gi of 16Gi limits.memory are used, 2Gi more is '
            "needed. It starts by itself when something else stops, or when the quota is raised."
        ),
        "steps": [
            _step("workspace", 195, 194.2, "already there"),
            _step("scheduled", 194.2, None),
        ],
        "events": [
            _event(
                12,
                "FailedCreate",
                f'pods "{_POD}" is forbidden: exceeded quota: cattery, requested: '
                "limits.memory=2Gi, used: limits.memory=16Gi, limited: limits.memory=16Gi",
                count=18,
                is_warning=True,
            )
        ],
    }


def _image_missing() -> JsonObject:
    return {
        "status": "failed",
        "failure": (
            f"The image {_IMAGE} was not found. Check CATTERY_K8S_IMAGE_REGISTRY and "
            "CATTERY_K8S_IMAGE_TAG, or push it there."
        ),
        "steps": [
            _step("workspace", 96, 93.8, "already there"),
            _step("scheduled", 93.8, 93.5, "cattery-worker-2"),
            _step("image", 93.5, None, f"pulling {_IMAGE}"),
        ],
        "events": [
            _scheduled(93),
            _event(22, "Pulling", f'Pulling image "{_IMAGE}"', count=4),
            _event(
                21,
                "Failed",
                f'Failed to pull image "{_IMAGE}": rpc error: code = NotFound desc = failed to '
                f'pull and unpack image "{_IMAGE}": not found',
                count=4,
                is_warning=True,
            ),
            _event(9, "BackOff", f'Back-off pulling image "{_IMAGE}"', count=12, is_warning=True),
        ],
    }


def _crashed() -> JsonObject:
    return {
        "status": "failed",
        "failure": (
            "The program does not stay up: it was started 4 times. It ended with exit code 1."
            f"\nThe last lines of its log:\n{_CRASH_LOG}"
        ),
        "steps": [
            _step("workspace", 96, 95.8, "already there"),
            _step("scheduled", 95.8, 95.5, "cattery-worker-2"),
            _step("image", 95.5, 92.1, "already on the node"),
            _step("started", 92.1, None, "start 4"),
        ],
        "events": [
            _scheduled(95),
            _event(40, "Started", "Started container harness", count=3),
            _event(
                8,
                "BackOff",
                f"Back-off restarting failed container harness in pod {_POD}",
                count=6,
                is_warning=True,
            ),
        ],
    }


def _healing() -> JsonObject:
    return {
        "steps": [
            _step("workspace", 9, 8.9, "already there"),
            _step("scheduled", 8.9, 8.4, "cattery-worker-1"),
            _step("image", 8.4, 8.1, "already on the node"),
            _step("started", 8.1, None),
        ],
        "events": [_scheduled(8)],
        "recoveries": [_evicted(14)],
    }


def _healed() -> JsonObject:
    return {
        "status": "ready",
        "steps": [
            _step("workspace", 309, 308.9, "already there"),
            _step("scheduled", 308.9, 308.4, "cattery-worker-1"),
            _step("image", 308.4, 308.1, "already on the node"),
            _step("started", 308.1, 307.2),
            _step("answering", 307.2, 304.1),
        ],
        "events": [_scheduled(308), _event(307, "Started", "Started container harness")],
        "recoveries": [
            _recovery(521, "The sandbox is not there any more."),
            _evicted(315),
        ],
    }


def _node_lost() -> JsonObject:
    return _healed() | {
        "waiting": (
            f"The node cattery-worker-1 does not answer, so nobody knows whether the pod {_POD} "
            "still runs there. It comes back by itself when the node does; if the node is gone for "
            "good, delete it: kubectl delete node cattery-worker-1"
        ),
        "recoveries": [],
    }


STATES: Final[Mapping[str, Callable[[], JsonObject]]] = {
    "starting": _starting,
    "waiting": _waiting,
    "image-missing": _image_missing,
    "crashed": _crashed,
    "healing": _healing,
    "healed": _healed,
    "node-lost": _node_lost,
}


def _ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def _step(name: str, began: float, ended: float | None, detail: str = "") -> Json:
    return {
        "name": name,
        "started_at": _ago(began),
        "finished_at": None if ended is None else _ago(ended),
        "detail": detail,
    }


def _event(
    ago: float, reason: str, message: str, *, count: int = 1, is_warning: bool = False
) -> Json:
    return {
        "at": _ago(ago),
        "reason": reason,
        "message": message,
        "count": count,
        "is_warning": is_warning,
    }


def _recovery(ago: float, reason: str) -> Json:
    return {"at": _ago(ago), "reason": reason}


def _scheduled(ago: float) -> Json:
    return _event(ago, "Scheduled", f"Assigned cattery-sandboxes/{_POD} to cattery-worker-2")


def _evicted(ago: float) -> Json:
    return _recovery(ago, f"The pod {_POD} was evicted: The node was low on resource: memory.")
