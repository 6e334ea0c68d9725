"""Takes the README's pictures: plays a conversation with the demo model in a site of its own.

Run by hand, after the UI changed: `.venv/bin/python -m tests.e2e.take_screenshots`.
"""

import asyncio
import tempfile
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, async_playwright, expect

from tests.e2e.browser import PHONE, WIDE, Person, Theme, launch_chromium
from tests.e2e.client import Client
from tests.e2e.sandbox_states import show_state
from tests.e2e.site import Site

PICTURES = Path(__file__).parents[2] / "docs" / "images"
MAX_BYTES = 300 * 1024
PROMPTS = ("Make a plan for the welcome script", "Write welcome.sh and run it")
QUESTION = "Before you draw our logo, ask me about the cat"
_STATES: tuple[tuple[str, str, Theme], ...] = (
    ("crashed", "Retry starts it again", "light"),
    ("waiting", "The sandbox waits to start", "dark"),
)


async def main() -> None:
    """Start a site, play the story, take the pictures, stop the site."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            await asyncio.to_thread(site.start)
            async with aiohttp.ClientSession() as http, async_playwright() as playwright:
                admin = await Client(http, site.url).sign_in("admin", site.password)
                browser = await launch_chromium(playwright)
                await _take_all(browser, site, admin)
                await browser.close()
        finally:
            await asyncio.to_thread(site.stop)


async def _take_all(browser: Browser, site: Site, admin: Client) -> None:
    project_id = await admin.create_project("Cat hotel")
    harness_id = await admin.create_harness(project_id, "Backend helper")
    await admin.create_project("Website")
    await _talk(admin, harness_id, "List the files in the workspace")
    await _talk(admin, harness_id, "Create a README.md for the booking service")
    session_id = await _talk(admin, harness_id, *PROMPTS)

    wide = await _arrive(browser, site, WIDE)
    page = wide.page
    await page.goto(f"/p/{project_id}/h/{harness_id}")
    await expect(page.get_by_text("Sandbox ready")).to_be_visible()
    await _take(wide, "harness")
    await wide.open_session(project_id, session_id)
    await _settle(wide)
    await _take(wide, "chat-light")
    await page.emulate_media(color_scheme="dark")
    await wide.prompt(QUESTION)
    await page.get_by_role("radio", name="Orange").check()
    await _take(wide, "chat-dark")

    await _take_states(wide, site, f"/p/{project_id}/h/{harness_id}", harness_id)

    phone = await _arrive(browser, site, PHONE)
    await phone.open_session(project_id, session_id)
    await _settle(phone)
    await _take(phone, "mobile")


async def _take_states(person: Person, site: Site, path: str, harness_id: str) -> None:
    """Show what a cluster would tell of a sandbox that waits, and of one that failed."""
    for state, shown, theme in _STATES:
        await show_state(site, harness_id, state)
        await person.page.emulate_media(color_scheme=theme)
        await person.page.goto(path)
        await expect(person.page.get_by_text(shown)).to_be_visible()
        await expect(person.page.get_by_label("Loading")).to_have_count(0)
        await _take(person, f"sandbox-{state}")
    await show_state(site, harness_id, "healed")


async def _talk(admin: Client, harness_id: str, *prompts: str) -> str:
    """Play a session to its end and return it."""
    session_id = await admin.create_session(harness_id)
    async with admin.watch(session_id) as watcher:
        seen = 0
        for prompt in prompts:
            await admin.prompt(session_id, prompt)
            seen = (await watcher.until(lambda e: e.type == "session.idle", after=seen)).seq
    return session_id


async def _arrive(browser: Browser, site: Site, size: tuple[int, int]) -> Person:
    person = await Person.arrive(browser, site.url, size)
    await person.take_cookie("admin", site.password)
    return person


async def _settle(person: Person) -> None:
    """Wait until the conversation is shown to its end."""
    await expect(person.answers.last).to_be_visible()
    await expect(person.page.get_by_label("Loading")).to_have_count(0)


async def _take(person: Person, name: str) -> None:
    """Write one picture once nothing moves.

    Raises:
        AssertionError: it is too large for a README.
    """
    await person.page.mouse.move(0, 0)
    await person.page.evaluate("document.fonts.ready.then(() => null)")
    path = PICTURES / f"{name}.png"
    await person.page.screenshot(path=path, animations="disabled", caret="hide")
    assert path.stat().st_size < MAX_BYTES, f"{path} has {path.stat().st_size} bytes"
    print(f"{path.name}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    asyncio.run(main())
