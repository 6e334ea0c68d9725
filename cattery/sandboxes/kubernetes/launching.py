"""Plans what runs in a pod: a harness from its `Launch`, a file manager from its spec.

What is secret goes into the launch secret alone; the Sandbox object names it. Nothing of the
platform's own environment comes in (`cattery.sandboxes.environment`).
"""

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from cattery.catalog import family_of
from cattery.errors import SandboxError
from cattery.harnesses.port import HarnessType, Launch, LaunchInput
from cattery.jsontypes import JsonObject
from cattery.sandboxes.environment import build_environment, find_secrets
from cattery.sandboxes.kubernetes import manifests
from cattery.sandboxes.kubernetes.manifests import (
    FILE_MANAGER_PORT,
    HARNESS_PORT,
    HOME,
    SKILLS,
    TOOLS,
    WORK,
    GatewayAlias,
    SandboxManifest,
    build_launch_secret,
)
from cattery.sandboxes.kubernetes.placement import Wanted
from cattery.sandboxes.names import (
    SKILL_MANAGER,
    SKILLS_CLAIM,
    Component,
    label,
    name_file_manager,
    name_sandbox,
    name_workspace,
)
from cattery.sandboxes.needs import require_needs
from cattery.sandboxes.port import FileManagerSpec, SandboxSpec
from cattery.settings import KubernetesSettings, SandboxSettings

__all__ = ["FILE_MANAGER_PORT", "HARNESS_PORT", "Launching", "find_gateway"]

_BASE_ENVIRONMENT: Final[Mapping[str, str]] = {
    "PATH": f"{TOOLS}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
    "SHELL": "/bin/bash",
    "HOME": HOME,
    "USER": "agent",
    "LOGNAME": "agent",
    **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), "/tmp"),  # noqa: S108 - the pod's own
}


class Launching:
    """Plans Sandbox objects for one installation. Pure."""

    def __init__(self, settings: KubernetesSettings, sandboxes: SandboxSettings) -> None:
        self._settings = settings
        self._sandboxes = sandboxes

    def plan_harness(
        self, spec: SandboxSpec, harness: HarnessType, gateway: GatewayAlias | None
    ) -> Wanted:
        """Plan a harness's sandbox.

        Raises:
            SandboxSetupError: a variable of the user, the model or the memory does not fit.
        """
        require_needs(harness, spec, self._sandboxes.memory_bytes)
        launch = harness.launch(_launch_input(spec))
        env = _environment(spec, launch)
        name = name_sandbox(spec.harness_type, spec.harness_id)
        labels = label(
            Component.SANDBOX, name, project_id=spec.project_id, harness_id=spec.harness_id
        )

        def build(secret: str) -> JsonObject:
            return manifests.build_sandbox(
                SandboxManifest(
                    harness_id=spec.harness_id,
                    project_id=spec.project_id,
                    harness_type=spec.harness_type,
                    image=harness.image_name,
                    generation=spec.generation,
                    launch=secret,
                    argv=launch.argv,
                    files=tuple(launch.files),
                    gateway=gateway,
                    memory_bytes=self._sandboxes.memory_bytes,
                    settings=self._settings,
                )
            )

        def build_launch(secret: str, uid: str) -> JsonObject:
            return build_launch_secret(
                owner=(name, uid),
                name=secret,
                labels=labels,
                env=env,
                files=launch.files,
                links=launch.links,
            )

        return Wanted(
            name=name,
            generation=spec.generation,
            build=build,
            build_launch=build_launch,
            claims=(name_workspace(spec.project_id), SKILLS_CLAIM),
            secrets=(spec.gateway_token, spec.password, *find_secrets(spec.env)),
        )

    def plan_file_manager(self, spec: FileManagerSpec) -> Wanted:
        """Plan the file manager of a project, or the skill manager."""
        project_id = spec.project_id
        if project_id is None:
            name, component, claim = SKILL_MANAGER, Component.SKILL_MANAGER, SKILLS_CLAIM
        else:
            name, component = name_file_manager(project_id), Component.FILE_MANAGER
            claim = name_workspace(project_id)
        labels = label(component, name, project_id=project_id)

        def build(secret: str) -> JsonObject:
            return manifests.build_file_manager(
                project_id=project_id,
                generation=spec.generation,
                launch=secret,
                settings=self._settings,
            )

        def build_launch(secret: str, uid: str) -> JsonObject:
            return build_launch_secret(
                owner=(name, uid),
                name=secret,
                labels=labels,
                env={"CATTERY_FILEMGR_TOKEN": spec.token},
                files={},
                links={},
            )

        return Wanted(name, spec.generation, build, build_launch, (claim,), (spec.token,))


async def find_gateway(url: str) -> GatewayAlias | None:
    """Look up the gateway's address, for pods that have no DNS; `None` where the URL has it.

    Raises:
        SandboxError: its name is unknown.
    """
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return None
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SandboxError(
            f"The model gateway's name {host!r} (CATTERY_GATEWAY_URL) is unknown here: {error}."
        ) from error
    return GatewayAlias(host=host, address=str(found[0][4][0]))


def _launch_input(spec: SandboxSpec) -> LaunchInput:
    return LaunchInput(
        workspace=WORK,
        home=HOME,
        skills=SKILLS,
        tools=TOOLS,
        host="0.0.0.0",  # noqa: S104 - network policies say who reaches a pod
        port=HARNESS_PORT,
        model=spec.model,
        family=family_of(spec.model),
        gateway_url=spec.gateway_url,
        gateway_token=spec.gateway_token,
        password=spec.password,
    )


def _environment(spec: SandboxSpec, launch: Launch) -> dict[str, str]:
    contract = {
        "MODEL": spec.model,
        "PORT": str(HARNESS_PORT),
        "HARNESS_ID": str(spec.harness_id),
        "PROJECT_ID": str(spec.project_id),
    }
    return build_environment(
        base=_BASE_ENVIRONMENT, user=spec.env, platform={**contract, **launch.env}
    )
