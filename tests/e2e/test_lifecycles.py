"""Deletions and sleeping sandboxes as people see and steer them in the browser."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from playwright.async_api import Locator, expect
from psycopg import AsyncConnection

from cattery.sandboxes.supervisor.processes import MARK
from cli.home import Home
from cli.ports import read_ports
from cli.stores import embedded_database_url
from tests.e2e.axe import find_violations
from tests.e2e.browser import PHONE, Person
from tests.e2e.client import Client, objects_of
from tests.e2e.conftest import Welcome, Workplace
from tests.e2e.site import Site

MANY_TABS = 60
SLOW_MS = 60_000
"""For what takes its time: the pauses before a step is stuck, a sweep that is due, a wake."""


async def test_a_deleted_project_is_brought_back_by_keyboard(
    welcome: Welcome, admin: Client
) -> None:
    project = await admin.create_project("Winter garden")
    person = await welcome("admin")
    page = person.page
    await page.goto(f"/p/{project}/settings")
    await person.button("Delete project…").click()
    dialog = person.dialog("Delete project?")
    await expect(dialog).to_contain_text("can be undone")
    assert await find_violations(page) == []
    await dialog.get_by_role("button", name="Delete project").click()
    toast = page.get_by_role("status").filter(has_text="Winter garden was deleted")
    await expect(toast).to_be_visible()
    row = deletion(person, "project Winter garden")
    await expect(row).to_contain_text("goes in 24 hours")
    await expect(row).to_contain_text("asked for by admin")
    assert await find_violations(page) == []

    await press_until_focused(person, row.get_by_role("button", name="Undo"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Winter garden is back")).to_be_visible()
    await expect(row).to_have_count(0)
    await page.goto(f"/p/{project}")
    await expect(page.get_by_text("You own this project")).to_be_visible()
    # Its page may ask for it once more before it is left, and is told that it is gone.
    person.complaints = [one for one in person.complaints if f"{project}" not in one]


async def test_a_deleted_users_projects_go_to_the_heir_whom_the_admin_chooses(
    welcome: Welcome, admin: Client
) -> None:
    bea = await admin.create_user("bea", "Purring-4-ever")
    cleo = await admin.create_user("cleo", "Purring-4-ever")
    project = await bea.create_project("Legacy")
    person = await welcome("admin")
    page = person.page
    await page.goto("/admin/users")
    await person.button("Delete bea").click()
    dialog = person.dialog("Delete user?")
    await dialog.get_by_label("Projects that they own").select_option(label="go to cleo")
    assert await find_violations(page) == []
    await dialog.get_by_role("button", name="Delete user").click()
    await expect(page.get_by_text("bea was deleted")).to_be_visible()

    await page.get_by_role("link", name="Deletions").click()
    row = deletion(person, "user bea")
    await expect(row).to_contain_text("cleo gets the projects")
    assert await find_violations(page) == []
    await row.get_by_role("button", name="Delete bea now").click()
    await expect(row).to_contain_text("was deleted", timeout=SLOW_MS)
    assert [each["project_id"] for each in objects_of(await cleo.get("/projects"))] == [project]


@pytest.mark.timeout(300)
async def test_a_deletion_that_is_stuck_says_why_and_is_retried_or_forced(
    welcome: Welcome, admin: Client
) -> None:
    with ExitStack() as held:
        mended, given_up = [await admin.create_project(name) for name in ("Mended", "Given up")]
        process, _ = [held.enter_context(left_over(each)) for each in (mended, given_up)]
        for project in (mended, given_up):
            assert (await admin.ask("DELETE", f"/projects/{project}")).status == 204
        person = await welcome("admin")
        page = person.page
        await page.goto("/admin/deletions")
        for name in ("Mended", "Given up"):
            await person.button(f"Delete {name} now").click()
        first, second = [deletion(person, f"project {name}") for name in ("Mended", "Given up")]
        for row in (first, second):
            await expect(row).to_contain_text("Stuck: looking whether anything", timeout=SLOW_MS)
        await expect(first).to_contain_text(f"still something left: process {process.pid}")
        assert await find_violations(page) == []
        phone = await welcome("admin", size=PHONE, theme="dark")
        await phone.page.goto("/admin/deletions")
        await expect(deletion(phone, "project Given up")).to_contain_text("Stuck")
        assert await find_violations(phone.page) == []

        await second.get_by_role("button", name="Skip what holds up Given up").click()
        dialog = person.dialog("Skip what holds up Given up?")
        await dialog.get_by_role("button", name="Skip the step").click()
        await expect(dialog).to_contain_text("Enter a reason")
        await dialog.get_by_label("Reason").fill("its process is somebody else's")
        assert await find_violations(page) == []
        await dialog.get_by_role("button", name="Skip the step").click()
        await expect(second).to_contain_text("was deleted")
        await expect(second).to_contain_text("its process is somebody else's")
        await expect(first).to_contain_text("is stuck")
    await first.get_by_role("button", name="Try the deletion of Mended again now").click()
    await expect(first).to_contain_text("was deleted")
    assert await find_violations(page) == []


@pytest.mark.timeout(300)
async def test_a_prompt_wakes_a_sandbox_that_sleeps_and_its_page_tells_what_happened(
    welcome: Welcome, admin: Client, workplace: Workplace, site: Site
) -> None:
    harness = await admin.create_harness(workplace.project_id, "Dormouse")
    session = await admin.create_session(harness)
    async with admin.watch(session) as watcher:
        await admin.prompt(session, "run echo good night")
        await watcher.until(lambda event: event.type == "session.idle")
    await be_unused(site, harness)
    person = await welcome("admin")
    page, its_page = person.page, f"/p/{workplace.project_id}/h/{harness}"
    await page.goto(its_page)
    await expect(page.get_by_text("Suspended", exact=True).first).to_be_visible(timeout=SLOW_MS)
    assert await find_violations(page) == []

    await person.open_session(workplace.project_id, session)
    await expect(page.get_by_text("The sandbox is suspended.", exact=True)).to_be_visible()
    assert await find_violations(page) == []
    await person.prompt("run echo good morning")
    await expect(page.get_by_text("The sandbox wakes up").first).to_be_visible()
    await expect(page.get_by_test_id("turn-end")).to_have_count(2, timeout=SLOW_MS)
    await expect(person.answers.last).to_contain_text("good morning")

    await page.goto(its_page)
    lines = page.get_by_role("list", name="What happened, the newest first").get_by_role("listitem")
    for number, words in enumerate(["Started", "Woken", "Suspended", "Started", "Created"]):
        await expect(lines.nth(number)).to_contain_text(words)
    await expect(lines.nth(1)).to_contain_text("by admin")
    assert await find_violations(page) == []


def deletion(person: Person, label: str) -> Locator:
    return person.page.get_by_role("listitem", name=label)


async def press_until_focused(person: Person, wanted: Locator) -> None:
    """Press Tab until something has the focus, as somebody without a mouse does."""
    for _ in range(MANY_TABS):
        await person.page.keyboard.press("Tab")
        if await wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError("it cannot be reached by Tab")


@contextmanager
def left_over(project_id: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that looks like one of a sandbox of a project, which no runtime knows of."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={MARK: "left-over:1", "PROJECT_ID": project_id},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


_OPEN_PROMPTS = """
SELECT 1 FROM prompt JOIN session ON session.id = prompt.session_id
WHERE session.harness_id = %s AND prompt.status <> 'done'
"""


async def be_unused(site: Site, harness_id: str) -> None:
    """Have nobody have used a sandbox for an hour, which is longer than it may stay awake.

    Its last turn says in the log that it is over, and then notes that it used the sandbox.
    """
    home = Home(site.home)
    url = embedded_database_url(home, read_ports(home)["postgres"])
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        async with asyncio.timeout(SLOW_MS / 1000):
            while await (await connection.execute(_OPEN_PROMPTS, [harness_id])).fetchone():
                await asyncio.sleep(0.1)
        await connection.execute(
            "UPDATE harness SET idle_timeout_seconds = 60, used_at = now() - interval '1 hour'"
            " WHERE id = %s",
            [harness_id],
        )
