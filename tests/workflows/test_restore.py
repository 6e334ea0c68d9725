"""Backups are made and used by the recipes of docs/operations.md: the database lost, then all."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from temporalio.testing import WorkflowEnvironment

from cattery.db.migrate import upgrade
from cattery.sandboxes.supervisor.processes import find_marked
from tests.conftest import fresh_database
from tests.processes import free_port, running_system
from tests.workflows.recipes import Site, has_ended, prompt, runs, until
from tests.workflows.test_reconcile import temporal_at


class Machine:
    """A site on a Temporal that can be lost with its file."""

    def __init__(self, site: Site, port: int, temporal: WorkflowEnvironment) -> None:
        self.site = site
        self._port = port
        self.temporal = temporal

    async def lose_temporal(self) -> None:
        await self.temporal.shutdown()
        self.temporal = await temporal_at(self._port, self.site.folder / "another.db")


@pytest.fixture
async def machine(postgres_url: str, tmp_path: Path) -> AsyncIterator[Machine]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    temporal = await temporal_at(port, tmp_path / "temporal.db")
    with fresh_database(postgres_url, f"restored_{os.getpid()}") as url:
        upgrade(url)
        async with running_system(tmp_path, url, address) as system:
            made = Machine(Site(system, tmp_path, url, address), port, temporal)
            yield made
        await made.temporal.shutdown()


@pytest.fixture
def site(machine: Machine) -> Site:
    return machine.site


def stop(site: Site) -> None:
    for process in (site.system.api_process, site.system.worker_process):
        process.stop()


async def start(site: Site) -> None:
    for process in (site.system.worker_process, site.system.api_process):
        process.start()
    await site.system.wait_until_ready()


def lose_database(url: str, server: str) -> None:
    """Drop it and make it again, empty."""
    name = sql.Identifier(url.rpartition("/")[2])
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))


async def turns_of(site: Site, session: str, texts: list[str]) -> None:
    for text in texts:
        before = (await site.events(session)).count("session.idle")
        await prompt(site, session, text)
        await has_ended(site, session, before + 1)


async def test_a_database_that_is_lost_comes_back_from_its_backup(
    site: Site, postgres_url: str
) -> None:
    system, backup = site.system, site.folder / "backup"
    kept = await system.open_session()
    await turns_of(site, kept, ["deltas=3"])
    events = await site.events(kept)
    stop(site)
    await site.follow("back-up", BACKUP=str(backup))
    await start(site)

    # Since then: a turn, a start that no row of the backup knows, and a harness of its own.
    await turns_of(site, kept, ["deltas=4"])
    await site.follow("suspend")
    await system.wait_for(f"/harnesses/{system.harness_id}", "sandbox_status", "idle")
    await site.follow("wake")
    await system.wait_for(f"/harnesses/{system.harness_id}", "sandbox_status", "ready")
    made = await system.post(
        f"/projects/{system.project_id}/harnesses", {"model": "gpt-5.5", "type": "opencode"}
    )
    later = made["harness_id"]
    await system.wait_for(f"/harnesses/{later}", "sandbox_status", "ready")
    newer = [*find_marked(f"{system.harness_id}:"), *find_marked(f"{later}:")]
    assert newer

    stop(site)
    lose_database(site.url, postgres_url)
    said = await site.follow("restore-database", BACKUP=str(backup))
    assert "1 sandboxes sleep now" in said
    await start(site)
    assert await site.events(kept) == events
    assert await site.ask(f"/harnesses/{later}") == 404
    await turns_of(site, kept, ["deltas=5", "deltas=6"])
    assert len([line for line in system.posted_prompts() if "deltas=5" in line]) == 1

    async def newer_are_gone() -> bool:
        return not any(map(psutil.pid_exists, newer))

    await until(newer_are_gone, "what no row knows to be ended")


async def test_a_site_of_which_all_is_lost_comes_back_from_its_backup(
    machine: Machine, site: Site, postgres_url: str
) -> None:
    system, backup = site.system, site.folder / "backup"
    session = await system.open_session()
    await turns_of(site, session, ["deltas=3"])
    doomed = await site.delete_project()
    await prompt(site, session, "deltas=400 rate=20")
    await runs(site, session)
    stop(site)
    await site.follow("back-up", BACKUP=str(backup))

    for process in find_marked(f"{system.harness_id}:"):
        psutil.Process(process).kill()
    await machine.lose_temporal()
    lose_database(site.url, postgres_url)
    shutil.rmtree(system.home)
    said = await site.follow("restore-all", BACKUP=str(backup))
    assert f"session/{session}" in said
    assert f"project-teardown/{doomed}" in said
    await start(site)
    await has_ended(site, session, 2)  # that of the turn which ran, whatever came of it
    await turns_of(site, session, ["deltas=5"])
    assert (await site.events(session)).count("session.idle") == 3
    assert len([line for line in system.posted_prompts() if "deltas=400" in line]) == 1
    assert await site.ask(f"/projects/{doomed}") == 404
    await site.follow("undo", PROJECT=doomed)
    assert await site.ask(f"/projects/{doomed}") == 200
