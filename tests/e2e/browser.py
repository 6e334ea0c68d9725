"""A person at a browser: real Chromium, and the words for what people do on every page."""

import re
import shutil
from dataclasses import dataclass, field
from typing import Literal, Self

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    expect,
)

type Theme = Literal["light", "dark"]

WIDE = (1360, 860)
PHONE = (390, 844)
WITHIN_MS = 30_000
"""For every expectation: long, as a loaded machine is slow and what holds is not waited for."""
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


class NoChromiumError(Exception):
    """Install the package `chromium` (`scripts/install.sh browsers` does so on Debian)."""

    def __init__(self) -> None:
        super().__init__(
            "Chromium is not installed, and the end-to-end tests need it. Install it (Debian: "
            "apt install chromium) or run `scripts/install.sh browsers`, then the tests again."
        )


async def launch_chromium(playwright: Playwright) -> Browser:
    """Start the system's Chromium without a window.

    Raises:
        NoChromiumError: there is none.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        raise NoChromiumError
    expect.set_options(timeout=WITHIN_MS)
    return await playwright.chromium.launch(executable_path=program, args=_FLAGS)


@dataclass
class Person:
    """One person's browser window, and what its console complained about."""

    url: str
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    @classmethod
    async def arrive(
        cls,
        browser: Browser,
        url: str,
        size: tuple[int, int] = WIDE,
        theme: Theme = "light",
    ) -> Self:
        """Open a window with nothing of anybody else's in it, on a system of this theme."""
        width, height = size
        context = await browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            has_touch=size == PHONE,
            reduced_motion="reduce",
            color_scheme=theme,
        )
        context.set_default_timeout(WITHIN_MS)
        person = cls(url, context, await context.new_page())
        person.page.on("console", person._on_console)
        person.page.on("pageerror", lambda error: person.complaints.append(str(error)))
        return person

    async def take_cookie(self, username: str, password: str) -> None:
        """Be signed in without going through the form."""
        answer = await self.context.request.post(
            "/api/v1/auth/login", data={"username": username, "password": password}
        )
        assert answer.ok, await answer.text()

    async def sign_in(self, username: str, password: str) -> None:
        """Fill in the form of the sign-in page that is shown."""
        await self.page.get_by_label("Username").fill(username)
        await self.page.get_by_label("Password", exact=True).fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    async def open_session(self, project_id: str, session_id: str) -> None:
        await self.page.goto(f"/p/{project_id}/s/{session_id}")
        await expect(self.composer).to_be_editable()

    async def prompt(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def turn_has_ended(self, number: int = 1) -> None:
        """Wait for the end of the so-manieth turn of this session."""
        await expect(self.page.get_by_test_id("turn-end")).to_have_count(number)
        await expect(self.log).to_have_attribute("aria-busy", "false")

    async def close(self) -> None:
        await self.context.close()

    @property
    def composer(self) -> Locator:
        return self.page.get_by_label("Message the agent")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def answers(self) -> Locator:
        return self.page.get_by_test_id("answer")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name)

    def dialog(self, name: str) -> Locator:
        return self.page.get_by_role("dialog", name=name)

    def entry(self, name: str) -> Locator:
        """Return a row's link in the list of files."""
        return self.page.get_by_role("table").get_by_role("link", name=name)

    async def choose(self, menu: str, item: str) -> None:
        """Open a menu by its button and take an item of it."""
        await self.page.get_by_role("button", name=menu, exact=True).click()
        await self.page.get_by_role("menuitem", name=item).click()

    async def view(self, name: str) -> None:
        """Go to a view by the rail."""
        rail = self.page.get_by_role("navigation", name="Views")
        await rail.get_by_role("link", name=name, exact=True).click()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} ({message.location['url']})")
