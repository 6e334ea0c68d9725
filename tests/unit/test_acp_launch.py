"""How the ACP twins are started: behind the bridge, with the configuration of their terminals."""

import tomllib
from dataclasses import replace

import pytest
import yaml

from cattery.catalog import ModelFamily
from cattery.harnesses.codex.launch import launch_codex
from cattery.harnesses.hermes.launch import launch_hermes
from cattery.harnesses.port import LaunchInput
from tests.harness_types import clone_registry

GIVEN = LaunchInput(
    workspace="/work",
    home="/home/agent",
    skills="/skills",
    tools="/opt/cattery",
    host="0.0.0.0",
    port=4096,
    model="gpt-5.4",
    family=ModelFamily.OPENAI,
    gateway_url="http://gateway:8081/",
    gateway_token="token-of-the-sandbox",
    password="password-of-the-port",
)


def test_codex_acp_has_the_configuration_of_codex() -> None:
    launch, terminal = clone_registry()["codex-acp"].launch(GIVEN), launch_codex(GIVEN)
    program = "node_modules/@zed-industries/codex-acp-linux-x64/bin/codex-acp"

    assert launch.argv == (
        "/opt/cattery/codex-acp/venv/bin/python",
        *("-P", "-m", "bridges.acp", "--host", "0.0.0.0", "--port", "4096"),
        *("--", f"/opt/cattery/codex-acp/{program}"),
    )
    name = ".codex/config.toml"
    assert tomllib.loads(launch.files[name]) == tomllib.loads(terminal.files[name])
    assert launch.links == terminal.links
    secrets = {key for key, value in launch.env.items() if "-of-the-" in value}
    assert secrets == {"OPENAI_API_KEY", "BRIDGE_PASSWORD"}


@pytest.mark.parametrize("family", ModelFamily)
def test_hermes_acp_has_the_configuration_of_hermes_but_asks(family: ModelFamily) -> None:
    given = replace(GIVEN, family=family)
    launch, terminal = clone_registry()["hermes-acp"].launch(given), launch_hermes(given)
    name = ".hermes/config.yaml"
    expected = yaml.safe_load(terminal.files[name])
    del expected["approvals"]
    assert yaml.safe_load(launch.files[name]) == expected
    assert launch.argv[0] == "/opt/cattery/hermes/venv/bin/python"
