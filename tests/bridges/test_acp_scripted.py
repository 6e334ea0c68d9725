"""The ACP bridge with an agent that does what it is told: faults, timing, and what is kept."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from cattery.events.model import (
    ErrorRaised,
    QuestionAnswered,
    QuestionAsked,
    TextPiece,
    TitleChanged,
    TodosUpdated,
    ToolFinished,
    Translated,
    UnknownFrame,
    UsageUpdated,
)
from cattery.harnesses.acp.launch import launch_acp
from cattery.harnesses.acp.translator import AcpTranslator
from cattery.harnesses.bridged.client import BridgeClient
from cattery.harnesses.port import Launch, LaunchInput
from cattery.ids import HarnessSessionId
from tests.bridges.acp_site import REPOSITORY, AcpSite, Said, answer, say
from tests.harness_types import clone_registry
from tests.unit.recorded_turns import fold

AGENT = Path(__file__).with_name("scripted_acp_agent.py")


@dataclass
class Talk:
    """One session with the scripted agent."""

    site: AcpSite
    client: BridgeClient
    session: HarnessSessionId

    async def say(self, prompt: str, **more: object) -> Said:
        return await say(self.client, self.session, prompt, **more)  # type: ignore[arg-type]

    async def same(self, said: Said) -> None:
        """Check that the history tells what the stream told."""
        history = await self.client.fetch_history(self.session)
        told = AcpTranslator(self.session, said.message).reconcile(history)
        assert fold(known(told)).lines == fold(known(said.events)).lines

    def abort_on(self, kind: type, delay: float = 0.0) -> object:
        async def act() -> None:
            await asyncio.sleep(delay)
            await self.client.abort(self.session)

        return lambda event: act() if isinstance(event, kind) else None


def known(events: list[Translated]) -> list[Translated]:
    return [event for event in events if not isinstance(event, UnknownFrame)]


def launch(given: LaunchInput) -> Launch:
    """Start the scripted agent as any agent of a manifest, with this very Python."""
    made = launch_acp(clone_registry().manifests["codex-acp"], given)
    start = made.argv.index("--") + 1
    argv = (sys.executable, *made.argv[1:start], sys.executable, str(AGENT))
    return replace(made, argv=argv)


def make_site(root: Path, **more_env: str) -> AcpSite:
    tools = root / "tools"
    shutil.copytree(REPOSITORY / "bridges", tools / "bridges")
    return AcpSite(launch, tools, root, "http://127.0.0.1:9", more_env=more_env)


@pytest.fixture(name="shared", scope="module")
async def start_bridge(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[AcpSite, BridgeClient]]:
    site = make_site(tmp_path_factory.mktemp("acp"))
    client = await site.start()
    yield site, client
    await client.close()
    await site.kill()


@pytest.fixture(name="talk")
async def begin_talk(shared: tuple[AcpSite, BridgeClient]) -> Talk:
    site, client = shared
    return Talk(site, client, await client.create_session(theme="dark"))


@pytest.fixture(name="own_talk")
async def begin_own_talk(tmp_path: Path) -> AsyncIterator[Talk]:
    site = make_site(tmp_path)
    client = await site.start()
    talk = Talk(site, client, await client.create_session(theme="dark"))
    yield talk
    await talk.client.close()
    await site.kill()


async def test_every_kind_of_update_is_told_once_and_kept(talk: Talk) -> None:
    said = await talk.say("everything")

    texts = [line for line in fold(said.events).lines.values() if not line.startswith("edit")]
    assert texts == ["thinking: Hm. ", "text: First. Still first.", "text: Second."]
    (tool,) = said.of(ToolFinished)
    assert (tool.tool, tool.ok, tool.output) == ("edit", True, "Changed a.txt")
    assert tool.diff == "--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-a\n+b\n"
    assert said.of(TodosUpdated) == [TodosUpdated((("One", "completed"),))]
    assert said.of(TitleChanged) == [TitleChanged("A title")]
    assert said.of(UsageUpdated) == [UsageUpdated(3, 4)]
    assert await talk.client.fetch_title(talk.session) == "A title"
    await talk.same(said)


async def test_a_long_answer_arrives_letter_by_letter(talk: Talk) -> None:
    said = await talk.say("long 5000")

    assert said.text == "".join(f"{number} 猫🐈\x1b[0m " for number in range(5000))
    await talk.same(said)


@pytest.mark.parametrize(("label", "outcome"), [("Allow", "yes"), ("Reject", "no")])
async def test_leave_is_asked_for_and_the_answer_is_the_agents_own_option(
    talk: Talk, label: str, outcome: str
) -> None:
    def react(event: Translated) -> object:
        if isinstance(event, QuestionAsked):
            return answer(talk.client, talk.session, event, label)
        return None

    said = await talk.say("ask", react=react)

    (asked,) = said.of(QuestionAsked)
    assert asked.questions[0].question == "May the agent do this?\nWrite x\nrm x"
    assert [option.label for option in asked.questions[0].options] == ["Allow", "Reject"]
    assert said.of(QuestionAnswered)[0].answers[0].selected_labels == (label,)
    assert said.text == outcome
    await talk.same(said)


async def test_a_stop_withdraws_the_question(talk: Talk) -> None:
    said = await talk.say("ask", react=talk.abort_on(QuestionAsked))

    assert said.of(QuestionAnswered)[0].answers[0].selected_labels == ()
    assert not said.of(ErrorRaised)
    assert (await talk.say("hello")).text == "You said: hello"


async def test_a_stop_ends_a_turn_at_once(talk: Talk) -> None:
    begun = time.monotonic()
    said = await talk.say("slow", react=talk.abort_on(TextPiece))

    assert time.monotonic() - begun < 4
    assert said.text.startswith("word0 ")
    assert not said.of(ErrorRaised)
    assert (await talk.say("memory")).text == "slow"


async def test_an_agent_that_does_not_heed_a_stop_is_ended_and_loaded_again(own_talk: Talk) -> None:
    talk = own_talk
    said = await talk.say("deaf", react=talk.abort_on(TextPiece))

    assert said.text == "listening"
    assert talk.site.agents() == []
    again = await talk.say("memory")
    assert again.text == "deaf", "without what was replayed"
    await talk.same(again)


async def test_a_killed_agent_ends_its_turn_and_leaves_nothing_running(talk: Talk) -> None:
    said = await talk.say("die")

    assert said.text == "about to"
    assert said.of(ErrorRaised)[0].message.startswith("The agent ended: signal 9")
    child = int((talk.site.home / "child").read_text())
    await asyncio.sleep(0.3)
    assert not alive(child)
    assert (await talk.say("memory")).text == "die"


async def test_the_last_words_of_an_agent_are_told(talk: Talk) -> None:
    said = await talk.say("leave")
    assert said.of(ErrorRaised)[0].message == "The agent ended: exit code 3, out of luck."


async def test_a_conversation_goes_on_after_the_bridge_was_killed(own_talk: Talk) -> None:
    talk = own_talk
    first = await talk.say("one")
    await talk.client.close()
    await talk.site.kill()
    talk.client = await talk.site.start()

    again = await talk.say("memory")

    assert again.text == "one"
    await talk.same(first)
    await talk.same(again)


async def test_prompts_are_queued_and_no_two_reach_an_agent_at_once(talk: Talk) -> None:
    first, second = await asyncio.gather(talk.say("long 300"), talk.say("memory"))
    assert second.text == "long 300"
    assert first.text.endswith("299 猫🐈\x1b[0m ")


async def test_what_is_not_of_the_protocol_breaks_nothing_and_is_not_lost(talk: Talk) -> None:
    said = await talk.say("strange")

    assert [unknown.frame_type for unknown in said.of(UnknownFrame)] == ["hologram"]
    assert said.text == "-32601", "files are not offered to it"
    history = await talk.client.fetch_history(talk.session)
    assert '"hologram"' in json.dumps(history)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            "fail",
            "The agent failed: Internal error: the model is ill. Send the prompt again.",
        ),
        ("refuse", "The agent refused to go on. Word the prompt differently."),
        (
            "nothing",
            "The model gave an empty answer. Send the prompt again, or choose another model.",
        ),
    ],
)
async def test_a_turn_that_fails_says_why(talk: Talk, prompt: str, message: str) -> None:
    said = await talk.say(prompt)
    assert [error.message for error in said.of(ErrorRaised)] == [message]
    await talk.same(said)


async def test_a_full_log_stalls_nothing(talk: Talk) -> None:
    assert (await talk.say("log 2000000")).text == "logged"


async def test_an_agent_that_never_answers_holds_up_neither_bridge_nor_stop(
    tmp_path: Path,
) -> None:
    site = make_site(tmp_path, ACP_FAULT="mute")
    client = await site.start()
    session = await client.create_session(theme="dark")

    async def stop() -> None:
        await asyncio.sleep(0.5)
        assert await client.is_busy(session)
        await client.abort(session)

    said, _ = await asyncio.gather(say(client, session, "hello"), stop())
    assert said.events[:-1] == []
    await client.close()
    agents = site.agents()
    await site.stop()
    assert agents
    assert not any(alive(pid) for pid in agents)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
