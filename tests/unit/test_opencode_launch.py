"""How opencode is started, whole."""

import json

import pytest

from cattery.catalog import ModelFamily
from cattery.events.model import Answer
from cattery.harnesses.opencode.launch import basic_auth, launch_opencode
from cattery.harnesses.opencode.permissions import reply_of
from cattery.harnesses.port import LaunchInput


def given(model: str, family: ModelFamily) -> LaunchInput:
    return LaunchInput(
        workspace="/workspace",
        home="/home/agent",
        skills="/skills",
        tools="/tools",
        host="127.0.0.1",
        port=4096,
        model=model,
        family=family,
        gateway_url="http://gateway:8081/",
        gateway_token="a-token",
        password="a-password",
    )


def test_a_claude_model_is_started_whole() -> None:
    launch = launch_opencode(given("claude-sonnet-4-6", ModelFamily.ANTHROPIC), version="1.2.3")

    environment = dict(launch.env)
    assert json.loads(environment.pop("OPENCODE_CONFIG_CONTENT")) == {
        "$schema": "https://opencode.ai/config.json",
        "model": "cattery/claude-sonnet-4-6",
        "small_model": "cattery/claude-sonnet-4-6",
        "enabled_providers": ["cattery"],
        "provider": {
            "cattery": {
                "npm": "@ai-sdk/anthropic",
                "name": "Cattery's model gateway",
                "options": {
                    "baseURL": "http://gateway:8081/anthropic/v1",
                    "apiKey": "a-token",
                },
                "models": {
                    "claude-sonnet-4-6": {
                        "name": "claude-sonnet-4-6",
                        "limit": {"context": 200000, "output": 32000},
                    }
                },
            }
        },
        "instructions": ["/workspace/AGENTS.md", "/workspace/CLAUDE.md"],
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
    }
    assert environment == {
        "HOME": "/home/agent",
        "XDG_CONFIG_HOME": "/home/agent/.config",
        "XDG_DATA_HOME": "/home/agent/.local/share",
        "XDG_STATE_HOME": "/home/agent/.local/state",
        "XDG_CACHE_HOME": "/home/agent/.cache",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
        "OPENCODE_DISABLE_SHARE": "1",
        "OPENCODE_DISABLE_TERMINAL_TITLE": "1",
        "OPENCODE_ENABLE_QUESTION_TOOL": "1",
        "ANTHROPIC_BASE_URL": "http://gateway:8081/anthropic",
        "ANTHROPIC_API_KEY": "a-token",
        "OPENCODE_SERVER_PASSWORD": "a-password",
        "OPENCODE_SERVER_USERNAME": "opencode",
        "MODEL": "claude-sonnet-4-6",
        "PORT": "4096",
    }
    assert launch.argv == (
        "/tools/opencode/node_modules/.bin/opencode",
        *("serve", "--hostname", "127.0.0.1", "--port", "4096"),
    )
    assert launch.links == {".agents/skills": "/skills"}


def test_any_other_model_speaks_openais_chat_completions() -> None:
    launch = launch_opencode(given("qwen3/coder:30b", ModelFamily.OPENAI), version="1.2.3")

    provider = json.loads(launch.env["OPENCODE_CONFIG_CONTENT"])["provider"]["cattery"]
    assert provider["npm"] == "@ai-sdk/openai-compatible"
    assert provider["options"]["baseURL"] == "http://gateway:8081/openai/v1"
    assert "qwen3/coder:30b" in provider["models"]
    assert launch.env["OPENAI_BASE_URL"] == "http://gateway:8081/openai/v1"
    assert launch.env["OPENAI_API_KEY"] == "a-token"
    assert not any(name.startswith("ANTHROPIC") for name in launch.env)


def test_the_plugin_package_looks_installed_so_that_none_is_fetched() -> None:
    files = launch_opencode(given("claude-opus-4-7", ModelFamily.ANTHROPIC), version="1.2.3").files

    lock = json.loads(files[".config/opencode/package-lock.json"])
    assert lock["packages"][""]["dependencies"] == {"@opencode-ai/plugin": "1.2.3"}
    assert any(name.startswith(".config/opencode/node_modules/") for name in files)


def test_the_password_becomes_basic_authentication() -> None:
    assert basic_auth("pass:word") == "Basic b3BlbmNvZGU6cGFzczp3b3Jk"


@pytest.mark.parametrize(
    ("labels", "reply"),
    [
        (("Allow once",), "once"),
        (("Always allow",), "always"),
        (("Reject",), "reject"),
        (("anything else",), "reject"),
        ((), "reject"),
    ],
)
def test_only_a_label_that_allows_allows(labels: tuple[str, ...], reply: str) -> None:
    assert reply_of([Answer("May the agent?", labels)]) == reply
