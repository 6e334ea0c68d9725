"""A person at a terminal in the browser: the real Codex, from a first key to a stopped sandbox."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.axe import find_violations
from tests.e2e.browser import PHONE, WIDE, Person, Theme
from tests.e2e.client import Client
from tests.e2e.conftest import Welcome
from tests.e2e.test_accessibility import THEMES

MODEL = "gpt-5.4"
READY = "OpenAI Codex"


@dataclass(frozen=True, slots=True)
class Desk:
    """A Codex with a session."""

    project_id: str
    harness_id: str
    session_id: str

    @property
    def page(self) -> str:
        return f"/p/{self.project_id}/s/{self.session_id}"


@pytest.fixture(scope="module")
async def desk(admin: Client) -> AsyncIterator[Desk]:
    """One Codex for the whole file, since a start is dear."""
    project_id = await admin.create_project("Terminals")
    harness_id = await admin.create_harness(project_id, "Keyboard cat", "codex", MODEL)
    yield Desk(project_id, harness_id, await admin.create_session(harness_id))
    await admin.ask("DELETE", f"/harnesses/{harness_id}")


def screen(person: Person) -> Locator:
    """Return the terminal as it is drawn."""
    return person.page.locator(".xterm-rows")


async def look(person: Person, desk: Desk) -> None:
    await person.page.goto(desk.page)
    await expect(person.page.get_by_test_id("terminal")).to_have_attribute("data-state", "open")
    await expect(screen(person)).to_contain_text("gpt-5.4")


async def test_keys_alone_get_an_answer_and_a_reload_shows_the_same(
    welcome: Welcome, desk: Desk
) -> None:
    person = await welcome("admin")
    await look(person, desk)
    await expect(screen(person)).to_contain_text(READY)
    keyboard = person.page.keyboard
    await keyboard.type("Tell me of the whiskers", delay=15)
    await expect(screen(person)).to_contain_text("of the whiskers")
    await keyboard.press("Enter")
    await expect(screen(person)).to_contain_text("built-in demo model")
    await expect(screen(person)).to_contain_text("Worked for")
    await keyboard.type("a draft", delay=15)
    await expect(screen(person)).to_contain_text("a draft")
    await person.page.wait_for_timeout(1_000)
    before = await screen(person).inner_text()
    await look(person, desk)
    await expect(screen(person)).to_contain_text("a draft")
    await expect(screen(person)).to_have_text(before, use_inner_text=True)
    # Out of the terminal and on, without a mouse.
    await keyboard.press("Control+Shift+Escape")
    await keyboard.press("Tab")
    focused = await person.page.evaluate("document.activeElement.closest('.xterm') === null")
    assert focused, "the keyboard does not leave the terminal"


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_the_terminal_has_no_violation_and_fits(
    welcome: Welcome, desk: Desk, theme: Theme, size: tuple[int, int]
) -> None:
    person = await welcome("admin", size=size, theme=theme)
    await look(person, desk)
    page = person.page
    await page.wait_for_timeout(500)
    too_wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not too_wide, "the page scrolls sideways"
    assert await find_violations(page) == []


async def test_a_stopped_sandbox_is_offered_again(
    welcome: Welcome, admin: Client, desk: Desk
) -> None:
    person = await welcome("admin")
    await look(person, desk)
    answer = await admin.ask("DELETE", f"/harnesses/{desk.harness_id}/sandbox")
    assert answer.status == 204, answer
    again = person.button("Open the terminal")
    await expect(person.page.get_by_text("The sandbox was stopped.")).to_be_visible()
    await again.click()
    await expect(person.page.get_by_test_id("terminal")).to_have_attribute("data-state", "open")
    await expect(screen(person)).to_contain_text("gpt-5.4")
