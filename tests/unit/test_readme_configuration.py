"""The README's configuration table and the settings classes say the same."""

import re
from pathlib import Path
from typing import cast

import pytest
from pydantic_settings import BaseSettings

from api.site import SiteSettings
from cattery.settings import (
    ApiSettings,
    DatabaseSettings,
    GatewaySettings,
    HarnessSettings,
    HomeSettings,
    KubernetesSettings,
    SandboxSettings,
    TemporalSettings,
)
from cli.configuration import FirstAdminSettings, UpSettings
from cli.environment import names_of
from workers.settings import WorkerSettings

README = Path(__file__).parents[2] / "README.md"
CLASSES: tuple[type[BaseSettings], ...] = (
    HomeSettings,
    HarnessSettings,
    DatabaseSettings,
    TemporalSettings,
    ApiSettings,
    SiteSettings,
    SandboxSettings,
    KubernetesSettings,
    GatewaySettings,
    FirstAdminSettings,
    UpSettings,
    WorkerSettings,
)
REQUIRED = {
    "DATABASE_URL": "postgresql://somebody@localhost/database",
    "CATTERY_JWT_SECRET": "j" * 32,
}
"""Settings without a default."""


def names_by_field(cls: type[BaseSettings]) -> dict[str, str]:
    """Map the fields of a settings class to the environment variables that they are read from."""
    names = names_of(cls)
    prefix = cls.model_config.get("env_prefix", "")
    found: dict[str, str] = {}
    for field, info in cls.model_fields.items():
        choices = getattr(info.validation_alias, "choices", ())
        aliases = [choice for choice in choices if choice in names]
        found[field] = aliases[0] if aliases else f"{prefix}{field}".upper()
    return found


def read_table() -> dict[str, str]:
    """Return each variable of the README's table with the text of its default."""
    section = README.read_text(encoding="utf-8").split("\n## Configuration\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \| (.*?) \| .+ \|$", section, flags=re.MULTILINE)
    assert len(rows) == len({name for name, _ in rows}), "a variable stands in two rows"
    return dict(rows)


def test_every_setting_stands_in_the_readme_and_nothing_else_does() -> None:
    settings = {name for cls in CLASSES for name in names_by_field(cls).values()}
    assert set(read_table()) == settings


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cast(type[BaseSettings], cls).__name__)
def test_a_default_that_the_readme_gives_as_a_value_is_the_default(
    cls: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = read_table()
    for name in table:
        monkeypatch.delenv(name, raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    by_default = cls()
    for field, name in names_by_field(cls).items():
        given = re.fullmatch(r"`([^`$~]+)`", table[name])
        if given is None:  # the default is described in words
            continue
        with monkeypatch.context() as patch:
            patch.setenv(name, given[1])
            assert (name, getattr(cls(), field)) == (name, getattr(by_default, field))


def test_a_setting_without_a_default_is_described_in_words() -> None:
    table = read_table()
    for cls in CLASSES:
        for field, name in names_by_field(cls).items():
            info = cls.model_fields[field]
            if info.is_required() or info.get_default(call_default_factory=False) is None:
                assert not re.fullmatch(r"`[^`$~]+`", table[name]), name
