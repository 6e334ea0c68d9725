"""Claude Code's launch, and the pure parts of its bridge."""

import json
from pathlib import Path

import pytest

from bridges.claude_code.endings import TurnWatch, Verdict
from bridges.claude_code.setup import read_setup
from bridges.claude_code.transcript import find_transcript, prepare_resume, read_turns
from cattery.catalog import ModelFamily
from cattery.harnesses.claude_code.launch import launch_claude_code
from cattery.harnesses.port import LaunchInput
from cattery.jsontypes import JsonObject

GIVEN = LaunchInput(
    workspace="/work",
    home="/home/agent",
    skills="/skills",
    tools="/opt/cattery",
    host="0.0.0.0",
    port=4096,
    model="claude-sonnet-4-6",
    family=ModelFamily.ANTHROPIC,
    gateway_url="http://gateway:8081/",
    gateway_token="token-of-the-sandbox",
    password="password-of-the-port",
)
BEGUN: JsonObject = {"type": "command_lifecycle", "command_uuid": "mine", "state": "started"}
RESULT: JsonObject = {"type": "result", "is_error": False}
INIT: JsonObject = {"type": "system", "subtype": "init"}


def tasks(*kinds: str) -> JsonObject:
    return {
        "type": "system",
        "subtype": "background_tasks_changed",
        "tasks": [{"task_id": f"{n}", "task_type": kind} for n, kind in enumerate(kinds)],
    }


def test_the_bridge_is_started_with_one_credential_and_one_model() -> None:
    launch = launch_claude_code(GIVEN)

    assert launch.argv == (
        "/opt/cattery/claude-code/venv/bin/python",
        *("-P", "-m", "bridges.claude_code", "--host", "0.0.0.0", "--port", "4096"),
    )
    assert launch.links == {".claude/skills": "/skills"}
    assert launch.files == {}
    assert launch.env["PYTHONPATH"] == "/opt/cattery"
    assert launch.env["ANTHROPIC_BASE_URL"] == "http://gateway:8081/anthropic"
    models = {value for name, value in launch.env.items() if name.endswith("MODEL")}
    assert models == {"claude-sonnet-4-6"}
    secrets = {name for name, value in launch.env.items() if "-of-the-" in value}
    assert secrets == {"ANTHROPIC_API_KEY", "BRIDGE_PASSWORD"}


@pytest.mark.parametrize(
    ("given", "mode"),
    [("", "acceptEdits"), ("default", "default"), ("plan", "plan"), ("rm -rf", "acceptEdits")],
)
def test_a_permission_mode_is_the_users_choice_among_known_ones(given: str, mode: str) -> None:
    environ = {"HOME": "/home/agent", "CLAUDE_PERMISSION_MODE": given}
    assert read_setup(environ, workspace=Path("/work")).mode == mode


@pytest.mark.parametrize(
    ("messages", "verdict"),
    [
        ([BEGUN], Verdict.GOES_ON),
        ([RESULT], Verdict.GOES_ON),  # of the turn before
        ([BEGUN, RESULT], Verdict.OVER),
        ([{"user_message_uuids": ["mine"]}, RESULT], Verdict.OVER),
        ([BEGUN, tasks("local_agent"), RESULT], Verdict.GOES_ON),
        ([BEGUN, tasks("local_bash"), RESULT], Verdict.OVER),
        ([BEGUN, tasks("local_agent"), RESULT, tasks()], Verdict.MAYBE_OVER),
        ([BEGUN, tasks("local_agent"), tasks(), RESULT], Verdict.MAYBE_OVER),
        ([BEGUN, tasks("local_agent"), RESULT, tasks(), INIT], Verdict.GOES_ON),
        ([BEGUN, tasks("local_agent"), RESULT, tasks(), INIT, RESULT], Verdict.OVER),
    ],
)
def test_a_turn_is_over_when_neither_model_nor_sub_agent_works(
    messages: list[JsonObject], verdict: Verdict
) -> None:
    watch = TurnWatch("mine")
    assert [watch.take(message) for message in messages][-1] is verdict


def test_a_transcript_without_a_message_is_no_conversation(tmp_path: Path) -> None:
    folder = tmp_path / ".claude" / "projects" / "-work"
    folder.mkdir(parents=True)
    assert not prepare_resume(tmp_path, "s")
    (folder / "s.jsonl").write_text('{"type":"custom-title"}\nno json\n')
    assert not prepare_resume(tmp_path, "s")
    assert find_transcript(tmp_path, "s") is None, "out of the way of a new one"
    (folder / "s.jsonl").write_text('{"type":"user"}\n')
    assert prepare_resume(tmp_path, "s")


def test_messages_of_a_transcript_belong_to_the_prompt_before_them(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    call = {"type": "tool_use", "id": "call"}
    lines: list[object] = [
        {"type": "assistant", "message": "before any"},
        {"type": "user", "uuid": "p1"},
        {"type": "assistant", "uuid": "a1", "message": {"content": [call]}},
        {"type": "user", "uuid": "r1", "toolUseResult": {"originalFile": "x", "filePath": "f"}},
        [1],
        {"type": "user", "uuid": "p2"},
        {"type": "assistant", "uuid": "a2", "apiBlockIndex": 3},
        {"type": "assistant", "uuid": "side", "isSidechain": True},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    agents = tmp_path / "s" / "subagents"
    agents.mkdir(parents=True)
    (agents / "agent-1.meta.json").write_text('{"toolUseId": "call"}')
    child = [{"type": "user", "uuid": "its prompt"}, {"type": "assistant", "uuid": "c1"}]
    (agents / "agent-1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in child))
    (agents / "agent-2.meta.json").write_text("no json")

    told = {
        (turn, str(message["uuid"])): message for _, turn, message in read_turns(path, ["p1", "p2"])
    }

    assert set(told) == {("p1", "a1"), ("p1", "r1"), ("p2", "a2"), ("p1", "c1")}
    assert told["p1", "r1"]["tool_use_result"] == {"filePath": "f"}
    assert told["p2", "a2"]["block_index"] == 3
    assert told["p1", "c1"]["parent_tool_use_id"] == "call"
