"""Secrets that stand in files: `NAME_FILE` names the file of what the variable `NAME` would hold.

A secret in a file is not in the environment of a process, where its children inherit it, nor in the
description of a container. Docker and Compose mount secrets in just this way.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, override
from urllib.parse import quote, urlsplit

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
)

from cattery.errors import CatteryError

SECRETS: Final = frozenset(
    {
        "ANTHROPIC_API_KEY",
        "CATTERY_ADMIN_PASSWORD",
        "CATTERY_JWT_SECRET",
        "DATABASE_URL",
        "OPENAI_API_KEY",
    }
)
"""Variables that may stand in files; each is read from the one that `<name>_FILE` names."""
_DATABASE: Final = "DATABASE_URL"
_DATABASE_PASSWORD: Final = "DATABASE_PASSWORD_FILE"  # noqa: S105 - the name of a variable
FILE_NAMES: Final = frozenset({f"{name}_FILE" for name in SECRETS} | {_DATABASE_PASSWORD})


class SecretFileError(CatteryError):
    """A variable names a file for a secret, and the secret cannot be taken from it.

    Correct the variable, or the file and its rights, and start again.
    """

    code = "secret_file"
    status = 500


class SettingsWithSecretFiles(BaseSettings):
    """Settings whose secrets may stand in files."""

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look into files before the environment: a database's URL gets its password from one."""
        return (init_settings, _SecretFiles(settings_cls), env_settings)


class _SecretFiles(EnvSettingsSource):
    """An environment that holds what stands in files."""

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in read_secret_files(os.environ).items()}


def read_secret_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the secrets that an environment has in files, by the variables that they stand for.

    An empty file is no secret: a site leaves the file of a key that it does not have empty. With
    `DATABASE_PASSWORD_FILE` the password is put into `DATABASE_URL`.

    Raises:
        SecretFileError: a file cannot be read, or a secret is given twice.
    """
    found = {}
    for name in sorted(SECRETS):
        if not environ.get(f"{name}_FILE"):
            continue
        if environ.get(name):
            raise SecretFileError(f"{name} and {name}_FILE are both set. Unset one of them.")
        if secret := _read(f"{name}_FILE", environ):
            found[name] = secret
    url = found.get(_DATABASE) or environ.get(_DATABASE)
    if environ.get(_DATABASE_PASSWORD) and url:
        found[_DATABASE] = _put_password(url, _read(_DATABASE_PASSWORD, environ))
    return found


def _read(variable: str, environ: Mapping[str, str]) -> str:
    path = environ[variable]
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SecretFileError(
            f"{variable} names the file {path}, which cannot be read ({reason}). Correct the "
            "path, or the rights of the file."
        ) from error


def _put_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at or not user or ":" in user:
        raise SecretFileError(
            f"{_DATABASE} must name a user and no password where {_DATABASE_PASSWORD} is set: "
            "postgresql://user@host:5432/database."
        )
    if not password:
        raise SecretFileError(f"The file that {_DATABASE_PASSWORD} names is empty.")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()
