"""Manifests of harnesses: the clone's own, wrong ones, and launches made of one alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cattery.catalog import ModelFamily
from cattery.errors import BadRequestError, SandboxSetupError
from cattery.harnesses.launching import build_launch
from cattery.harnesses.manifest import Manifest, ManifestError, load_manifests, parse_manifest
from cattery.harnesses.port import LaunchInput, TransportKind
from cattery.harnesses.registry import HarnessRegistry, load_registry
from cattery.harnesses.templates import PLACEHOLDERS, fill_template
from cattery.settings import HarnessSettings, default_harnesses

IMAGES = default_harnesses()
CLONE = load_manifests(IMAGES)

GOOD = """
id = "echo"
display_name = "Echo"
description = "Says it again."
transport = "terminal"
version = "1.2"
skills = "~/.agents/skills"
[install]
program = "echo/venv/bin/echo"
pypi = ["echo"]
[models]
families = ["anthropic", "openai"]
handover = "arguments"
[capabilities]
questions = false
permissions = false
titles = false
sub_agents = false
resume = false
diff = false
usage = false
todo = false
thinking = false
[limits]
memory_mib = 64
start_seconds = 1
[launch]
argv = ["{tools}/echo/venv/bin/echo", "--model={model}"]
[launch.env]
ECHO_URL = "{gateway_url}"
[launch.files]
".echo/config.json" = '{"model": {model:json}, "literal": "{{model}}"}'
[launch.anthropic]
argv = ["--anthropic"]
[launch.openai.env]
ECHO_URL = "{openai_url}"
"""


def write(folder: Path, text: str, name: str = "echo") -> Path:
    file = folder / name / "harness.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def given(model: str, family: ModelFamily) -> LaunchInput:
    return LaunchInput(
        workspace="/work",
        home="/home/agent",
        skills="/skills",
        tools="/opt/cattery",
        host="0.0.0.0",
        port=4096,
        model=model,
        family=family,
        gateway_url="http://gateway:8081/",
        gateway_token="a-token",
        password="a-password",
    )


def test_the_four_types_of_the_contract_are_known() -> None:
    registry = load_registry(HarnessSettings(types=None))
    kinds = {name: registry.transport_of(name) for name in registry.manifests}
    assert (
        kinds
        | {
            "opencode": TransportKind.HTTP,
            "claude-code": TransportKind.HTTP,
            "codex": TransportKind.TERMINAL,
            "hermes": TransportKind.TERMINAL,
        }
        == kinds
    )
    known = "claude-code, codex, codex-acp, hermes, hermes-acp, opencode"
    with pytest.raises(BadRequestError, match=known):
        registry.require_known("vim")
    with pytest.raises(SandboxSetupError, match="knows no harness type 'vim'"):
        registry.require_runnable("vim")
    assert registry.transport_of("vim") is TransportKind.HTTP, "what is left of it can be read"


def test_a_type_that_the_site_does_not_offer_is_known_but_does_not_run() -> None:
    planned = CLONE["opencode"].model_copy(update={"id": "later", "planned": True})
    registry = HarnessRegistry({"opencode": CLONE["opencode"], "later": planned}, {})
    assert registry.why_not("later") == "opencode cannot run in this version of Cattery yet."
    with pytest.raises(SandboxSetupError, match="opencode is not offered on this site"):
        registry.require_runnable("opencode")
    with pytest.raises(ManifestError, match="CATTERY_HARNESS_TYPES names vim"):
        load_registry(HarnessSettings(types=("opencode", "vim")))


@pytest.mark.parametrize(
    "manifest", [one for one in CLONE.values() if not one.planned], ids=lambda one: one.id
)
def test_a_manifest_of_the_clone_agrees_with_the_pins_beside_it(manifest: Manifest) -> None:
    folder = IMAGES / manifest.id
    image = IMAGES / manifest.image_name
    pinned = (image / "requirements.txt").exists()
    assert pinned or (image / "Dockerfile").exists(), "nothing to build an image from"
    if manifest.install.npm:
        locked = json.loads((folder / "package-lock.json").read_text())["packages"]
        versions = {
            name: locked[f"node_modules/{name}"]["version"] for name in manifest.install.npm
        }
        assert next(iter(versions.values())) == manifest.version
        assert not any("resolved" in package for package in locked.values()), "a registry's name"
    if manifest.install.pypi:
        text = (folder / "requirements.txt").read_text()
        pins = dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text))
        assert set(manifest.install.pypi) <= set(pins)
        if not manifest.install.npm:
            assert pins[manifest.install.pypi[0]] == manifest.version
        assert "://" not in re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def test_a_launch_can_be_made_of_the_manifest_alone() -> None:
    manifest = parse_manifest(GOOD)
    assert manifest.launch is not None
    launch = build_launch(manifest, manifest.launch, given('a"b', ModelFamily.ANTHROPIC))
    assert launch.argv == ("/opt/cattery/echo/venv/bin/echo", '--model=a"b', "--anthropic")
    assert launch.env == {
        "HOME": "/home/agent",
        "MODEL": 'a"b',
        "PORT": "4096",
        "ANTHROPIC_BASE_URL": "http://gateway:8081/anthropic",
        "ANTHROPIC_API_KEY": "a-token",
        "ECHO_URL": "http://gateway:8081",
    }
    assert launch.links == {".agents/skills": "/skills"}
    assert json.loads(launch.files[".echo/config.json"]) == {"model": 'a"b', "literal": "{model}"}


def test_a_launch_follows_the_family_of_its_model() -> None:
    manifest = parse_manifest(GOOD)
    assert manifest.launch is not None
    launch = build_launch(manifest, manifest.launch, given("gpt-5.5", ModelFamily.OPENAI))
    assert launch.argv[-1] == "--model=gpt-5.5"
    assert (
        launch.env["OPENAI_BASE_URL"] == launch.env["ECHO_URL"] == "http://gateway:8081/openai/v1"
    )
    assert "ANTHROPIC_API_KEY" not in launch.env


def test_every_placeholder_has_a_value() -> None:
    text = GOOD.replace("{gateway_url}", " ".join(f"{{{name}}}" for name in PLACEHOLDERS))
    manifest = parse_manifest(text)
    assert manifest.launch is not None
    launch = build_launch(manifest, manifest.launch, given("claude-x", ModelFamily.ANTHROPIC))
    assert "{" not in launch.env["ECHO_URL"]


def test_a_value_is_never_a_template_itself() -> None:
    assert fill_template("{model} {home}", {"model": "{home}", "home": "/h"}) == "{home} /h"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version = "1.2"', "", "version: expected a value, it is missing"),
        ('version = "1.2"', 'version = "1"\ncolour = "red"', "colour: expected no such field"),
        ('"terminal"', '"telnet"', "transport: input should be 'http', 'terminal' or 'acp'"),
        ('["anthropic", "openai"]', '["google"]', "models.families.0: input should be 'anthropic'"),
        ("todo = false", 'todo = "no"', "capabilities.todo: input should be a valid boolean"),
        ("memory_mib = 64", "memory_mib = 1", "limits.memory_mib: input should be greater than"),
        (
            "{gateway_url}",
            "{gateway}",
            "launch.env.ECHO_URL: expected a known placeholder, not {gat",
        ),
        ("{model:json}", "{model:xml}", "expected {model} or {model:json}, not {model:xml}"),
        ('"echo/venv/bin/echo"', '"../echo"', "install.program: expected a relative path without"),
        (
            "pypi =",
            'version_command = ["{home}"]\npypi =',
            "version_command.0: expected a know",
        ),
        ('pypi = ["echo"]', "", "install: expected `npm` or `pypi` packages, or `shares`"),
        ('pypi = ["echo"]', 'shares = "ghost"', "install.shares: expected a type that has an inst"),
        ('id = "echo"', 'id = "Echo!"', "id: string should match pattern"),
        ('id = "echo"', 'id = "other"', "id: expected 'echo', the name of its folder"),
        ('id = "echo"', "id = echo", "expected a readable TOML file"),
        ('"terminal"', '"http"', "implementation: expected the module that translates"),
        ("skills =", 'implementation = "cattery.nosuch"\nskills =', "there is no cattery.nosuch"),
        ("skills =", 'implementation = "json"\nskills =', "expected a function `implement(manife"),
    ],
)
def test_a_mistake_is_said_with_its_file_and_field(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ManifestError) as raised:
        load_registry(HarnessSettings(folder=tmp_path, types=None))
    assert raised.value.message.startswith(f"{file}: ")
    assert said in raised.value.message


def test_all_mistakes_are_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, GOOD.replace('version = "1.2"', ""))
    write(tmp_path, GOOD.replace("todo = false", "todo = 1"), "other")
    with pytest.raises(ManifestError) as raised:
        load_manifests(tmp_path)
    assert len(raised.value.message.splitlines()) == 2


def test_a_folder_without_manifests_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Point CATTERY_HARNESSES to the folder"):
        load_manifests(tmp_path)


@pytest.mark.parametrize(
    ("text", "types"),
    [("opencode, codex,", ("opencode", "codex")), ("", None), (" ", None)],
)
def test_the_types_of_a_site_are_a_list_in_its_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, types: Any
) -> None:
    monkeypatch.setenv("CATTERY_HARNESS_TYPES", text)
    assert HarnessSettings().types == types
