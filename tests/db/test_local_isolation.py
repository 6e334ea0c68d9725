"""How local sandboxes are confined is found out by the worker, and told to the HTTP process."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from api.local_access import LocalAccess
from cattery.db.engine import Database
from cattery.db.site_facts import ISOLATION, find_fact, store_fact
from cattery.ids import ProjectId
from cattery.sandboxes.local import LocalRuntime
from cattery.sandboxes.local.confinement import Confinement
from cattery.sandboxes.port import Isolation
from cattery.settings import HomeSettings, SandboxSettings
from workers.runtimes import opened_runtime


def _without_bubblewrap(home: Path) -> LocalRuntime:
    """A runtime where the HTTP process runs, in a container of its own."""
    reason = Confinement(None, reason="there is none in this container.")
    return LocalRuntime(home, home / "tools", SandboxSettings(), {}, confinement=reason)


async def test_the_http_process_says_of_sandboxes_what_a_worker_found_out(
    database: Database, tmp_path: Path
) -> None:
    access = LocalAccess(_without_bubblewrap(tmp_path), database)
    alone = await access.isolation()
    assert (alone.confined, "none in this container" in alone.summary) == (False, True)

    home = HomeSettings(home=tmp_path)
    async with opened_runtime(home, SandboxSettings(), {}, database) as opened:
        found = await opened.runtime.isolation()
    assert await access.isolation() == found

    async with database.write() as rows:
        await store_fact(rows, ISOLATION, {"confined": True, "summary": "Well."})
    assert await access.isolation() == Isolation(True, "Well.")
    async with database.read() as rows:
        fact = await find_fact(rows, ISOLATION)
    assert fact is not None


async def test_absolute_links_of_agents_lead_into_the_workspace_where_all_are_confined(
    tmp_path: Path,
) -> None:
    """Also seen by a process that could not confine any itself."""
    project = tmp_path / "projects" / "11111111-1111-4111-8111-111111111111"
    (project / "work").mkdir(parents=True)
    (project / "work" / "notes.txt").write_text("words")
    (project / "work" / "link.txt").symlink_to("/work/notes.txt")
    settings = SandboxSettings(allow_unconfined=False, start_timeout=timedelta(seconds=1))
    nothing = Confinement(None, reason="nothing.")
    runtime = LocalRuntime(tmp_path, tmp_path / "tools", settings, {}, confinement=nothing)
    files = runtime.workspace_files(ProjectId(UUID(project.name)))
    assert (await files.read_text("link.txt")).content == "words"
