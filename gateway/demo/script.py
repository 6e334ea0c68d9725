"""Decides what the demo model does next. The same conversation always gets the same answer.

The model has no memory: after a tool call the harness sends the conversation again with the
result in it, and the script goes on from the calls that it finds there.
"""

import re
import shlex
from dataclasses import replace
from pathlib import PurePosixPath

import orjson

from gateway.demo import words
from gateway.demo.conversation import Conversation, PastCall
from gateway.demo.intents import (
    AskUser,
    Chat,
    MakePlan,
    MakeTitle,
    ReadFile,
    RunCommand,
    Summarise,
    ThinkAloud,
    WriteFile,
    read_intent,
    words_for_title,
)
from gateway.demo.parts import Part, Text, Thinking, ToolUse
from gateway.demo.tools import (
    Question,
    question_call,
    read_call,
    shell_call,
    todo_call,
    write_call,
)

QUESTION = Question(
    "Which colour should the cat have?",
    "Cat colour",
    (
        ("Black", "Elegant, and invisible at night"),
        ("Orange", "Friendly, and up to something"),
        ("Tabby", "The classic"),
    ),
)

_MAX_CALLS = 6
"""However the harness's tools answer, a turn of the demo model comes to an end."""


def decide(conversation: Conversation) -> list[Part]:  # noqa: C901 - one line for each intent
    """Return the parts of the model's next answer."""
    intent = read_intent(conversation)
    match intent:
        case MakeTitle(as_json=as_json):
            return [Text(_title(conversation.prompt, as_json=as_json))]
        case Summarise():
            return [Text(words.SUMMARY)]
        case _ if len(conversation.calls) >= _MAX_CALLS:
            return [_closing("I stop here: that is enough for a demo.")]
        case AskUser():
            return _ask_user(conversation)
        case MakePlan():
            return _make_plan(conversation)
        case WriteFile():
            return _write_file(conversation, intent)
        case ReadFile():
            return _read_file(conversation, intent)
        case RunCommand():
            return _run_command(conversation, intent)
        case ThinkAloud():
            return [Thinking(words.THINKING), _closing(words.THOUGHT)]
        case Chat():
            return [_closing(words.WELCOME)]


def _write_file(conversation: Conversation, intent: WriteFile) -> list[Part]:
    """Write the file; read it first if the harness insists; run it if that was asked for."""
    path = conversation.locate(intent.path)
    content = intent.content or words.file_content(intent.path)
    write = write_call(conversation.tools, path, content)
    if write is None:
        return [_closing(f"I would write `{intent.path}` now, but I was given no tool for it.")]
    if not conversation.calls:
        return [Text(f"I will write `{intent.path}`.\n\n"), write]
    last = conversation.calls[-1]
    if last.name != write.name:
        return _after_other_call(conversation, intent, write)
    if last.is_error:
        return _after_failed_write(conversation, intent, path)
    run = _command_for(intent.path) if intent.run else None
    if run and (call := shell_call(conversation.tools, run, f"Run {intent.path}")):
        return [Text(f"`{intent.path}` is there. Now I run it.\n\n"), call]
    return [_closing(words.wrote(intent.path, content))]


def _after_failed_write(conversation: Conversation, intent: WriteFile, path: str) -> list[Part]:
    last = conversation.calls[-1]
    is_first = len(conversation.calls) == 1
    read = read_call(conversation.tools, path)
    if is_first and read and re.search(r"\bread\b", last.result, re.IGNORECASE):
        return [Text("The file exists already, so I look at it first.\n\n"), read]
    return [_closing(words.failed(f"write `{intent.path}`", last.result))]


def _after_other_call(conversation: Conversation, intent: WriteFile, write: ToolUse) -> list[Part]:
    """Go on after a read, which a second write follows, or after the run, which ends it."""
    last = conversation.calls[-1]
    if last.name in {"read", "Read", "read_file"}:
        return [Text(f"Now I write `{intent.path}`.\n\n"), write]
    return [_closing(f"I wrote **`{intent.path}`** and ran it:\n\n{words.fenced(last.result)}")]


def _read_file(conversation: Conversation, intent: ReadFile) -> list[Part]:
    path = conversation.locate(intent.path)
    call = read_call(conversation.tools, path)
    if conversation.calls:
        last = conversation.calls[-1]
        read = replace(last, result=_without_markup(last.result))
        return [_report(read, f"read `{intent.path}`", f"`{intent.path}` says:")]
    if call is None:
        return [_closing(f"I would read `{intent.path}` now, but I was given no tool for it.")]
    return [Text(f"I will read `{intent.path}`.\n\n"), call]


def _without_markup(result: str) -> str:
    """Take a file's text out of what opencode's and claude-code's tools put around it."""
    inner = re.search(r"<content>\n(.*?)(?:\n\n?\(End of file|\n</content>)", result, re.DOTALL)
    text = inner[1] if inner else result
    return re.sub(r"^ *\d+(?:: |→|\t)", "", text, flags=re.MULTILINE) if inner else text


def _run_command(conversation: Conversation, intent: RunCommand) -> list[Part]:
    call = shell_call(conversation.tools, intent.command, f"Run {intent.command}"[:80])
    if conversation.calls:
        return [
            _report(
                conversation.calls[-1], f"run `{intent.command}`", f"`{intent.command}` printed:"
            )
        ]
    if call is None:
        return [_closing(f"I would run `{intent.command}` now, but I was given no tool for it.")]
    return [Text(f"I will run `{intent.command}`.\n\n"), call]


def _ask_user(conversation: Conversation) -> list[Part]:
    if conversation.calls:
        last = conversation.calls[-1]
        chosen = re.findall(r'="([^"]+)"', last.result)
        if chosen and not last.is_error:
            return [_closing(f"Thank you. You answered: **{', '.join(chosen)}**. A fine choice.")]
        return [_report(last, "ask you", "Thank you. This came back to me:")]
    call = question_call(conversation.tools, QUESTION)
    if call is None:
        choices = ", ".join(f"**{label}**" for label, _ in QUESTION.options)
        return [_closing(f"{QUESTION.question} {choices}? (I was given no tool to ask with.)")]
    return [Text("One question before I begin.\n\n"), call]


def _make_plan(conversation: Conversation) -> list[Part]:
    """Show the plan three times: at the start, half done, done."""
    done = len(conversation.calls)
    states = {
        0: ("in_progress", "pending", "pending"),
        1: ("completed", "in_progress", "pending"),
        2: ("completed", "completed", "completed"),
    }.get(done)
    steps = dict(zip(words.PLAN_STEPS, states or (), strict=False))
    call = todo_call(conversation.tools, steps)
    if states is None or call is None:
        listed = "\n".join(f"{n}. {step}" for n, step in enumerate(words.PLAN_STEPS, start=1))
        return [_closing(f"The plan, as far as a demo goes:\n\n{listed}")]
    return [Text("I make a plan.\n\n"), call] if done == 0 else [call]


def _report(call: PastCall, what: str, introduction: str) -> Text:
    if call.is_error:
        return _closing(words.failed(what, call.result))
    return _closing(f"{introduction}\n\n{words.fenced(call.result)}")


def _closing(text: str) -> Text:
    return Text(text.rstrip() + words.NOTICE)


def _title(prompt: str, *, as_json: bool) -> str:
    line = next(iter(words_for_title(prompt).splitlines()), "").strip() or "Demo conversation"
    title = ""
    for word in line.split():
        if len(f"{title} {word}") > 50:
            break
        title = f"{title} {word}".strip()
    title = (title or line[:50]).rstrip(".,:;!?")
    title = title[:1].upper() + title[1:]
    return orjson.dumps({"title": title}).decode() if as_json else title


def _command_for(path: str) -> str | None:
    program = {".py": "python3", ".js": "node", ".sh": "sh"}.get(PurePosixPath(path).suffix)
    return f"{program} {shlex.quote(path)}" if program else None
