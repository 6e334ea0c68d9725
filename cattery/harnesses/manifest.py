"""What `harness_images/<type>/harness.toml` may say; a mistake in one never gets past here.

The registry, the local installer, the image build, the UI's choices and the table in the docs are
all made from these manifests. docs/adding-a-harness.md explains them to whoever writes one.
"""

import json
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cattery.catalog import ModelFamily
from cattery.errors import CatteryError
from cattery.harnesses.templates import check_template

MANIFEST = "harness.toml"
_ID = r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$"
_ID_LENGTH = 20
"""With `cattery-` before it and an id behind it, a name still fits into Kubernetes' 63 letters."""


class ManifestError(CatteryError):
    """A manifest is wrong: every mistake is named with its file, its field and what is expected."""

    code = "manifest"


class Transport(StrEnum):
    """How the platform talks to a harness: contract/harness.md, or the Agent Client Protocol."""

    HTTP = "http"
    TERMINAL = "terminal"
    ACP = "acp"


def _require_beneath(path: str) -> str:
    if not path or path.startswith("/") or ".." in path.split("/"):
        msg = "expected a relative path without `..`"
        raise ValueError(msg)
    return path


Text = Annotated[str, Field(min_length=1)]
Beneath = Annotated[str, AfterValidator(_require_beneath)]
"""A path beneath a folder that the field's description names."""
ToolsTemplate = Annotated[str, AfterValidator(partial(check_template, known=("tools",)))]
Template = Annotated[str, AfterValidator(check_template)]
"""Text with `{placeholders}`; see `cattery.harnesses.templates`."""


class _Table(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,  # docs/adding-a-harness.md is written from them
    )


class Install(_Table):
    """How the program gets onto a machine. The pins themselves are files beside the manifest."""

    program: Beneath
    """The program, beneath the tools folder (`/opt/cattery` in images)."""
    npm: tuple[Text, ...] = ()
    """Packages of `package.json` that matter, the harness first; `npm ci` into `<type>/`."""
    pypi: tuple[Text, ...] = ()
    """Packages of `requirements.txt` that matter, the harness first; into `<type>/venv`."""
    bridges: bool = False
    """Whether our own `bridges/` runs in its sandbox, beside the program."""
    shares: Annotated[str, Field(pattern=_ID)] | None = None
    """Another type whose installation and image this one uses; `npm` and `pypi` are empty then."""
    links: Mapping[Beneath, Text] = {}
    """Symbolic links beneath the tools folder and what they lead to; `bin` is on the PATH."""
    version_command: tuple[ToolsTemplate, ...] = ()
    """Prints the version; `{tools}` is known. Empty is `program --version`."""
    prints: Text | None = None
    """What that must print, where it is not the manifest's `version`."""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.shares is None and not self.npm and not self.pypi:
            msg = "expected `npm` or `pypi` packages, or `shares`"
            raise ValueError(msg)
        if self.shares is not None and (self.npm or self.pypi or self.links):
            msg = "expected no `npm`, `pypi` or `links` beside `shares`: they are the other type's"
            raise ValueError(msg)
        return self


class Models(_Table):
    """Which models a harness can be given, and how it learns of model and gateway."""

    families: Annotated[tuple[ModelFamily, ...], Field(min_length=1)]
    """`anthropic`, `openai`, or both: the APIs that it speaks."""
    handover: Text
    """Where it reads model, base address and token from: a phrase for the docs."""


class Capabilities(_Table):
    """What a person gets of this harness; the bench proves each (`make harness-bench`)."""

    questions: bool
    """It asks people, and waits for their answers."""
    permissions: bool
    """It asks before it does what could do harm."""
    titles: bool
    """It finds a title for a session."""
    sub_agents: bool
    """It hands work to agents of its own, whose steps are seen."""
    resume: bool
    """A conversation goes on after its sandbox was started again."""
    diff: bool
    """What it changes in a file is seen as a difference."""
    usage: bool
    """It tells how many tokens a turn took."""
    todo: bool
    """It keeps a list of steps, which is seen."""
    thinking: bool
    """What it thinks is seen beside what it says."""


class Limits(_Table):
    """What the harness itself needs of a machine, measured, not what its tools may use on top."""

    memory_mib: Annotated[int, Field(ge=64)]
    """Sandboxes with less memory are refused with the reason."""
    start_seconds: Annotated[int, Field(ge=1, le=600)]
    """Within this it answers, from warm files on two busy cores."""


class FamilyLaunch(_Table):
    """What a launch has beside the rest, for models of one family."""

    argv: tuple[Template, ...] = ()
    """Arguments behind those of every family."""
    env: Mapping[Text, Template] = {}
    """Variables beside those that every launch has."""
    files: Mapping[Beneath, Template] = {}
    """By path beneath HOME, what they hold."""


class LaunchTemplates(FamilyLaunch):
    """How to start a program that needs no Python of ours: command, environment, files.

    Placeholders are those of `cattery.harnesses.templates`. Every launch has the contract's
    settings and the model gateway's address and token in its environment without saying so.
    """

    argv: Annotated[tuple[Template, ...], Field(min_length=1)]
    """The program and its arguments."""
    links: Mapping[Beneath, Template] = {}
    """By path beneath HOME; the link for `skills` is made without saying so."""
    anthropic: FamilyLaunch = FamilyLaunch()
    """`argv`, `env` and `files` that come to these for Anthropic's models."""
    openai: FamilyLaunch = FamilyLaunch()
    """The same for all other models."""


class Manifest(_Table):
    """One harness, everything about it that is not code."""

    id: Annotated[str, Field(pattern=_ID, max_length=_ID_LENGTH)]
    """The contract's `type`; the folder has the same name."""
    display_name: Text
    """Its name for people."""
    description: Annotated[str, Field(min_length=1, max_length=160)]
    """One sentence for whoever chooses."""
    transport: Transport
    """How it is spoken to: `http`, `terminal` or `acp`."""
    version: Text
    """The pinned release."""
    planned: bool = False
    """Whether it is only announced: harnesses of the type can be made, and cannot run yet."""
    implementation: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.]*$")] | None = None
    """Module with a function `implement`; without it that of the transport."""
    image: Annotated[str, Field(pattern=_ID)] | None = None
    """Folder that the image `cattery-<image>` is made from; by default the installation's."""
    port: Literal[4096] = 4096
    """The network policies let workers reach this one alone."""
    skills: Annotated[str, Field(pattern=r"^(~/[^/].*|configuration)$")]
    """Where it looks for skills: a folder of HOME (`~/…`), or `configuration` if a file says it."""
    install: Install
    """How its program gets onto a machine."""
    models: Models
    """Which models it can be given."""
    capabilities: Capabilities
    """What a person gets of it."""
    limits: Limits
    """What it needs of a machine."""
    launch: LaunchTemplates | None = None
    """How it is started, where no `implementation` says it."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.transport is Transport.HTTP and self.implementation is None and not self.planned:
            msg = "implementation: expected the module that translates this harness's own events"
            raise ValueError(msg)
        if self.implementation is None and self.launch is None and not self.planned:
            msg = "launch: expected a table with `argv`, or an `implementation` that needs none"
            raise ValueError(msg)
        return self

    @property
    def image_name(self) -> str:
        """The image's name, without `cattery-`, registry and tag."""
        return self.image or self.install.shares or self.id


def load_manifests(folder: Path) -> dict[str, Manifest]:
    """Read every manifest in a folder of folders, by type, in the order of their names.

    Raises:
        ManifestError: there is none, or some are wrong; the message has a line for each mistake.
    """
    files = sorted(folder.glob(f"*/{MANIFEST}"))
    if not files:
        raise ManifestError(
            f"There are no harness manifests in {folder}. Point CATTERY_HARNESSES to the folder "
            f"that has them (<type>/{MANIFEST}); in a clone that is harness_images."
        )
    read: dict[str, Manifest] = {}
    mistakes: list[str] = []
    for file in files:
        found = read_manifest(file)
        if isinstance(found, Manifest):
            read[found.id] = found
        else:
            mistakes += found
    mistakes += _check_sharing(folder, read)
    if mistakes:
        raise ManifestError("\n".join(mistakes))
    return read


def parse_manifest(text: str) -> Manifest:
    """Read a manifest's text.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML.
        ValidationError: it is no manifest.
    """
    # By way of JSON, whose strings may be names of states and whose lists tuples, all else strict.
    return Manifest.model_validate_json(json.dumps(tomllib.loads(text), default=str))


def read_manifest(file: Path) -> Manifest | list[str]:
    """Read one manifest, or say in one line for each mistake what is wrong with it."""
    try:
        manifest = parse_manifest(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return [f"{file}: expected a readable TOML file: {error}"]
    except ValidationError as error:
        return [
            f"{file}: {_name_field(mistake['loc'])}{_word(mistake['msg'])}"
            for mistake in error.errors(include_url=False, include_input=False)
        ]
    if manifest.id != file.parent.name:
        return [f"{file}: id: expected {file.parent.name!r}, the name of its folder"]
    return manifest


def _name_field(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) + ": " if location else ""


def _word(message: str) -> str:
    """Say pydantic's words the way ours are."""
    if message == "Field required":
        return "expected a value, it is missing"
    if message == "Extra inputs are not permitted":
        return "expected no such field"
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _check_sharing(folder: Path, read: Mapping[str, Manifest]) -> list[str]:
    return [
        f"{folder / one.id / MANIFEST}: install.shares: expected a type that has an installation "
        f"of its own, not {one.install.shares!r}"
        for one in read.values()
        if one.install.shares is not None
        and (one.install.shares not in read or read[one.install.shares].install.shares is not None)
    ]
