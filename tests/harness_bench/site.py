"""The whole product on this machine, its gateway in front of the scripted model."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from cattery.catalog import ModelFamily
from cattery.harnesses.manifest import Manifest
from tests.e2e.client import Client
from tests.e2e.site import Site
from tests.harness_bench.model import ScriptedModel
from tests.harness_bench.scenario import Subject

_MODELS = {ModelFamily.ANTHROPIC: "claude-sonnet-4-6", ModelFamily.OPENAI: "gpt-5.4"}


@dataclass(frozen=True, slots=True)
class LocalSandboxes:
    """The sandboxes of one `cattery up`."""

    site: Site

    async def kill_program(self, harness_id: str) -> None:
        """Kill every process of the sandbox."""
        found = [one for one in psutil.process_iter() if _belongs(one, harness_id)]
        assert found, f"nothing runs for harness {harness_id}"
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue  # its parent's end has taken it along


@dataclass(frozen=True, slots=True)
class Place:
    """A site with a signed-in user, for any number of harnesses."""

    site: Site
    client: Client
    model: ScriptedModel

    async def make_subject(self, manifest: Manifest) -> Subject:
        """Make a harness of this type in a project of its own and wait until it is ready."""
        project_id = await self.client.create_project(f"Bench {manifest.id}")
        model = model_for(manifest)
        name = manifest.display_name
        harness_id = await self.client.create_harness(project_id, name, manifest.id, model)
        sandboxes = LocalSandboxes(self.site)
        return Subject(manifest, self.client, project_id, harness_id, self.model, sandboxes)


def model_for(manifest: Manifest) -> str:
    """Choose a model of the first family that the harness speaks."""
    return _MODELS[manifest.models.families[0]]


@asynccontextmanager
async def running_place(
    folder: Path, more_env: Mapping[str, str] | None = None
) -> AsyncIterator[Place]:
    """Run the scripted model and a `cattery up` that takes its models from there."""
    model = await ScriptedModel().start()
    site = Site(
        folder,
        {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "bench",
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "OPENAI_API_KEY": "bench",
            **(more_env or {}),
        },
    )
    try:
        site.start()
        async with aiohttp.ClientSession() as http:
            yield Place(site, await Client(http, site.url).sign_in("admin", site.password), model)
    finally:
        site.stop()
        await model.stop()


def _belongs(process: psutil.Process, harness_id: str) -> bool:
    try:
        return process.environ().get("HARNESS_ID") == harness_id
    except psutil.Error:
        return False
