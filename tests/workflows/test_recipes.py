"""The recipes of docs/operations.md, run as they stand there, against a real system."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cattery.db.migrate import upgrade
from tests.conftest import fresh_database
from tests.processes import PythonProcess, running_system, running_temporal
from tests.workflows.recipes import (
    DOCUMENT,
    RECIPES,
    WITHIN,
    Site,
    has_ended,
    prompt,
    runs,
    until,
)
from tests.workflows.recipes_worker import STUBBORN, WHY

WORKER = "tests/workflows/recipes_worker.py"


@pytest.fixture(scope="module")
async def site(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("recipes")
    with fresh_database(postgres_url, f"recipes_{os.getpid()}") as url:
        await asyncio.to_thread(upgrade, url)
        async with running_temporal(folder) as environment:
            address = environment.client.service_client.config.target_host
            async with running_system(folder, url, address, worker_script=WORKER) as system:
                yield Site(system, folder, url, address)
            system.worker_process.stop()  # the one that took over from the first


async def test_a_deletion_that_is_stuck_is_found_explained_retried_and_forced(site: Site) -> None:
    stubborn = site.system.home / STUBBORN
    stubborn.touch()
    mended, forced = [await site.delete_project() for _ in range(2)]
    for project in (mended, forced):
        await site.follow("delete-now", PROJECT=project)

    async def both_stuck() -> bool:
        return [await site.phase_of(each) for each in (mended, forced)] == ["stuck"] * 2

    await until(both_stuck, "the deletions to be stuck")
    listed = await site.follow("list-stuck")
    assert f"project-teardown/{mended}" in listed
    assert f"project-teardown/{forced}" in listed
    why = await site.follow("read-why", PROJECT=mended)
    assert WHY in why
    assert "keeps failing since" in why

    reason = re.search(r'"reason": "([^"]+)"', RECIPES["force"])
    assert reason
    await site.follow("force", PROJECT=forced)

    async def is_kept() -> bool:
        kept = await site.read("SELECT forced::text FROM deletion WHERE object_id = %s", forced)
        return reason[1] in str(kept[0]) and '"ada"' in str(kept[0])

    await until(is_kept, "the reason to be kept")
    stubborn.unlink()
    await site.follow("retry-now", PROJECT=mended)

    async def is_done() -> bool:
        return await site.phase_of(mended) == "done"

    await until(is_done, "the deletion to end")
    assert f"project-teardown/{mended}" not in await site.follow("list-stuck")


async def test_a_deletion_is_undone_in_its_grace_and_not_after(site: Site) -> None:
    project = await site.delete_project()
    assert await site.ask(f"/projects/{project}") == 404
    await site.follow("undo", PROJECT=project)
    assert await site.ask(f"/projects/{project}") == 200

    late = await site.delete_project()
    (site.system.home / STUBBORN).touch()
    try:
        await site.follow("delete-now", PROJECT=late)

        async def is_past() -> bool:
            return await site.phase_of(late) in ("deleting", "stuck")

        await until(is_past, "the point of no return")
        assert "point of no return" in await site.follow("undo", PROJECT=late, fails=True)
    finally:
        (site.system.home / STUBBORN).unlink()
    await site.follow("retry-now", PROJECT=late)


async def test_a_turn_is_stopped(site: Site) -> None:
    session = await site.system.open_session()
    await prompt(site, session, "deltas=2000 rate=20")
    await runs(site, session)
    await site.follow("abort", SESSION=session)
    await has_ended(site, session)
    assert (await site.events(session)).count("message.delta") < 2000


async def test_a_harness_is_suspended_and_woken(site: Site) -> None:
    path = f"/harnesses/{site.system.harness_id}"
    await site.follow("suspend")
    await site.system.wait_for(path, "sandbox_status", "idle")
    await site.follow("wake")
    await site.system.wait_for(path, "sandbox_status", "ready")
    assert "failed" not in await site.follow("list-failed")


async def test_a_worker_is_drained_while_another_takes_over_its_turn(site: Site) -> None:
    session = await site.system.open_session()
    await prompt(site, session, "deltas=120 rate=20")
    await runs(site, session)
    old = site.system.worker_process
    new = PythonProcess([WORKER], old.environment, site.folder / "worker-2.log")
    new.start()
    site.system.worker_process = new
    pid = old.process.pid
    assert old._popen
    reaped = asyncio.create_task(asyncio.to_thread(old._popen.wait, WITHIN))
    pollers = await site.follow("drain", WORKER_PID=pid)
    await reaped
    assert "sessions" in pollers or "Pollers" in pollers
    await has_ended(site, session)
    assert (await site.events(session)).count("session.idle") == 1
    assert "Total: 0" in await site.follow("count-older")


async def test_a_workflow_is_reset_or_made_again_and_its_session_goes_on(site: Site) -> None:
    session = await site.system.open_session()
    await prompt(site, session, "deltas=2")
    await has_ended(site, session)
    await site.follow("reset", SESSION=session)
    await prompt(site, session, "deltas=2")
    await has_ended(site, session, 2)

    await prompt(site, session, "deltas=400 rate=20")
    await runs(site, session)
    assert f"session/{session}" in await site.follow("end-and-remake", SESSION=session)
    await has_ended(site, session, 3)
    posted = site.system.posted_prompts()
    assert len([line for line in posted if "deltas=400" in line]) == 1


async def test_what_temporal_lost_is_made_again(site: Site) -> None:
    assert "under way" in await site.follow("reconcile")
    replaced = await site.follow("replace")
    assert f"harness/{site.system.harness_id}" in replaced
    session = await site.system.open_session()
    await prompt(site, session, "deltas=2")
    await has_ended(site, session)


def test_every_recipe_is_run_by_a_test() -> None:
    sources = [path.read_text() for path in Path(__file__).parents[1].glob("*/test_*.py")]
    followed = set(re.findall(r'(?:follow|run_recipe)\(\s*"([\w-]+)"', "\n".join(sources)))
    assert followed == set(RECIPES)
    assert len(RECIPES) == DOCUMENT.read_text().count("<!-- recipe: ")
