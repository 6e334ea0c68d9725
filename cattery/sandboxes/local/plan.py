"""Turns a `SandboxSpec` into the `Job` of a supervisor: paths, environment, command."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cattery.catalog import family_of
from cattery.errors import SandboxSetupError
from cattery.harnesses.port import HarnessType, Launch, LaunchInput
from cattery.sandboxes.environment import build_environment, find_secrets
from cattery.sandboxes.local import confinement
from cattery.sandboxes.local.confinement import Confinement, Mounts
from cattery.sandboxes.local.interpreters import find_interpreters
from cattery.sandboxes.local.layout import Layout
from cattery.sandboxes.names import name_sandbox
from cattery.sandboxes.port import SandboxSpec
from cattery.sandboxes.supervisor.job import Job
from cattery.sandboxes.supervisor.processes import MARK
from cattery.settings import SandboxSettings


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of one sandbox, as seen from inside it."""

    workspace: str
    home: str
    tmp: str
    skills: str
    tools: str


class Planner:
    """Plans sandboxes for one installation. Pure but for looking whether a program is there."""

    def __init__(self, layout: Layout, settings: SandboxSettings, confinement: Confinement) -> None:
        self._layout = layout
        self._settings = settings
        self._confinement = confinement

    def plan(self, spec: SandboxSpec, harness: HarnessType, *, port: int) -> Job:
        """Plan one start.

        Raises:
            SandboxSetupError: the harness is not installed, or a variable cannot be used.
        """
        places = self._places(spec)
        launch = harness.launch(
            LaunchInput(
                workspace=places.workspace,
                home=places.home,
                skills=places.skills,
                tools=places.tools,
                host=self._settings.listen_host,
                port=port,
                model=spec.model,
                family=family_of(spec.model),
                gateway_url=spec.gateway_url,
                gateway_token=spec.gateway_token,
                password=spec.password,
            )
        )
        env = self._environment(spec, launch, places, port)
        self._check_program(launch.argv[0], env["PATH"], harness)
        return Job(
            folder=str(self._layout.sandbox(spec.harness_id)),
            harness_id=str(spec.harness_id),
            name=name_sandbox(spec.harness_type, spec.harness_id),
            harness_type=spec.harness_type,
            generation=spec.generation,
            digest=digest_spec(spec),
            ticket=secrets.token_hex(16),
            port=port,
            password=spec.password,
            confined=self._is_confined,
            argv=self._command(spec, launch),
            env=env,
            cwd=str(self._layout.workspace(spec.project_id)),
            files=launch.files,
            links=launch.links,
            secrets=(spec.gateway_token, spec.password, *find_secrets(spec.env)),
            cpu_seconds=self._settings.cpu_seconds,
            memory_bytes=self._settings.memory_bytes,
            max_processes=self._settings.max_processes,
        )

    @property
    def _is_confined(self) -> bool:
        return self._confinement.bwrap is not None

    def _places(self, spec: SandboxSpec) -> Places:
        folder = self._layout.sandbox(spec.harness_id)
        if self._is_confined:
            return Places(
                workspace=confinement.WORK,
                home=confinement.HOME,
                tmp="/tmp",  # noqa: S108 - the sandbox's own
                skills=confinement.SKILLS,
                tools=confinement.TOOLS,
            )
        return Places(
            workspace=str(self._layout.workspace(spec.project_id)),
            home=str(folder / "home"),
            tmp=str(folder / "tmp"),
            skills=str(self._layout.skills),
            tools=str(self._layout.tools),
        )

    def _environment(
        self, spec: SandboxSpec, launch: Launch, places: Places, port: int
    ) -> dict[str, str]:
        path = confinement.SYSTEM_PATH
        if not self._is_confined:
            path = os.environ.get("PATH", path)
        base = {
            "PATH": f"{places.tools}/bin:{path}",
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "SHELL": "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh",
            "HOME": places.home,
            "USER": confinement.USER,
            "LOGNAME": confinement.USER,
            **dict.fromkeys(("TMPDIR", "TMP", "TEMP"), places.tmp),
            **_time_zone(os.environ),
        }
        contract = {
            "MODEL": spec.model,
            "PORT": str(port),
            "HARNESS_ID": str(spec.harness_id),
            "PROJECT_ID": str(spec.project_id),
        }
        mark = {MARK: f"{spec.harness_id}:{spec.generation}"}
        platform = {**contract, **launch.env, **mark}
        return build_environment(base=base, user=spec.env, platform=platform)

    def _command(self, spec: SandboxSpec, launch: Launch) -> tuple[str, ...]:
        if not self._is_confined:
            return launch.argv
        folder = self._layout.sandbox(spec.harness_id)
        return self._confinement.wrap(
            launch.argv,
            Mounts(
                workspace=self._layout.workspace(spec.project_id),
                home=folder / "home",
                tmp=folder / "tmp",
                etc=folder / "etc",
                skills=self._layout.skills,
                tools=self._layout.tools,
                interpreters=find_interpreters(self._layout.tools),
            ),
        )

    def _check_program(self, program: str, path: str, harness: HarnessType) -> None:
        """Look for the program on this machine, where a path inside the sandbox may stand for it.

        A bare name is looked for on the PATH of the sandbox, which is part of this machine's.
        """
        if self._is_confined:
            inside = f"{confinement.TOOLS}/"
            if program.startswith(inside):
                program = str(self._layout.tools / program.removeprefix(inside))
            path = path.replace(confinement.TOOLS, str(self._layout.tools))
        if shutil.which(program, path=path) is None:
            raise SandboxSetupError(
                f"{harness.display_name} is not installed: there is no program {program}. "
                "Run `make up` again, or `cattery doctor` to see what is missing."
            )


def digest_spec(spec: SandboxSpec) -> str:
    """Return a digest of what a sandbox was asked for.

    The credentials are left out: every attempt at one generation may bring its own, and those of
    earlier attempts hold as long as the generation does.
    """
    values = {**asdict(spec), "env": dict(spec.env), "gateway_token": "", "password": ""}
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _time_zone(environ: Mapping[str, str]) -> dict[str, str]:
    return {"TZ": environ["TZ"]} if environ.get("TZ") else {}
