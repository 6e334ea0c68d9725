"""One `cattery up` and one Chromium for the whole folder; each test makes what it works on."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright

from cli.errors import CommandError
from tests.e2e.browser import WIDE, NoChromiumError, Person, Theme, launch_chromium
from tests.e2e.client import Client
from tests.e2e.site import Site

type Welcome = Callable[..., Awaitable[Person]]
"""Opens a window: `await welcome()`, `await welcome("name", "password", size=PHONE)`."""
_EXPECTED = (
    "the server responded with a status of 401",
    "WebSocket is closed before the connection is established",
)
"""What Chromium writes when a page finds that nobody is signed in, and when one is left, or its
person signs out, before a slow machine has opened its socket."""
TEST_TIMEOUT = 120
_FOLDER = Path(__file__).parent
_site = pytest.StashKey[Site]()
_failed = pytest.StashKey[bool]()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give every test here time that does not count what the product takes to start."""
    if _FOLDER in item.path.parents and item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(TEST_TIMEOUT, func_only=True))


@dataclass(frozen=True, slots=True)
class Workplace:
    """A project with a harness whose sandbox is ready."""

    project_id: str
    harness_id: str


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Site]:
    """The running product. Its processes may be killed: it starts them again."""
    try:
        made = Site(tmp_path_factory.mktemp("site"))
    except CommandError as error:
        pytest.fail(str(error), pytrace=False)
    pytestconfig.stash[_site] = made
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
async def admin(site: Site) -> AsyncIterator[Client]:
    """The first administrator, by the API."""
    async with aiohttp.ClientSession() as http:
        yield await Client(http, site.url).sign_in("admin", site.password)


@pytest.fixture(scope="session")
async def workplace(admin: Client) -> Workplace:
    """The admin's own project, shared by tests that need any sandbox."""
    project_id = await admin.create_project("Workplace")
    return Workplace(project_id, await admin.create_harness(project_id, "Worker bee"))


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium; every person gets a context of their own in it."""
    async with async_playwright() as playwright:
        try:
            launched = await launch_chromium(playwright)
        except NoChromiumError as error:
            pytest.fail(str(error), pytrace=False)
        yield launched
        await launched.close()


@pytest.fixture
async def welcome(
    browser: Browser, site: Site, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Welcome]:
    """Open windows, signed in where a name is given; after the test no console may complain."""
    people: list[Person] = []

    async def open_window(
        username: str = "",
        password: str = "",
        size: tuple[int, int] = WIDE,
        theme: Theme = "light",
    ) -> Person:
        person = await Person.arrive(browser, site.url, size, theme)
        people.append(person)
        if username:
            await person.take_cookie(username, password or site.password)
        return person

    yield open_window
    complaints = [
        complaint
        for person in people
        for complaint in person.complaints
        if not any(words in complaint for words in _EXPECTED)
    ]
    for number, person in enumerate(people):
        if request.node.stash.get(_failed, False):
            await person.page.screenshot(path=tmp_path / f"window-{number}.png")
            print(f"window {number} at {person.page.url}: {tmp_path}/window-{number}.png")
        await person.close()
    assert complaints == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the end of the site's logs under a failing test."""
    report = yield
    running = item.config.stash.get(_site, None)
    if report.failed and running is not None and "site" in getattr(item, "fixturenames", ()):
        item.stash[_failed] = True
        report.sections.append(("cattery up", running.tell()))
    return report
