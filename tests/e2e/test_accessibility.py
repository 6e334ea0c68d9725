"""axe-core finds nothing on any page or dialog in either theme, and none writes to the console."""

import io
import re
import zipfile
from dataclasses import dataclass

import aiohttp
import pytest
from playwright.async_api import Locator, expect

from tests.e2e.axe import find_violations
from tests.e2e.browser import PHONE, Person, Theme
from tests.e2e.client import Client
from tests.e2e.conftest import Welcome, Workplace
from tests.e2e.sandbox_states import show_state
from tests.e2e.site import Site

THEMES: tuple[Theme, ...] = ("light", "dark")


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


@dataclass(frozen=True, slots=True)
class Patient:
    """A harness whose row is written to."""

    harness_id: str
    page: str
    session_page: str


@pytest.fixture(scope="session")
async def patient(admin: Client, workplace: Workplace) -> Patient:
    """A harness of its own for each state that a sandbox can be in."""
    harness_id = await admin.create_harness(workplace.project_id, "Patient")
    session_id = await admin.create_session(harness_id)
    inside = f"/p/{workplace.project_id}"
    return Patient(harness_id, f"{inside}/h/{harness_id}", f"{inside}/s/{session_id}")


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


@pytest.mark.parametrize("theme", THEMES)
async def test_no_page_has_a_violation(
    welcome: Welcome, workplace: Workplace, talk: str, skill: str, theme: Theme
) -> None:
    stranger, person = await welcome(theme=theme), await welcome("admin", theme=theme)
    found = await _look_at(stranger, "/login", "Sign in to Cattery")
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
        "/admin/models": "Offered when a harness is made",
        "/admin/system": "Temporal UI",
    }
    for path, shown in pages.items():
        found += await _look_at(person, path, shown)
    assert found == []


@pytest.mark.parametrize("theme", THEMES)
async def test_no_dialog_and_no_question_has_a_violation(
    welcome: Welcome, admin: Client, workplace: Workplace, theme: Theme
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    await admin.prompt(session_id, "ask me something")
    inside = f"/p/{workplace.project_id}"
    wide = await welcome("admin", theme=theme)
    phone = await welcome("admin", size=PHONE, theme=theme)
    new_harness = wide.button("New harness").first
    palette = wide.button(re.compile("opens the command palette"))
    new_user, drawer = wide.button("New user"), phone.button("Open navigation")
    found = await _look_at(wide, inside, "claude-opus-4-6", new_harness)
    found += await _look_at(wide, inside, "Show keyboard shortcuts", palette)
    found += await _look_at(wide, "/admin/users", "Manages users", new_user)
    found += await _look_at(phone, inside, "Administration", drawer)
    found += await _look_at(wide, f"{inside}/s/{session_id}", "Orange")
    assert found == []
    await admin.post(f"/sessions/{session_id}/abort")


@pytest.mark.parametrize(
    ("state", "on_its_page", "in_a_session"),
    [
        ("starting", "Pulling the image", "pulling the image"),
        ("waiting", "The sandbox waits to start", "The sandbox waits."),
        ("image-missing", "failed here", "The sandbox failed."),
        ("crashed", "expected an object", "It ended with exit code 1."),
        ("healing", "Nobody has to do anything", "is being started again."),
        ("healed", "Healed by itself 2 times", "What should the agent do?"),
    ],
)
async def test_no_state_of_a_sandbox_has_a_violation(
    welcome: Welcome,
    site: Site,
    patient: Patient,
    state: str,
    on_its_page: str,
    in_a_session: str,
) -> None:
    await show_state(site, patient.harness_id, state)
    people = [await welcome("admin", theme=theme) for theme in THEMES]
    people.append(await welcome("admin", size=PHONE))
    found: list[str] = []
    for person in people:
        found += await _look_at(person, patient.page, on_its_page)
        found += await _look_at(person, patient.session_page, in_a_session)
    assert found == []


async def _look_at(
    person: Person, path: str, shown: str, button: Locator | None = None
) -> list[str]:
    """Return the violations on a page.

    Args:
        shown: a text that is there once the page is.
        button: opens the dialog that has this text.
    """
    page = person.page
    await page.goto(path)
    if button:
        await button.click()
    await expect(page.get_by_text(shown).last).to_be_visible()
    await expect(page.get_by_label("Loading")).to_have_count(0)
    return [f"{path} has {found}" for found in await find_violations(page)]
