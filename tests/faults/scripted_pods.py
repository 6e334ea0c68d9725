"""What runs in the pods of the fake cluster: scripted harnesses and real file managers.

All in the process of the fake cluster, each at the address of its own pod. A claim is a folder, so
that histories, HOMEs and workspaces outlive pods as they do on a volume.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web

from cattery.files.remote_wire import TOKEN_VARIABLE
from cattery.harnesses.port import HarnessType, Launch, LaunchInput
from cattery.sandboxes.kubernetes.manifests import FILE_MANAGER_PORT, HARNESS_PORT
from cattery.sandboxes.names import COMPONENT_LABEL, HARNESS_LABEL, SKILLS_CLAIM, Component
from filemgr.app import Kind, create_app
from tests.fake_cluster.cluster import SECRETS, Raw
from tests.fake_cluster.store import Store
from tests.scripted_harness import Harness, Surface
from tests.scripted_type import PROMPTS_FILE, scripted_type

PASSWORD: Final = "SCRIPTED_PASSWORD"
_VARIABLE: Final = re.compile(r"^export (\w+)='(.*)'$", re.MULTILINE)


def cluster_type() -> HarnessType:
    """Return the scripted harness as a pod is told of it: its password is in the launch secret."""

    def launch(given: LaunchInput) -> Launch:
        return Launch(
            argv=("scripted-harness",), env={PASSWORD: given.password}, files={}, links={}
        )

    return replace(scripted_type(), launch=launch)


def home_of(volumes: Path, namespace: str, claim: str, harness_id: str) -> Path:
    """Return the folder that a harness has as its HOME on a project's volume."""
    return volumes / namespace / claim / "homes" / harness_id


class ScriptedPods:
    """A `PodRuntime`."""

    def __init__(self, store: Store, volumes: Path) -> None:
        self._store = store
        self._volumes = volumes
        self._running: dict[str, tuple[web.AppRunner, Harness | None]] = {}

    async def start(self, pod: Raw) -> None:
        """Serve at the pod's address what its labels say."""
        meta, address = pod["metadata"], pod["status"]["podIP"]
        harness: Harness | None = None
        if meta["labels"][COMPONENT_LABEL] == Component.SANDBOX:
            harness, app = self._make_harness(pod)
            port = HARNESS_PORT
        else:
            app, port = self._make_file_manager(pod), FILE_MANAGER_PORT
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, address, port).start()
        self._running[meta["uid"]] = (runner, harness)

    async def stop(self, pod: Raw) -> None:
        """End it, with the turns that run in it."""
        found = self._running.pop(pod["metadata"]["uid"], None)
        if found is None:
            return
        runner, harness = found
        for session in harness.sessions.values() if harness else ():
            for turn in list(session.turns):
                turn.cancel()
        await runner.cleanup()

    def _make_harness(self, pod: Raw) -> tuple[Harness, web.Application]:
        home = home_of(
            self._volumes,
            pod["metadata"]["namespace"],
            _claim_of(pod),
            pod["metadata"]["labels"][HARNESS_LABEL],
        )
        home.mkdir(parents=True, exist_ok=True)
        harness = Harness(home / PROMPTS_FILE, home / "state.json")
        password = self._environment(pod)[PASSWORD]
        return harness, Surface(harness, password=password, heartbeat=10).app()

    def _make_file_manager(self, pod: Raw) -> web.Application:
        claim = _claim_of(pod)
        root = self._volumes / pod["metadata"]["namespace"] / claim
        root.mkdir(parents=True, exist_ok=True)
        kind = Kind.SKILLS if claim == SKILLS_CLAIM else Kind.WORKSPACE
        return create_app(root, kind, self._environment(pod)[TOKEN_VARIABLE])

    def _environment(self, pod: Raw) -> dict[str, str]:
        namespace = pod["metadata"]["namespace"]
        name = next(v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v)
        secret = self._store.get(SECRETS, namespace, name)
        return dict(_VARIABLE.findall(secret["stringData"]["env"]))


def _claim_of(pod: Raw) -> str:
    """Return the claim of a pod's own volume: the workspace before the skills."""
    claims: list[str] = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    return min(claims, key=lambda claim: claim == SKILLS_CLAIM)
