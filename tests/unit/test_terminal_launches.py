"""How Codex and Hermes are started: what their files and environment say."""

import json
import tomllib

from cattery.catalog import ModelFamily
from cattery.harnesses.codex.launch import launch_codex
from cattery.harnesses.hermes.launch import launch_hermes
from cattery.harnesses.port import LaunchInput


def given(family: ModelFamily) -> LaunchInput:
    return LaunchInput(
        workspace="/work",
        home="/home/agent",
        skills="/skills",
        tools="/opt/cattery",
        host="0.0.0.0",
        port=4096,
        model='odd"model',
        family=family,
        gateway_url="http://gateway:8081/",
        gateway_token="token",
        password="secret",
    )


def test_codex_speaks_responses_to_the_gateway_alone() -> None:
    launch = launch_codex(given(ModelFamily.OPENAI))
    read = tomllib.loads(launch.files[".codex/config.toml"])
    assert read["model"] == 'odd"model'
    assert read["model_providers"]["cattery"]["base_url"] == "http://gateway:8081/openai/v1"
    assert read["features"]["daemon_auto_start"] is False
    assert read["projects"]["/work"]["trust_level"] == "trusted"
    assert launch.links == {".agents/skills": "/skills"}
    assert launch.argv[:5] == (
        "/opt/cattery/codex/venv/bin/python",
        "-P",
        "-m",
        "bridges.terminal",
        "codex",
    )
    assert "token" not in launch.files[".codex/config.toml"]


def test_hermes_speaks_the_models_own_api() -> None:
    apis = {}
    for family in ModelFamily:
        launch = launch_hermes(given(family))
        read = json.loads(launch.files[".hermes/config.yaml"])
        provider = read["custom_providers"][0]
        apis[family] = (provider["api_mode"], provider["base_url"], provider["key_env"])
        assert read["skills"] == {"external_dirs": ["/skills"]}
        assert launch.env[provider["key_env"]] == "token"
    assert apis == {
        ModelFamily.ANTHROPIC: (
            "anthropic_messages",
            "http://gateway:8081/anthropic",
            "ANTHROPIC_API_KEY",
        ),
        ModelFamily.OPENAI: (
            "chat_completions",
            "http://gateway:8081/openai/v1",
            "OPENAI_API_KEY",
        ),
    }
