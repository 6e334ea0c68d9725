"""The demo model: what it understands, and that all three wire formats carry the same answer."""

import json
from dataclasses import replace

import pytest

from cattery.jsontypes import Json, JsonObject
from gateway.demo import words
from gateway.demo.conversation import Conversation, PastCall
from gateway.demo.parts import Part, Text, Thinking, ToolUse
from gateway.demo.script import decide
from tests.unit.gateway_support import Site, data_of, demo_settings, running_site

OPENCODE = {
    "write": frozenset({"filePath", "content"}),
    "read": frozenset({"filePath"}),
    "bash": frozenset({"command", "description"}),
    "question": frozenset({"questions"}),
    "todowrite": frozenset({"todos"}),
}
CLAUDE = {"Write": frozenset({"file_path", "content"}), "Bash": frozenset({"command"})}
TITLE_SYSTEM = "You are a title generator. You output ONLY a thread title."


def tool_of(parts: list[Part]) -> ToolUse:
    [tool] = [part for part in parts if isinstance(part, ToolUse)]
    return tool


def text_of(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def says(prompt: str, *calls: PastCall) -> list[Part]:
    return decide(Conversation(prompt=prompt, tools=OPENCODE, calls=calls))


@pytest.mark.parametrize(
    ("prompt", "path", "content"),
    [
        ("create a file hello.txt", "hello.txt", None),
        ("Please write `notes/todo.md` for me", "notes/todo.md", None),
        ("make me a file", "hello.txt", None),
        ("Create a file called LICENSE", "LICENSE", None),
        ("create hello.py", "hello.py", None),
        (
            'create hello.txt with the text "Good morning, cats"',
            "hello.txt",
            "Good morning, cats\n",
        ),
        ("add a file a.txt containing one two three", "a.txt", "one two three\n"),
        ("write ../../etc/passwd.txt", "passwd.txt", None),
        ("create a file /etc/cron.d/evil.sh", "evil.sh", None),
    ],
)
def test_a_request_for_a_file_calls_the_write_tool(
    prompt: str, path: str, content: str | None
) -> None:
    tool = tool_of(says(prompt))
    assert tool == ToolUse(
        "write", {"filePath": path, "content": content or words.file_content(path)}
    )


def test_after_the_write_it_names_the_file_and_says_that_it_is_a_demo() -> None:
    done = PastCall("write", {"filePath": "hello.txt"}, "Wrote file successfully.")
    answer = says("create a file hello.txt", done)
    assert "**`hello.txt`**" in text_of(answer)
    assert "demo model" in text_of(answer)
    assert "ANTHROPIC_API_KEY" in text_of(answer)
    assert "make up" in text_of(answer)


def test_a_write_that_must_be_preceded_by_a_read_gets_one() -> None:
    prompt = "create a file hello.txt"
    refused = PastCall("write", {}, "Error: you must read the file first", is_error=True)
    assert tool_of(says(prompt, refused)).name == "read"
    read = PastCall("read", {}, "1: old")
    assert tool_of(says(prompt, refused, read)).name == "write"
    assert "could not write" in text_of(says(prompt, refused, read, refused))


def test_a_file_that_shall_be_run_is_run() -> None:
    written = PastCall("write", {}, "ok")
    run = tool_of(says("write hello.py and run it", written))
    assert run.arguments["command"] == "python3 hello.py"
    ran = PastCall("bash", {}, "Hello, Cattery!")
    assert "Hello, Cattery!" in text_of(says("write hello.py and run it", written, ran))


@pytest.mark.parametrize(
    ("prompt", "command"),
    [
        ("run ls -la", "ls -la"),
        ("run `make test`", "make test"),
        ("Please run `echo hi > a.txt`", "echo hi > a.txt"),
        ("run something nice", "ls -la"),
        ("list the files", "ls -la"),
        ("what files are in the workspace?", "ls -la"),
        ("run git status.", "git status"),
    ],
)
def test_a_request_to_run_or_list_calls_the_shell(prompt: str, command: str) -> None:
    tool = tool_of(says(prompt))
    assert (tool.name, tool.arguments["command"]) == ("bash", command)


def test_a_file_is_shown_without_the_tools_markup() -> None:
    assert tool_of(says("read hello.txt")) == ToolUse("read", {"filePath": "hello.txt"})
    result = "<path>/w/hello.txt</path>\n<content>\n1: one\n2: two\n\n(End of file)\n</content>"
    answer = text_of(says("read hello.txt", PastCall("read", {}, result)))
    assert "````text\none\ntwo\n````" in answer


def test_a_question_is_asked_and_its_answer_repeated() -> None:
    assert tool_of(says("ask me something")).name == "question"
    result = 'User has answered your questions: "Which colour?"="Orange".'
    assert "You answered: **Orange**" in text_of(says("ask me", PastCall("question", {}, result)))


def test_a_plan_is_shown_until_it_is_done() -> None:
    done: list[PastCall] = []
    for _ in range(3):
        tool = tool_of(says("make a plan", *done))
        done.append(PastCall(tool.name, tool.arguments, "ok"))
    assert str(done[-1].arguments).count("completed") == 3
    assert not any(isinstance(part, ToolUse) for part in says("make a plan", *done))


def test_thinking_comes_before_the_answer() -> None:
    thinking, answer = says("think about cats")
    assert isinstance(thinking, Thinking)
    assert isinstance(answer, Text)


@pytest.mark.parametrize("prompt", ["", "hi", "Erzähl mir was 猫", "What can you do?", "e.g. this"])
def test_anything_else_is_answered_with_what_to_try(prompt: str) -> None:
    answer = text_of(says(prompt))
    assert "```python" in answer
    assert "create a file hello.txt" in answer
    assert "demo model" in answer


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        (
            "Generate a title for this conversation:\n\ncreate a file hello.txt",
            "Create a file hello.txt",
        ),
        ('Generate a title for this conversation:\n"fix it!"', "Fix it"),
        ("<session>\nfix it\n</session>\n\nWrite the title in the language of …", "Fix it"),
        ("Generate a title for this conversation:", "Demo conversation"),
        ("Generate a title for this conversation:\n" + "word " * 40, "Word" + " word" * 9),
        ("Generate a title for this conversation:\n" + "x" * 90, "X" + "x" * 49),
    ],
)
def test_titles_are_made_of_the_users_words(prompt: str, title: str) -> None:
    assert decide(Conversation(system=TITLE_SYSTEM, prompt=prompt)) == [Text(title)]


def test_a_title_is_json_where_the_harness_wants_json() -> None:
    system = 'Write a title. Answer with {"title": "…"}.'
    [part] = decide(Conversation(system=system, prompt="hello there"))
    assert isinstance(part, Text)
    assert json.loads(part.text) == {"title": "Hello there"}


def test_claude_code_gets_absolute_paths_and_its_own_tools() -> None:
    conversation = Conversation(
        system="Working directory: /work\n", prompt="create a file a/hello.txt", tools=CLAUDE
    )
    assert tool_of(decide(conversation)).arguments["file_path"] == "/work/a/hello.txt"


def test_without_a_write_tool_a_shell_writes_and_without_that_it_says_so() -> None:
    conversation = Conversation(
        prompt="create a file it's.txt", tools={"exec_command": frozenset()}
    )
    command = tool_of(decide(conversation)).arguments["cmd"]
    assert isinstance(command, str)
    assert command.startswith("printf %s 'Hello")
    assert "no tool" in text_of(decide(replace(conversation, tools={})))


def test_no_tool_result_keeps_it_calling_for_ever() -> None:
    for prompt in ("create a file x.py and run it", "make a plan", "run ls", "ask me", "read a.py"):
        for name in ("write", "read", "bash", "other"):
            for is_error in (False, True):
                calls = [PastCall(name, {}, "Error: read it", is_error=is_error)] * 6
                assert not any(isinstance(p, ToolUse) for p in says(prompt, *calls))


# --- the three wire formats, over real sockets ---------------------------------------------


def anthropic_request(prompt: str) -> JsonObject:
    return {
        "model": "claude-sonnet-4-6",
        "system": [{"type": "text", "text": "You are opencode."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}]}],
        "tools": [
            {"name": n, "input_schema": {"properties": dict.fromkeys(p)}}
            for n, p in OPENCODE.items()
        ],
    }


def chat_request(prompt: str) -> JsonObject:
    return {
        "model": "gpt-5.5",
        "messages": [
            {"role": "system", "content": "You are opencode."},
            {"role": "user", "content": prompt},
        ],
        "tools": [
            {"type": "function", "function": {"name": n, "parameters": {}}} for n in OPENCODE
        ],
        "stream_options": {"include_usage": True},
    }


def responses_request(prompt: str) -> JsonObject:
    content: list[Json] = [{"type": "input_text", "text": prompt}]
    return {
        "model": "gpt-5.5",
        "instructions": "You are opencode.",
        "input": [{"role": "user", "content": content}],
        "tools": [{"type": "function", "name": n, "parameters": {}} for n in OPENCODE],
    }


async def stream(site: Site, path: str, body: JsonObject) -> str:
    async with site.post(path, {**body, "stream": True}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Cattery-Model"] == "demo"
        return await answer.text()


async def whole(site: Site, path: str, body: JsonObject) -> JsonObject:
    async with site.post(path, body) as answer:
        assert answer.status == 200
        parsed: JsonObject = await answer.json()
        return parsed


def read_anthropic(events: list[JsonObject]) -> list[tuple[str, str]]:
    """Put a stream together as a client does: `(kind, text)` for each block."""
    blocks: list[list[str]] = []
    for event in events:
        match event:
            case {"type": "content_block_start", "content_block": dict(block)}:
                blocks.append([str(block.get("name") or block["type"]), ""])
            case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)}:
                text = delta.get("text") or delta.get("thinking") or delta.get("partial_json")
                blocks[index][1] += str(text or "")
    return [(kind, text) for kind, text in blocks]


async def test_anthropic_messages_stream_and_whole_say_the_same() -> None:
    path, body = "/anthropic/v1/messages", anthropic_request("create a file hello.txt")
    async with running_site(demo_settings()) as site:
        events = data_of(await stream(site, path, body))
        answer = await whole(site, path, body)
    assert events[0]["type"] == "message_start"
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-1] == {"type": "message_stop"}
    [(_, text), (name, arguments)] = read_anthropic(events)
    match answer:
        case {"content": [{"text": whole_text}, dict(tool)], "stop_reason": "tool_use"}:
            assert (text, name, json.loads(arguments)) == (whole_text, tool["name"], tool["input"])
        case _:
            pytest.fail(str(answer))


async def test_anthropic_thinking_is_a_signed_block_before_the_text() -> None:
    async with running_site(demo_settings()) as site:
        events = data_of(await stream(site, "/anthropic/v1/messages", anthropic_request("think")))
    [(kind, thinking), (_, text)] = read_anthropic(events)
    assert (kind, thinking) == ("thinking", words.THINKING)
    assert text == words.THOUGHT + words.NOTICE
    assert any("signature_delta" in str(event) for event in events)


async def test_anthropic_goes_on_after_the_tools_result() -> None:
    body = anthropic_request("create a file hello.txt")
    call: JsonObject = {"type": "tool_use", "id": "toolu_1", "name": "write", "input": {}}
    result: JsonObject = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}
    messages = body["messages"]
    assert isinstance(messages, list)
    messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    async with running_site(demo_settings()) as site:
        answer = await whole(site, "/anthropic/v1/messages", body)
    assert answer["stop_reason"] == "end_turn"
    assert "hello.txt" in str(answer["content"])


async def test_chat_completions_stream_and_whole_say_the_same() -> None:
    path, body = "/openai/v1/chat/completions", chat_request("create a file hello.txt")
    async with running_site(demo_settings()) as site:
        raw = await stream(site, path, body)
        answer = await whole(site, path, body)
    assert raw.endswith("data: [DONE]\n\n")
    text, name, arguments, finish = "", "", "", None
    *chunks, usage = data_of(raw)
    for chunk in chunks:
        match chunk:
            case {"choices": [{"delta": dict(delta), "finish_reason": reason}]}:
                finish = reason or finish
                text += str(delta.get("content") or "")
                match delta.get("tool_calls"):
                    case [{"index": 0, "function": dict(function)}]:
                        name += str(function.get("name") or "")
                        arguments += str(function["arguments"])
            case _:
                pytest.fail(str(chunk))
    assert (usage["choices"], finish) == ([], "tool_calls")
    match answer:
        case {"choices": [{"message": {"content": content, "tool_calls": [{"function": tool}]}}]}:
            assert (content, tool) == (text, {"name": name, "arguments": arguments})
        case _:
            pytest.fail(str(answer))


async def test_chat_reasoning_and_tool_results() -> None:
    path, body = "/openai/v1/chat/completions", chat_request("think")
    async with running_site(demo_settings()) as site:
        assert words.THINKING in str(await whole(site, path, body))
        body = chat_request("run ls")
        call: JsonObject = {
            "id": "call_1",
            "function": {"name": "bash", "arguments": '{"command": "ls"}'},
        }
        messages = body["messages"]
        assert isinstance(messages, list)
        messages += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one.txt\ntwo.txt"},
        ]
        answer = await whole(site, path, body)
    assert "one.txt\\ntwo.txt" in json.dumps(answer)


async def test_responses_stream_and_whole_say_the_same() -> None:
    path, body = "/openai/v1/responses", responses_request("think and create a file hello.txt")
    async with running_site(demo_settings()) as site:
        events = data_of(await stream(site, path, body))
        answer = await whole(site, path, body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    completed = events[-1]["response"]
    assert isinstance(completed, dict)
    assert [i["item"] for i in events if i["type"] == "response.output_item.done"] == (
        completed["output"]
    )
    text = "".join(str(e["delta"]) for e in events if e["type"] == "response.output_text.delta")
    arguments = "".join(
        str(e["delta"]) for e in events if e["type"] == "response.function_call_arguments.delta"
    )
    match answer["output"]:
        case [{"content": [{"text": whole_text}]}, {"arguments": whole_arguments, "name": "write"}]:
            assert (text, arguments) == (whole_text, whole_arguments)
        case _:
            pytest.fail(str(answer))


async def test_responses_read_reasoning_calls_and_results() -> None:
    async with running_site(demo_settings()) as site:
        answer = await whole(site, "/openai/v1/responses", responses_request("think"))
        assert words.THINKING in str(answer["output"])
        body = responses_request("ask me")
        given = body["input"]
        assert isinstance(given, list)
        given += [
            {"type": "function_call", "call_id": "c", "name": "question", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": '"Which?"="Tabby"'},
        ]
        answer = await whole(site, "/openai/v1/responses", body)
    assert "You answered: **Tabby**" in str(answer["output"])


async def test_the_same_request_gets_the_same_answer() -> None:
    body = anthropic_request("create a file hello.txt")
    async with running_site(demo_settings()) as site:
        first = await whole(site, "/anthropic/v1/messages", body)
        assert await whole(site, "/anthropic/v1/messages", body) == first


async def test_models_are_listed_and_tokens_counted() -> None:
    async with running_site(demo_settings()) as site:
        headers = {"x-api-key": site.token}
        for family, model in (("anthropic", "claude-opus-4-7"), ("openai", "gpt-5.5")):
            async with site.client.get(f"{site.url}/{family}/v1/models", headers=headers) as answer:
                ids = [entry["id"] for entry in (await answer.json())["data"]]
                assert model in ids
            url = f"{site.url}/{family}/v1/models/anything"
            async with site.client.get(url, headers=headers) as answer:
                assert (await answer.json())["id"] == "anything"
        counted = await whole(site, "/anthropic/v1/messages/count_tokens", anthropic_request("hi"))
        assert counted["input_tokens"] != 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b'{"messages": 7, "tools": {"a": 1}, "system": 3}',
        b'{"messages": [1, null, {"role": 5, "content": {"x": []}}], "tools": [{"name": null}]}',
        b'{"input": [[], {"type": 4}], "tools": [{"parameters": []}], "stream_options": 1}',
        b'{"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{"}}]}]}',
    ],
)
@pytest.mark.parametrize(
    "path", ["/anthropic/v1/messages", "/openai/v1/chat/completions", "/openai/v1/responses"]
)
async def test_a_malformed_request_is_answered_or_refused_but_never_a_5xx(
    path: str, body: bytes
) -> None:
    async with running_site(demo_settings()) as site, site.post(path, body) as answer:
        assert answer.status in {200, 400}


async def test_the_demo_model_wants_a_token_as_well() -> None:
    async with running_site(demo_settings()) as site:
        site.token = "ctk_forged"
        async with site.post() as answer:
            assert answer.status == 401
