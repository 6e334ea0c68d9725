"""axe-core finds nothing on any page, light and dark, and no page writes to the console."""

import io
import re
import zipfile
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Locator, expect

from tests.e2e.browser import PHONE, Person
from tests.e2e.client import Client
from tests.e2e.conftest import Welcome, Workplace

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
RUN_AXE = """
async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']
  const changes = document.getAnimations().filter((one) => one instanceof CSSTransition)
  await Promise.allSettled(changes.map((one) => one.finished))
  const { violations } = await axe.run(document, { runOnly: tags })
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html.slice(0, 160)} (${any[0]?.message ?? ''})`),
  )
}
"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The program that looks for violations."""
    if not AXE.exists():
        pytest.fail("axe-core is not installed. Run `scripts/install.sh web-deps`.", pytrace=False)
    return AXE.read_text()


@pytest.fixture(scope="session")
async def talk(admin: Client, workplace: Workplace) -> str:
    """A session with most of what a conversation can show: reasoning, tools, code, an answer."""
    session_id = await admin.create_session(workplace.harness_id)
    async with admin.watch(session_id) as watcher:
        seen = 0
        for prompt in ("think about cats", "write hi.py and run it"):
            await admin.prompt(session_id, prompt)
            idle = await watcher.until(lambda e: e.type == "session.idle", after=seen)
            seen = idle.seq
    return session_id


@pytest.fixture(scope="session")
async def skill(admin: Client) -> str:
    """A skill in the library."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        text = "---\nname: Purring\ndescription: How to purr.\n---\n# Purring\n\nSoftly.\n"
        archive.writestr("purring/SKILL.md", text)
    form = aiohttp.FormData()
    form.add_field("file", packed.getvalue(), filename="purring.zip")
    answer = await admin.ask("POST", "/skills/upload-zip", form=form)
    assert answer.status == 200, answer
    return "purring"


async def test_no_page_has_a_violation_in_either_theme(
    welcome: Welcome, admin: Client, workplace: Workplace, talk: str, skill: str, axe: str
) -> None:
    stranger, person = await welcome(), await welcome("admin")
    found = await _look_at(stranger, axe, "/login", "Sign in to Cattery")
    inside = f"/p/{workplace.project_id}"
    pages = {
        "/": "Workplace",
        inside: "You own this project",
        f"{inside}/h/{workplace.harness_id}": "Sandbox ready",
        f"{inside}/s/{talk}": "and ran it",
        f"{inside}/files/": "Changed",
        f"{inside}/files/hi.py": "return a greeting",
        f"{inside}/members": "owner",
        f"{inside}/settings": "Delete",
        "/skills": "How to purr.",
        f"/skills/{skill}": "Softly.",
        "/settings": "Present password",
        "/admin/users": "(you)",
        "/admin/system": "Temporal UI",
    }
    for path, shown in pages.items():
        found |= await _look_at(person, axe, path, shown)
    assert found == {}


async def test_no_dialog_has_a_violation_in_either_theme(
    welcome: Welcome, admin: Client, workplace: Workplace, axe: str
) -> None:
    inside = f"/p/{workplace.project_id}"
    wide, phone = await welcome("admin"), await welcome("admin", size=PHONE)
    new_harness = wide.button("New harness").first
    palette = wide.button(re.compile("opens the command palette"))
    new_user, drawer = wide.button("New user"), phone.button("Open navigation")
    found = await _look_at(wide, axe, inside, "claude-opus-4-6", new_harness)
    found |= await _look_at(wide, axe, inside, "Show keyboard shortcuts", palette)
    found |= await _look_at(wide, axe, "/admin/users", "Manages users", new_user)
    found |= await _look_at(phone, axe, inside, "Administration", drawer)
    assert found == {}


async def test_no_question_has_a_violation_in_either_theme(
    welcome: Welcome, admin: Client, workplace: Workplace, axe: str
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    await admin.prompt(session_id, "ask me something")
    person = await welcome("admin")
    path = f"/p/{workplace.project_id}/s/{session_id}"
    assert await _look_at(person, axe, path, "Orange") == {}


async def _look_at(
    person: Person, axe: str, path: str, shown: str, button: Locator | None = None
) -> dict[str, list[str]]:
    """Return the violations on a page by theme; where there are none, nothing.

    Args:
        shown: a text that is there once the page is.
        button: opens the dialog that has this text.
    """
    page = person.page
    found: dict[str, list[str]] = {}
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        await page.goto(path)
        await expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", theme)
        if button:
            await button.click()
        await expect(page.get_by_text(shown).last).to_be_visible()
        await expect(page.get_by_label("Loading")).to_have_count(0)
        await page.evaluate(axe)
        if violations := await page.evaluate(RUN_AXE):
            found[f"{path} ({theme})"] = violations
    return found
