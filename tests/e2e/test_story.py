"""The story that the product promises, told in a real browser with a real agent."""

import re
from pathlib import Path

from playwright.async_api import Page, expect

from tests.e2e.browser import PHONE, Person
from tests.e2e.client import Client
from tests.e2e.conftest import Welcome, Workplace
from tests.e2e.site import Site

PEBBLES = 20
LONG_PROMPT = f"Run `for i in $(seq -w {PEBBLES}); do echo pebble number $i lies here; done`"
"""The demo model says the output again, word by word: a turn of some seconds."""
SLOW_PROMPT = "Run `sleep 60; echo late`"
"""A turn that no test waits for."""
PROGRAM = "a_rather_long_name_for_a_program.py"


async def test_a_wrong_password_is_said_and_the_page_asked_for_comes_after_the_right_one(
    welcome: Welcome, site: Site
) -> None:
    person = await welcome()
    page = person.page
    await page.goto("/skills")
    await expect(page).to_have_url(re.compile(r"/login\?next=%2Fskills$"))

    await person.sign_in("admin", "not the password")
    await expect(page.get_by_role("alert")).to_contain_text("Wrong username or password")
    await expect(page.get_by_label("Username")).to_have_value("admin")
    await expect(page.get_by_label("Password", exact=True)).to_have_value("")

    await person.sign_in("admin", site.password)
    await expect(page).to_have_url(f"{site.url}/skills")
    await expect(page.get_by_role("heading", name="Skills", level=1)).to_be_visible()


async def test_next_leads_to_no_other_site(welcome: Welcome, site: Site) -> None:
    person = await welcome()
    await person.page.goto("/login?next=%2F%2Fexample.com%2F")
    await person.sign_in("admin", site.password)
    await expect(person.page).to_have_url(f"{site.url}/")


async def test_from_a_new_project_to_a_file_that_the_agent_wrote(welcome: Welcome) -> None:
    person = await welcome("admin")
    page = person.page
    await page.goto("/")
    await person.button("New project").click()
    await page.get_by_label("Project name").fill("Lighthouse")
    await person.button("Create project").click()
    await expect(page.get_by_role("heading", name="Lighthouse", level=1)).to_be_visible()

    await person.button("Create a harness").click()
    form = person.dialog("New harness")
    await form.get_by_label("Name").fill("Keeper")
    await form.get_by_role("button", name="Create harness").click()
    steps = page.get_by_role("list", name="Steps of the sandbox's start")
    await expect(page.get_by_test_id("sandbox-state")).to_have_text("Sandbox ready")
    await expect(steps.get_by_role("listitem")).to_have_count(3)
    await expect(steps.locator("[data-state=done]").get_by_text("Agent answers")).to_be_visible()

    await person.button("Start a session").click()
    await person.prompt("Create a file hello.txt")
    await expect(page.get_by_test_id("prompt")).to_contain_text("Create a file hello.txt")
    await expect(person.answers.first).to_contain_text("I will write")
    assert await page.get_by_test_id("turn-end").count() == 0, "the answer came in one piece"
    await person.turn_has_ended()
    await expect(page.get_by_role("region", name="Tool write succeeded")).to_be_visible()
    await expect(person.answers.last).to_contain_text("Done: I wrote hello.txt")
    await expect(page).to_have_title(re.compile(r"^Create a file hello\.txt · Cattery$"))

    await person.view("Files")
    await person.entry("hello.txt").click()
    await expect(page.get_by_text("Hello from Cattery!")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("Hello from Cattery!")).to_be_visible()


async def test_a_file_is_uploaded_renamed_downloaded_moved_and_deleted(
    welcome: Welcome, admin: Client, tmp_path: Path
) -> None:
    project_id = await admin.create_project("Papers")
    person = await welcome("admin")
    page = person.page
    await page.goto(f"/p/{project_id}/files/")
    content = "Grüße aus der Katzenpension\n".encode()
    file = {"name": "lëtter.txt", "mimeType": "text/plain", "buffer": content}
    await page.get_by_label("Files to upload").set_input_files(file)  # type: ignore[arg-type]
    await expect(page.get_by_role("region", name="Uploads")).to_contain_text("1 of 1 uploaded")

    await person.choose("Actions for lëtter.txt", "Rename…")
    await page.get_by_label("New name").fill("note.md")
    await person.button("Rename").click()
    await expect(person.entry("note.md")).to_be_visible()
    await expect(person.entry("lëtter.txt")).to_have_count(0)

    async with page.expect_download() as waiting:
        await person.choose("Actions for note.md", "Download")
    download = await waiting.value
    assert download.suggested_filename == "note.md"
    await download.save_as(tmp_path / "note.md")
    assert (tmp_path / "note.md").read_bytes() == content

    await person.button("New folder").click()
    await page.get_by_label("Folder name").fill("drawer")
    await person.button("Create folder").click()
    await person.choose("Actions for note.md", "Move…")
    await person.dialog("Move note.md").get_by_text("drawer").click()
    await person.button("Move here").click()
    await expect(person.entry("note.md")).to_have_count(0)

    await person.entry("drawer").click()
    await person.choose("Actions for note.md", "Delete…")
    await person.dialog("Delete file?").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("This folder is empty")).to_be_visible()
    listed = await admin.get(f"/projects/{project_id}/files/list", {"path": "/drawer"})
    assert listed == []


async def test_a_reload_in_the_middle_of_a_turn_shows_all_once_and_goes_on(
    welcome: Welcome, admin: Client, workplace: Workplace
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    person = await welcome("admin")
    await person.open_session(workplace.project_id, session_id)
    await person.prompt(LONG_PROMPT)
    await expect(person.answers.last).to_contain_text("pebble number 03 ")
    await person.page.reload()
    await expect(person.answers.last).to_contain_text("pebble number 03 ")
    assert await person.page.get_by_test_id("turn-end").count() == 0, "the turn was over by then"
    await person.turn_has_ended()
    said = await person.answers.last.inner_text()
    assert re.findall(r"pebble number (\d\d) lies here", said) == [
        f"{number:02}" for number in range(1, PEBBLES + 1)
    ]
    await person.log.evaluate("log => log.scrollTo(0, 0)")
    await expect(person.page.get_by_test_id("prompt")).to_have_count(1)


async def test_the_stop_button_ends_the_turn_and_says_who_pressed_it(
    welcome: Welcome, admin: Client, workplace: Workplace
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    person = await welcome("admin")
    await person.open_session(workplace.project_id, session_id)
    await person.prompt(SLOW_PROMPT)
    await expect(person.page.get_by_role("region", name="Tool bash running")).to_be_visible()
    await person.button("Stop").click()
    await person.turn_has_ended()
    await expect(person.page.get_by_test_id("turn-end")).to_contain_text("Stopped by admin")
    await expect(person.page.get_by_role("group", name="Error")).to_have_count(0)

    await person.prompt("run echo back again")
    await person.turn_has_ended(2)
    await expect(person.answers.last).to_contain_text("back again")


async def test_a_question_of_the_agent_is_answered_on_the_page(
    welcome: Welcome, admin: Client, workplace: Workplace
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    person = await welcome("admin")
    page = person.page
    await person.open_session(workplace.project_id, session_id)
    await person.prompt("Please ask me something")
    question = page.get_by_role("region", name="Question from the agent")
    await expect(question).to_contain_text("Which colour should the cat have?")
    await expect(page).to_have_title(re.compile(r"^\(!\) "))
    await expect(question.get_by_role("button", name="Answer")).to_be_disabled()
    await question.get_by_role("radio", name="Orange").check()
    await question.get_by_role("button", name="Answer").click()
    await person.turn_has_ended()
    answered = page.get_by_role("region", name="Question, answered")
    await expect(answered).to_contain_text("Which colour should the cat have? Orange")
    await expect(person.answers.last).to_contain_text("You answered: Orange")


async def test_a_member_found_by_search_sees_the_stream_and_the_queue_live(
    welcome: Welcome, admin: Client, workplace: Workplace
) -> None:
    await admin.create_user("mimi", "a cat's password")
    project_id = workplace.project_id
    session_id = await admin.create_session(workplace.harness_id)
    owner = await welcome("admin")
    await owner.page.goto(f"/p/{project_id}/members")
    await owner.page.get_by_role("combobox", name="Add a member").fill("im")
    await owner.page.get_by_role("option", name="mimi").click()
    await owner.button("Add").click()
    people = owner.page.get_by_role("region", name="People")
    await expect(people).to_contain_text("mimi")

    member = await welcome("mimi", "a cat's password")
    await member.page.goto("/")
    await member.page.get_by_role("link", name="Workplace").click()
    await member.open_session(project_id, session_id)
    await owner.open_session(project_id, session_id)
    await owner.prompt(LONG_PROMPT)
    await expect(member.answers.last).to_contain_text("pebble number 02 ")
    await expect(member.page.get_by_test_id("prompt")).to_contain_text("admin")

    await member.prompt("This one is taken back")
    queue = owner.page.get_by_role("region", name="Queued prompts")
    await expect(queue).to_contain_text("This one is taken back")
    await expect(queue).to_contain_text("mimi")
    await member.button(re.compile("^Remove “This one")).click()
    await expect(queue).to_have_count(0)
    await member.prompt("run echo second in line")
    await expect(queue).to_contain_text("run echo second in line")

    for person in (owner, member):
        await person.turn_has_ended(2)
        await expect(person.answers.last).to_contain_text("second in line")
    prompts = [m for m in await admin.history(session_id) if m["role"] == "user"]
    assert len(prompts) == 2


async def test_a_session_is_renamed_and_exported(
    welcome: Welcome, admin: Client, workplace: Workplace, tmp_path: Path
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    person = await welcome("admin")
    await person.open_session(workplace.project_id, session_id)
    await person.prompt("run echo an exported answer")
    await person.turn_has_ended()
    await person.choose("Session actions", "Rename…")
    await person.page.get_by_label("Title").fill("For the archive")
    await person.button("Rename").click()
    await expect(person.page).to_have_title("For the archive · Cattery")

    async with person.page.expect_download() as waiting:
        await person.choose("Session actions", "Export as Markdown")
    download = await waiting.value
    assert download.suggested_filename == f"For the archive-{session_id}.md"
    await download.save_as(tmp_path / "export.md")
    exported = (tmp_path / "export.md").read_text()
    assert "run echo an exported answer" in exported
    assert "printed:" in exported


async def test_the_dark_theme_is_chosen_once_and_stays(welcome: Welcome) -> None:
    person = await welcome("admin")
    html = person.page.locator("html")
    await person.page.goto("/")
    await expect(html).to_have_attribute("data-mantine-color-scheme", "light")
    light = await _background(person.page)
    await person.button("Switch to dark theme").click()
    await expect(html).to_have_attribute("data-mantine-color-scheme", "dark")
    assert await _background(person.page) != light
    await person.page.reload()
    await expect(html).to_have_attribute("data-mantine-color-scheme", "dark")


async def test_on_a_phone_nothing_scrolls_sideways_and_the_drawer_leads_everywhere(
    welcome: Welcome, admin: Client, workplace: Workplace
) -> None:
    session_id = await admin.create_session(workplace.harness_id)
    person = await welcome("admin", size=PHONE)
    page = person.page
    project, harness = workplace.project_id, workplace.harness_id
    await person.open_session(project, session_id)
    await person.prompt(f"write {PROGRAM} and run it")
    await person.turn_has_ended()
    await _fits(person)

    await person.button("Open navigation").click()
    drawer = person.dialog("Navigation")
    await expect(drawer.get_by_role("tree")).to_contain_text("Worker bee")
    await drawer.get_by_role("link", name="Files").click()
    await expect(drawer).to_have_count(0)
    await expect(person.entry(PROGRAM)).to_be_visible()
    await _fits(person)

    inside = ("", f"/h/{harness}", "/members", "/settings")
    for path in ("/", *(f"/p/{project}{end}" for end in inside), "/skills", "/admin/users"):
        await page.goto(path)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await _fits(person)


async def test_an_admin_makes_a_user_who_changes_the_password_and_signs_out(
    welcome: Welcome, site: Site
) -> None:
    boss = await welcome("admin")
    await boss.page.goto("/admin/users")
    await boss.button("New user").click()
    form = boss.dialog("New user")
    await form.get_by_label("User name").fill("Felix")
    await form.get_by_label("Password", exact=True).fill("first password")
    await form.get_by_role("button", name="Create user").click()
    await expect(boss.page.get_by_role("row", name=re.compile("felix"))).to_be_visible()

    felix = await welcome()
    page = felix.page
    await page.goto("/login")
    await felix.sign_in("felix", "first password")
    await expect(page.get_by_role("heading", name="Welcome to Cattery")).to_be_visible()
    await page.goto("/settings")
    await page.get_by_label("Present password").fill("first password")
    await page.get_by_label("New password", exact=True).fill("second password")
    await page.get_by_label("New password again").fill("second password")
    await felix.button("Change password").click()
    await expect(page.get_by_text("Password changed")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("Signed in as felix")).to_be_visible()
    await felix.button("Sign out").click()
    await expect(page).to_have_url(f"{site.url}/login")
    await page.goto("/settings")
    await expect(page).to_have_url(re.compile("/login"))

    await felix.sign_in("felix", "first password")
    await expect(page.get_by_role("alert")).to_contain_text("Wrong username or password")
    await felix.sign_in("felix", "second password")
    await expect(page.get_by_text("Signed in as felix")).to_be_visible()


async def _background(page: Page) -> str:
    colour: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


async def _fits(person: Person) -> None:
    """Check that the page is not wider than the window."""
    wide: int = await person.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, f"{person.page.url} is {wide} px too wide"
