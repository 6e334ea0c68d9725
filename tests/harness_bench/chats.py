"""What chat harnesses say, think, do and ask."""

import asyncio

from cattery.jsontypes import JsonObject
from tests.e2e.client import Event, objects_of, text_of
from tests.harness_bench import model
from tests.harness_bench.chat import Chat, Turn, chatting, text_by_part
from tests.harness_bench.scenario import Scenario, Subject
from tests.harness_bench.uploads import add_skill, put_file

RESPONSIVE = 15.0
"""Seconds within which a stopped turn is over."""


async def hello(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("hello")
        assert turn.outcome == "completed", turn.show()
        ends_with(turn, model.GREETING)


async def long_answer(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("long")
        ends_with(turn, model.LONG)


async def deltas(subject: Subject) -> None:
    """The text of a slow answer comes while it is made, not at its end."""
    async with chatting(subject) as chat:
        turn = await chat.say("slow")
        pieces = len(turn.of("message.delta"))
        assert pieces >= 20, f"{model.SLOW_WORDS} words in 10 s came in {pieces} pieces"


async def thinking(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("think")
        assert turn.thought.strip() == model.THOUGHT, turn.show()
        ends_with(turn, model.CONCLUSION)
        first = {e.type: e.seq for e in reversed(turn.of("message.thinking", "message.delta"))}
        assert first["message.thinking"] < first["message.delta"], turn.show()


async def write_file(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say(f"write bench-{chat.session_id[:8]}.txt")
        assert turn.outcome == "completed", turn.show()
        only_tool(turn)
        query = {"path": f"/bench-{chat.session_id[:8]}.txt"}
        found = await subject.client.get(f"/projects/{subject.project_id}/files/read", query)
        assert text_of(found, "content") == model.WRITTEN, found
        assert "Done:" in turn.said, turn.show()


async def diff(subject: Subject) -> None:
    async with chatting(subject) as chat:
        path = f"diff-{chat.session_id[:8]}.txt"
        await chat.say(f"write {path}")
        turn = await chat.say(f"edit {path}")
        shown = str(only_tool(turn).get("diff"))
        assert f"-{model.WRITTEN}" in shown, turn.show()
        assert f"+{model.EDITED}" in shown, turn.show()


async def failing_tool(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("fail")
        tool = only_tool(turn)
        assert "it is broken" in str(tool["output"]), turn.show()
        assert turn.outcome == "completed", turn.show()
        assert "Done:" in turn.said, turn.show()


async def three_tools(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("three")
        outputs = " ".join(str(tool["output"]) for tool in turn.tools())
        assert len(turn.tools()) == 3, turn.show()
        assert all(tool["ok"] for tool in turn.tools()), turn.show()
        assert all(f"number-{n}" in outputs for n in (1, 2, 3)), turn.show()


async def sub_agent(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("delegate")
        inside = [tool for tool in turn.tools() if tool.get("child")]
        assert inside, f"no step of the sub-agent was seen:\n{turn.show()}"
        assert "from-the-child" in str(inside[0]["output"]), turn.show()
        assert "Done:" in turn.said, turn.show()


async def todo_list(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("todo")
        plans = [objects_of(event.data["todos"]) for event in turn.of("todo.updated")]
        assert plans, turn.show()
        assert [step["content"] for step in plans[-1]] == list(model.STEPS), turn.show()
        assert {step["status"] for step in plans[-1]} == {"completed"}, turn.show()


async def title(subject: Subject) -> None:
    async with chatting(subject) as chat:
        await chat.say("Please tell me something about cats and their many lives")
        event = await chat.watcher.until(lambda e: e.type == "session.title")
        assert str(event.data["title"]).strip(), event
        session = await subject.client.get(f"/sessions/{chat.session_id}")
        assert text_of(session, "title") == event.data["title"], session


async def usage(subject: Subject) -> None:
    async with chatting(subject) as chat:
        turn = await chat.say("hello")
        told = turn.of("usage.updated")
        assert told, turn.show()
        assert int(str(told[-1].data["inputTokens"])) > 0, told
        assert int(str(told[-1].data["outputTokens"])) > 0, told


async def question_answered(subject: Subject) -> None:
    async with chatting(subject) as chat:
        await chat.begin("ask")
        asked = await chat.until_type("question.asked")
        question = objects_of(asked.data["questions"])[0]
        assert question["question"] == model.QUESTION.question, asked
        labels = [option["label"] for option in objects_of(question["options"])]
        assert labels == ["Red", "Blue"], asked
        await chat.answer(asked, "Blue")
        turn = await chat.end()
        answered = turn.of("question.answered")
        assert len(answered) == 1, turn.show()
        assert objects_of(answered[0].data["answers"])[0]["selectedLabels"] == ["Blue"]
        assert "Blue" in turn.said, f"the model was not told the answer:\n{turn.show()}"


async def question_aborted(subject: Subject) -> None:
    async with chatting(subject) as chat:
        await chat.begin("ask")
        await chat.until_type("question.asked")
        turn = await stopped(chat)
        assert turn.outcome == "aborted", turn.show()
        closed = turn.of("question.answered")
        assert len(closed) == 1, turn.show()
        assert not any(a["selectedLabels"] for a in objects_of(closed[0].data["answers"]))
        ends_with(await chat.say("hello"), model.GREETING)


async def permission_granted(subject: Subject) -> None:
    async with chatting(subject) as chat:
        path = f"/tmp/granted-{chat.session_id[:8]}.txt"
        asked = await _ask_leave(chat, path)
        await chat.decide(asked, grant=True)
        turn = await chat.end()
        assert turn.tools(), turn.show()
        look = await chat.say(f"run cat {path}")
        assert model.WRITTEN.strip() in str(look.tools()[-1]["output"]), look.show()


async def permission_denied(subject: Subject) -> None:
    async with chatting(subject) as chat:
        path = f"/tmp/denied-{chat.session_id[:8]}.txt"
        asked = await _ask_leave(chat, path)
        await chat.decide(asked, grant=False)
        turn = await chat.end()
        assert not [tool for tool in turn.tools() if tool["ok"]], turn.show()
        look = await chat.say(f"run cat {path} || echo it is not there")
        assert "it is not there" in str(look.tools()[-1]["output"]), look.show()


async def unicode(subject: Subject) -> None:
    async with chatting(subject) as chat:
        ends_with(await chat.say("unicode"), model.UNICODE)
        prompt = "Ünïcödé 猫 🐈 — ok?"
        ends_with(await chat.say(prompt), f"You said: {prompt}")


async def long_line(subject: Subject) -> None:
    async with chatting(subject) as chat:
        ends_with(await chat.say("line"), model.LINE)


async def ansi(subject: Subject) -> None:
    """Control sequences in a tool's output reach nobody's terminal as such, and break nothing."""
    async with chatting(subject) as chat:
        turn = await chat.say(r"run printf 'plain \033[31mred\033[0m end\n'")
        output = str(only_tool(turn)["output"])
        assert "plain" in output, turn.show()
        assert "red" in output, turn.show()


async def skill(subject: Subject) -> None:
    slug, secret = "bench-skill", "the-word-is-marzipan"
    await add_skill(subject, slug, f"When asked, say {secret}.")
    await stop_sandbox(subject)  # programs look for skills when they start
    async with chatting(subject) as chat:
        turn = await chat.say(f"skill {slug}")
        assert turn.tools(), turn.show()
        told = subject.model.asked(secret)
        assert told, f"the skill's text never reached the model:\n{turn.show()}"


async def instructions(subject: Subject) -> None:
    """What a repository tells agents, as text, reaches the model."""
    secret = "this-house-speaks-of-quince"
    for name in ("AGENTS.md", "CLAUDE.md"):
        await put_file(subject, name, f"Remember: {secret}.\n")
    async with chatting(subject) as chat:
        turn = await chat.say("hello")
        assert subject.model.asked(secret), f"the model was not told:\n{turn.show()}"


async def two_sessions(subject: Subject) -> None:
    async with chatting(subject) as one, chatting(subject) as other:
        both = await asyncio.gather(
            *(chat.say(f"run echo only-{chat.session_id}") for chat in (one, other))
        )
        for turn, mine, theirs in zip(both, (one, other), (other, one), strict=True):
            told = turn.show() + turn.said
            assert f"only-{mine.session_id}" in told, turn.show()
            assert f"only-{theirs.session_id}" not in told, f"crossed over:\n{turn.show()}"


async def queue(subject: Subject) -> None:
    async with chatting(subject) as chat:
        await chat.begin("slow")
        await chat.begin("the second one")
        first, second = await chat.end(), await chat.end()
        assert "slow-199" in first.said, first.show()
        assert "the second one" not in first.said, first.show()
        ends_with(second, "You said: the second one")


async def stop_sandbox(subject: Subject) -> None:
    """Stop the sandbox; the next prompt starts it."""
    answer = await subject.client.ask("DELETE", f"/harnesses/{subject.harness_id}/sandbox")
    assert answer.status == 204, answer


async def _ask_leave(chat: Chat, path: str) -> Event:
    await chat.begin(f"write {path}")
    event = await chat.until_type("question.asked", "session.idle")
    assert event.type == "question.asked", f"it was not asked for:\n{(await chat.end()).show()}"
    assert event.data["kind"] == "permission", event
    return event


async def stopped(chat: Chat) -> Turn:
    """Stop the turn; it has to be over soon."""
    async with asyncio.timeout(RESPONSIVE):
        return await chat.abort()


def only_tool(turn: Turn) -> JsonObject:
    """Return the one call of a turn, sub-agents' aside."""
    own = [tool for tool in turn.tools() if not tool.get("child")]
    assert len(own) == 1, f"{len(own)} tool calls instead of one:\n{turn.show()}"
    return own[0]


def ends_with(turn: Turn, text: str) -> None:
    """Hold an answer against the model's text, byte for byte; a program's notice may precede."""
    parts = list(text_by_part(turn.events, "message.delta").values())
    assert parts, f"no text came:\n{turn.show()}"
    assert parts[-1] == text, f"{parts[-1][-200:]!r} instead of {text[-200:]!r}\n{turn.show()}"


CHATS: tuple[Scenario, ...] = (
    Scenario("hello", "says hello", hello, on_cluster=True),
    Scenario("long", "long answer, byte for byte", long_answer),
    Scenario("deltas", "a slow answer comes as it is made", deltas),
    Scenario("thinking", "thinks, then says", thinking, needs="thinking"),
    Scenario("write", "a tool writes a file", write_file, on_cluster=True),
    Scenario("diff", "the change is seen as a diff", diff, needs="diff"),
    Scenario("failing-tool", "a tool fails", failing_tool),
    Scenario("three-tools", "three tools in one turn", three_tools),
    Scenario("sub-agent", "a sub-agent's steps are seen", sub_agent, needs="sub_agents"),
    Scenario("todo", "a list of steps", todo_list, needs="todo"),
    Scenario("title", "finds a title", title, needs="titles"),
    Scenario("usage", "tells its tokens", usage, needs="usage"),
    Scenario("question", "question, answered", question_answered, needs="questions"),
    Scenario("question-aborted", "question, stopped", question_aborted, needs="questions"),
    Scenario("permission-granted", "leave granted", permission_granted, needs="permissions"),
    Scenario("permission-denied", "leave denied", permission_denied, needs="permissions"),
    Scenario("unicode", "Unicode", unicode),
    Scenario("long-line", "a line of 100 KB", long_line),
    Scenario("ansi", "colours in a tool's output", ansi),
    Scenario("skill", "uses a skill of the library", skill, alone=True),
    Scenario("instructions", "reads the project's AGENTS.md", instructions, alone=True),
    Scenario("two-sessions", "two sessions at once", two_sessions),
    Scenario("queue", "two prompts in a queue", queue),
)
