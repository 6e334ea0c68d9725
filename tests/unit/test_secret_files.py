"""Secrets in files: what is read, for which settings, and what is refused."""

import inspect
from pathlib import Path

import pytest
from pydantic import SecretStr

from cattery import settings
from cattery.secret_files import (
    FILE_NAMES,
    SECRETS,
    SecretFileError,
    SettingsWithSecretFiles,
    read_secret_files,
)
from cattery.settings import ApiSettings, DatabaseSettings, GatewaySettings
from cli import configuration
from cli.configuration import FirstAdminSettings, UpSettings, read_settings
from cli.environment import gateway_environment, names_of


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS | FILE_NAMES:
        monkeypatch.delenv(name, raising=False)


def _file(folder: Path, text: str) -> str:
    path = folder / f"secret-{len(list(folder.iterdir()))}"
    path.write_text(text)
    return str(path)


def test_each_settings_class_takes_its_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CATTERY_JWT_SECRET_FILE", _file(tmp_path, "j" * 32 + "\n"))
    monkeypatch.setenv("CATTERY_ADMIN_PASSWORD_FILE", _file(tmp_path, "a password of admin\n"))
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", _file(tmp_path, "key-a"))
    monkeypatch.setenv("OPENAI_API_KEY_FILE", _file(tmp_path, ""))
    monkeypatch.setenv("DATABASE_URL_FILE", _file(tmp_path, "postgresql://c@db/c\n"))
    gateway = read_settings(GatewaySettings)
    assert (gateway.anthropic_api_key, gateway.openai_api_key) == (SecretStr("key-a"), None)
    assert not gateway.is_demo
    assert read_settings(ApiSettings).jwt_secret == SecretStr("j" * 32)
    assert read_settings(FirstAdminSettings).admin_password == SecretStr("a password of admin")
    assert read_settings(DatabaseSettings).url == SecretStr("postgresql://c@db/c")
    assert read_settings(UpSettings).database_url == SecretStr("postgresql://c@db/c")


def test_a_password_is_put_into_the_url_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://cattery@db:5432/c?sslmode=disable")
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", _file(tmp_path, "p@s/s w:ord\n"))
    whole = SecretStr("postgresql://cattery:p%40s%2Fs%20w%3Aord@db:5432/c?sslmode=disable")
    assert read_settings(DatabaseSettings).url == whole
    assert read_settings(UpSettings).database_url == whole


@pytest.mark.parametrize(
    ("environ", "text", "words"),
    [
        ({"OPENAI_API_KEY": "k", "OPENAI_API_KEY_FILE": "{file}"}, "k", "are both set"),
        ({"OPENAI_API_KEY_FILE": "/nowhere/at/all"}, "", "cannot be read (No such file"),
        (
            {"DATABASE_URL": "postgresql://c:p@db/c", "DATABASE_PASSWORD_FILE": "{file}"},
            "p",
            "must name a user and no password",
        ),
        (
            {"DATABASE_URL": "postgresql://db/c", "DATABASE_PASSWORD_FILE": "{file}"},
            "p",
            "must name a user and no password",
        ),
        (
            {"DATABASE_URL": "postgresql://c@db/c", "DATABASE_PASSWORD_FILE": "{file}"},
            "\n",
            "is empty",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words_without_the_secret(
    tmp_path: Path, environ: dict[str, str], text: str, words: str
) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(SecretFileError) as caught:
        read_secret_files({name: value.format(file=path) for name, value in environ.items()})
    assert words in caught.value.message


def test_every_secret_of_every_settings_class_may_stand_in_a_file() -> None:
    found: set[str] = set()
    for module in (settings, configuration):
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if not issubclass(cls, SettingsWithSecretFiles):
                continue
            for name, field in cls.model_fields.items():
                if "SecretStr" in str(field.annotation):
                    found |= names_of(cls) & _candidates(cls, name)
    assert found == SECRETS


def _candidates(cls: type[SettingsWithSecretFiles], name: str) -> set[str]:
    alias = cls.model_fields[name].validation_alias
    prefixed = f"{cls.model_config.get('env_prefix', '')}{name}".upper()
    return {str(one) for one in getattr(alias, "choices", [])} or {prefixed}


def test_the_files_of_keys_reach_the_gateway() -> None:
    environ = {"ANTHROPIC_API_KEY_FILE": "/a", "OPENAI_API_KEY_FILE": "/o", "CATTERY_X_FILE": "/x"}
    assert gateway_environment(environ, {}) == {
        "ANTHROPIC_API_KEY_FILE": "/a",
        "OPENAI_API_KEY_FILE": "/o",
    }
