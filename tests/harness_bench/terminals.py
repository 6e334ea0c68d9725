"""What a person sees and does at a terminal harness, through the platform's own socket."""

import asyncio

from tests.e2e.client import text_of
from tests.harness_bench import model
from tests.harness_bench.scenario import Scenario, Subject
from tests.harness_bench.screens import displaying, wait_for_pattern
from tests.harness_bench.terminal_faults import TERMINAL_FAULTS
from tests.harness_bench.uploads import add_skill
from tests.terminal_viewer import PATIENCE, Viewer, picture, settle

PASTE_BYTES = 64 * 1024
_WORD = "The password of this skill is PURR-7."
_LINE = "0123456789abcdef" * 4


async def hello(subject: Subject) -> None:
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        await viewer.prompt("hello")
        await viewer.wait_for(model.GREETING)


async def write_file(subject: Subject) -> None:
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        name = f"term-{display.session_id[:8]}.txt"
        await viewer.prompt(f"write {name}")
        await wait_for_pattern(viewer, "Done:")
        query = {"path": f"/{name}"}
        found = await subject.client.get(f"/projects/{subject.project_id}/files/read", query)
        assert text_of(found, "content") == model.WRITTEN, found


async def attach_again(subject: Subject) -> None:
    """Who leaves and comes back sees letters, colours, cursor and modes as one who stayed does."""
    async with displaying(subject) as display:
        stays = await display.look_when_ready()
        leaves = await display.look_when_ready()
        await display.settled()
        await leaves.prompt("hello")
        await leaves.wait_for(model.GREETING)
        await leaves.close()
        await stays.type("half a prompt")
        await stays.wait_for("half a prompt")
        again = await display.look()
        await again.wait_for("half a prompt")
        await _see_the_same(stays, again)


async def two_viewers(subject: Subject) -> None:
    async with displaying(subject) as display:
        first = await display.look_when_ready()
        second = await display.look_when_ready()
        await display.settled()
        await second.prompt("hello")
        await first.wait_for(model.GREETING)
        await second.wait_for(model.GREETING)
        await _see_the_same(first, second)


async def resize(subject: Subject) -> None:
    """The program draws itself for the smallest size; others see the same in a corner."""
    async with displaying(subject) as display:
        wide = await display.look_when_ready()
        await display.settled()
        await wide.prompt("hello")
        await wide.wait_for(model.GREETING)
        narrow = await display.look((64, 20))
        await narrow.wait_for(model.GREETING)  # before that there is nobody to type to
        await narrow.type("narrow")
        await narrow.wait_for("narrow")
        await _see_the_corner(wide, narrow)
        await narrow.close()
        fresh = await display.look()
        await fresh.wait_for("narrow")
        await _see_the_same(wide, fresh)


async def paste(subject: Subject) -> None:
    """A paste of 64 KiB, lines and all, reaches the model whole."""
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        lines = [f"{number:05} {_LINE}" for number in range(PASTE_BYTES // (len(_LINE) + 7))]
        lines.append(f"end of {display.session_id}")
        await viewer.type("\x1b[200~" + "\r".join(lines) + "\x1b[201~")
        await wait_for_pattern(viewer, r"\[Pasted")
        await asyncio.sleep(1.0)
        await viewer.type("\r")
        await _until_asked(subject, lines[-1])
        text = "\\n".join(lines)
        assert subject.model.asked(text), "the model was not given the paste as it was"


async def unicode(subject: Subject) -> None:
    """Letters of one and of two cells, from right to left, of several code points, both ways."""
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        await viewer.prompt("unicode")
        await wait_for_pattern(viewer, "Grüße.*猫.*héllo")
        await viewer.type("Tschüß 犬 naïve")
        await wait_for_pattern(viewer, "Tschüß ?犬 ?naïve")
        await asyncio.sleep(0.5)
        await viewer.type("\r")
        await _until_asked(subject, "Tschüß 犬 naïve")


async def theme(subject: Subject) -> None:
    """A program that is started for a light page has other colours than for a dark one."""
    async with displaying(subject) as display:
        viewer = await display.look()
        await viewer.socket.send_json({"type": "theme", "theme": "dark"})
        await viewer.wait_for(display.ready)
        await settle(viewer)
        dark = _colours(viewer)
        await viewer.socket.send_json({"type": "theme", "theme": "light"})
        await settle(viewer)
        if _colours(viewer) == dark:  # it follows when it is started the next time
            await _quit(viewer)
            await display.settled()
            await settle(viewer)
        light = _colours(viewer)
        assert light != dark, f"the colours are the same, {sorted(dark)}:\n{viewer.text}"


async def quit_and_restart(subject: Subject) -> None:
    """A program that its user has left is started again, in its conversation."""
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        await viewer.prompt("remember the green cat")
        await viewer.wait_for("You said: remember")
        await _quit(viewer)
        await display.settled()
        await viewer.prompt("after the restart")
        await viewer.wait_for("You said: after")
        assert _knows(subject, "after the restart", "green cat"), "its conversation is forgotten"


async def skill(subject: Subject) -> None:
    await add_skill(subject, "term-purring", _WORD)
    async with displaying(subject) as display:
        viewer = await display.look_when_ready()
        await display.settled()
        await viewer.prompt("skill term-purring")
        await wait_for_pattern(viewer, "PURR-7")


async def _quit(viewer: Viewer) -> None:
    """Leave the program, and wait until its last screen has gone."""
    note, before = "is started again", len(viewer.raw)
    await viewer.prompt("/quit")
    async with asyncio.timeout(PATIENCE):
        while note.encode() not in viewer.raw[before:] or note in viewer.text:
            await asyncio.sleep(0.05)


async def _until_asked(subject: Subject, words: str) -> None:
    for _ in range(300):
        if subject.model.asked(words):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the model was not asked {words!r}")


def _knows(subject: Subject, prompt: str, earlier: str) -> bool:
    """Tell whether a request with a prompt also had what was said before."""
    return any(body in subject.model.asked(earlier) for body in subject.model.asked(prompt))


async def _see_the_corner(wide: Viewer, narrow: Viewer) -> None:
    """Hold that a large screen comes to have a smaller one's picture in its corner."""
    cols, rows = narrow.screen.size
    for _ in range(100):
        if [row[:cols] for row in wide.screen.grid.lines[:rows]] == narrow.screen.grid.lines:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{wide.text}\n--- but narrow:\n{narrow.text}")


async def _see_the_same(first: Viewer, second: Viewer) -> None:
    """Hold that both screens come to be equal: a clock on them may tick between two looks."""
    for _ in range(100):
        if picture(first) == picture(second):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(
        f"one sees {picture(first)[1:]}:\n{first.text}\n"
        f"--- the other {picture(second)[1:]}:\n{second.text}"
    )


def _colours(viewer: Viewer) -> set[str]:
    """Return how letters and places are coloured on the screen."""
    return {style for row in viewer.screen.grid.lines for _, style in row}


TERMINAL_SCENARIOS: tuple[Scenario, ...] = (
    Scenario("term-hello", "A prompt is typed and answered", hello, on_cluster=True),
    Scenario("term-file", "A tool writes a file", write_file, on_cluster=True),
    Scenario(
        "term-attach", "The screen after re-attaching is the same", attach_again, on_cluster=True
    ),
    Scenario("term-viewers", "Two viewers see the same", two_viewers),
    Scenario("term-resize", "It is resized", resize, within=90),
    Scenario("term-paste", "A paste of 64 KiB arrives whole", paste),
    Scenario("term-unicode", "Unicode, shown and typed", unicode),
    Scenario("term-theme", "Light and dark", theme, within=90),
    Scenario(
        "term-quit", "Left, it is started again in its conversation", quit_and_restart, within=120
    ),
    Scenario("term-skill", "A skill is used", skill),
    *TERMINAL_FAULTS,
)
